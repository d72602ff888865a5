"""The tables in PostgreSQL: their version, and the migrations to the current one.

Each file in `migrations` is one step; `schema_version` contains the number of the last one. Steps only add,
so that engines of two adjacent versions can use the same tables while one replaces the other.
"""

from __future__ import annotations

import logging
from importlib.resources import files

from psycopg import errors

from crypto_stream.storage.interface import UnusableError
from crypto_stream.storage.postgres_connection import Connection, connect, failing_as_os_error

log = logging.getLogger(__name__)

_MIGRATES_S = 60.0
_LOCK = 0x63727970  # of all engines that migrate, one after the other
_OLDEST = 150_000  # version of a server


def steps() -> list[str]:
    """Return the SQL of all steps, first to last."""
    folder = files("crypto_stream.storage") / "migrations"
    paths = sorted(
        (path for path in folder.iterdir() if path.name.endswith(".sql")), key=lambda path: path.name
    )
    return [path.read_text("utf-8") for path in paths]


def migrate(address: str, name: str) -> None:
    """Migrate the tables to the current version, in one transaction.

    Raises UnusableError if they are of a newer version or not ours, LoginError or another OSError if the
    server cannot be used.
    """
    scripts = steps()
    connection = connect(address, name, _MIGRATES_S)
    try:
        with failing_as_os_error():
            found = version(connection)
            if found == len(scripts):
                return
            connection.execute("BEGIN")
            connection.execute(f"SET LOCAL lock_timeout = {round(_MIGRATES_S * 1000)}")
            connection.execute(f"SELECT pg_advisory_xact_lock({_LOCK})")
            try:
                for at in range(version(connection), len(scripts)):
                    connection.execute(scripts[at].encode(), prepare=False)
                    connection.execute(f"UPDATE schema_version SET number = {at + 1}")
            except errors.InsufficientPrivilege as error:
                raise UnusableError(
                    f"PostgreSQL: the user may not create tables ({error.diag.message_primary}): "
                    "make it the owner of the database, or of the schema"
                ) from None
            connection.execute("COMMIT")
    finally:
        connection.close()
    log.info("database migrated", extra={"before": found, "version": len(scripts)})


def version(connection: Connection) -> int:
    """Return the version of the tables, 0 if there are none; raise UnusableError if they cannot be used."""
    latest = len(steps())
    query = (
        # Other programs have a table of the first name, too.
        "SELECT to_regclass('schema_version') IS NOT NULL AND to_regclass('lease') IS NOT NULL, "
        "current_schema(), getdatabaseencoding(), current_setting('server_version_num')::integer, "
        "(SELECT count(*) FROM pg_tables WHERE schemaname = current_schema())"
    )
    ((exists, schema, encoding, server, tables),) = connection.execute(query)
    too_old = f"the server has version {server // 10_000}, it must be {_OLDEST // 10_000} or later"
    wrong = {
        too_old: server < _OLDEST,
        f"the database has the encoding {encoding}, not UTF8": encoding != "UTF8",
        "the database has no schema that we may use": schema is None,
        "the database has tables of another program: use one of its own": tables and not exists,
    }
    if reasons := [text for text, holds in wrong.items() if holds]:
        raise UnusableError(f"PostgreSQL: {reasons[0]}")
    if not exists:
        return 0
    ((found,),) = connection.execute("SELECT number FROM schema_version")
    if found > latest:
        raise UnusableError(
            f"PostgreSQL: the database has tables of version {found}, this program supports up to {latest}: "
            "use the newer program, or restore an earlier backup"
        )
    return int(found)
