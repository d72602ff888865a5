"""Whose tables a file has and of which version; steps that bring older tables to the present version.

The version is SQLite's `user_version`. A file of ours without one is of version 1.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple

from crypto_stream.storage.interface import UnusableError


class Tables(NamedTuple):
    """The tables of one file: `steps[n]` brings version n to n + 1; `ours` are the tables of version 1.

    `name` is what people call the file.
    """

    name: str
    ours: frozenset[str]
    steps: Sequence[str]

    @property
    def version(self) -> int:
        """The present version."""
        return len(self.steps)


def version(database: sqlite3.Connection, tables: Tables) -> int:
    """Return the version of the tables in a file, 0 where there are none; UnusableError for another's."""
    ((found,),) = database.execute("PRAGMA user_version")
    present = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if not present and not found:
        return 0
    if not tables.ours <= present:
        raise UnusableError(
            f"the file is a database, but no {tables.name} of Crypto Stream: move it away, or put yours back"
        )
    if found > tables.version:
        raise UnusableError(
            f"the file has tables of version {found}, this program knows {tables.version}: "
            "use the newer program, or restore a backup of before"
        )
    return max(1, int(found))


def upgrade(database: sqlite3.Connection, tables: Tables) -> None:
    """Bring the tables to the present version, each step all or nothing."""
    for at in range(version(database, tables), tables.version):
        script = f"BEGIN IMMEDIATE; {tables.steps[at]}; PRAGMA user_version = {at + 1}; COMMIT;"
        try:
            database.executescript(script)
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
