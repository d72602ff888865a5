"""What all SQLite files have in common: their errors, and whether a file was replaced."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from crypto_stream.storage.interface import CorruptError, UnusableError

ENDINGS = ("", "-wal", "-shm")  # the file, its log, and its shared memory
BUSY_S = 1.0

_CORRUPT = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_UNUSABLE = {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_AUTH}

Identity = tuple[int, int] | None


@contextmanager
def failing_as_os_error(path: Path) -> Iterator[None]:
    """Turn the errors that a file can cause into OSError; programming errors (a wrong statement) are not."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", None)
        kind = None if code is None else code & 0xFF  # without the extended part
        text = f"{path}: {error}"
        may_pass = isinstance(error, sqlite3.OperationalError)  # locked, full, a failing disk
        # Text that is not UTF-8 is reported without a code.
        if kind in _CORRUPT or (kind is None and may_pass):
            raise CorruptError(text) from None
        if kind in _UNUSABLE:
            raise UnusableError(text) from None
        if may_pass:
            raise OSError(text) from None
        raise


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors that a file can cause into OSError; invalid values (ValueError) mean corruption too."""
    try:
        with failing_as_os_error(path):
            yield
    except ValueError as error:
        raise CorruptError(f"{path}: {error}") from None


def connect(path: Path, mode: str) -> sqlite3.Connection:
    """Open the file (`mode` ro, rw, rwc); callers begin transactions explicitly."""
    # One thread uses it at a time; another may close it at the end.
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(uri, BUSY_S, isolation_level=None, check_same_thread=False, uri=True)


def identity(path: Path | str) -> Identity:
    """Return which file is at `path`; what is written to a deleted file would be lost."""
    try:
        found = os.stat(path)
    except FileNotFoundError:
        return None
    return (found.st_dev, found.st_ino)


def parts(path: Path) -> list[Path]:
    """Return the paths of a file and of SQLite's files beside it."""
    return [path.with_name(path.name + ending) for ending in ENDINGS]
