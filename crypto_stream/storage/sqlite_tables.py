"""The version of a file's tables, and the migrations to the current version.

The version is SQLite's `user_version`. Our files without one have version 1.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from crypto_stream.storage.interface import UnusableError


class Tables(NamedTuple):
    """The tables of one file: `steps[n]` migrates version n to n + 1; `ours` are the tables of version 1.

    `name` is the file's name in messages.
    """

    name: str
    ours: frozenset[str]
    steps: Sequence[str]

    @property
    def version(self) -> int:
        """The current version."""
        return len(self.steps)


def version(database: sqlite3.Connection, tables: Tables) -> int:
    """Return the version of a file's tables, 0 if it has none; raise UnusableError if they are not ours."""
    ((found,),) = database.execute("PRAGMA user_version")
    present = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not present and not found:
        return 0
    if not tables.ours <= present:
        raise UnusableError(
            f"the file is a database, but not Crypto Stream's {tables.name}: move it away, or restore yours"
        )
    if found > tables.version:
        raise UnusableError(
            f"the file has tables of version {found}, this program supports up to {tables.version}: "
            "use the newer program, or restore an earlier backup"
        )
    return max(1, int(found))


def upgrade(database: sqlite3.Connection, tables: Tables) -> None:
    """Migrate the tables to the current version, each step atomically."""
    for at in range(version(database, tables), tables.version):
        script = f"BEGIN IMMEDIATE; {tables.steps[at]}; PRAGMA user_version = {at + 1}; COMMIT;"
        try:
            database.executescript(script)
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
