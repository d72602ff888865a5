"""What every SQLite file of ours has in common: how it fails, and whether it still stands where it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_stream.storage.interface import CorruptError, UnusableError

ENDINGS = ("", "-wal", "-shm")  # the file, its log, and what its connections share
BUSY_S = 1.0

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNUSABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}

Identity = tuple[int, int] | None


@contextmanager
def failing_as_os_error(path: Path) -> Iterator[None]:
    """Turn what a file can do to us into OSError; our own faults (a wrong statement) stay what they are."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        kind = None if code is None else code & 0xFF  # the rest of it says how
        text = f"{path}: {error}"
        may_pass = isinstance(error, sqlite3.OperationalError)  # locked, full, a failing disk
        # Text that is no UTF-8 is told without a code.
        if kind in _CORRUPT or (kind is None and may_pass):
            raise CorruptError(text) from None
        if kind in _UNUSABLE:
            raise UnusableError(text) from None
        if may_pass:
            raise OSError(text) from None
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what a file can do to us into OSError; what can be read and has no meaning is corrupt too."""
    try:
        with failing_as_os_error(path):
            yield
    except ValueError as error:
        raise CorruptError(f"{path}: {error}") from None


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file (`mode` ro, rw, rwc); transactions are begun by who uses it."""
    # One thread uses it at a time; another one may close it at the end.
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, BUSY_S, isolation_level=None, check_same_thread=False, uri=True)


def identity(path: Path) -> Identity:
    """Tell which file stands at the path; what is written to one without a name is lost."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def parts(path: Path) -> list[Path]:
    """Return the paths of a file and of those that SQLite keeps beside it."""
    return [path.with_name(path.name + ending) for ending in ENDINGS]
