"""Backup and restore of a data directory: consistent, checked copies, also while it is in use."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from types import MappingProxyType

from crypto_stream.errors import UsageError
from crypto_stream.storage import sqlite, sqlite_history, sqlite_order_rows
from crypto_stream.storage.interface import UnusableError
from crypto_stream.storage.order_mark import mark_path
from crypto_stream.storage.sqlite_file import connect, parts
from crypto_stream.storage.sqlite_tables import Tables, upgrade, version
from crypto_stream.wall_clock import wall_ms

FILES: Mapping[str, Tables] = MappingProxyType(
    {tables.name: tables for tables in (sqlite_order_rows.TABLES, sqlite_history.TABLES, sqlite.TABLES)}
)


def backup(data_dir: Path, folder: Path) -> dict[str, int]:
    """Copy the files of `data_dir` to a new `folder`, each as of one moment; return names and bytes.

    Writers are not interrupted. Raises UsageError if it fails; the folder is then removed.
    """
    names = [name for name in FILES if (data_dir / name).exists()]
    if not names:
        raise UsageError(f"data_dir: {data_dir} contains no data; name the folder with --data-dir")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700)
    except FileExistsError:
        raise UsageError(f"folder: {folder} exists already; name a new one") from None
    except OSError as error:
        raise UsageError(f"folder: {folder} cannot be created: {error.strerror}") from None
    try:
        return {name: _copy(data_dir / name, folder / name, FILES[name]) for name in names}
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def restore(data_dir: Path, folder: Path) -> tuple[dict[str, int], Path | None]:
    """Replace the files in `data_dir`, which no engine may use, by those of a backup.

    Returns names and bytes, and the folder with the previous files (None: there were none). All copies are
    made and checked before the first file is replaced. Restored orders get a new store identity.
    """
    names = [name for name in FILES if (folder / name).is_file()]
    if not names:
        raise UsageError(f"folder: {folder} contains no backup: none of {', '.join(FILES)} is in it")
    sizes = _copy_drafts(data_dir, folder, names)
    aside = data_dir / f"before-restore-{wall_ms()}"
    moved = False
    for name in names:
        path = data_dir / name
        for part in [*parts(path), mark_path(path)]:
            if part.exists():
                aside.mkdir(mode=0o700, exist_ok=True)
                part.rename(aside / part.name)
                moved = True
        _draft(path).rename(path)
    _sync(data_dir)
    return sizes, aside if moved else None


def _copy_drafts(data_dir: Path, folder: Path, names: Sequence[str]) -> dict[str, int]:
    """Copy the files beside those that they will replace; return names and bytes."""
    sizes = {}
    try:
        for name in names:
            sizes[name] = _copy(folder / name, _draft(data_dir / name), FILES[name])
        if (orders := sqlite_order_rows.TABLES).name in names:
            with closing(connect(_draft(data_dir / orders.name), "rw")) as database:
                upgrade(database, orders)
                database.execute(sqlite_order_rows.NEW_STORE)
    except BaseException:
        for name in names:
            _draft(data_dir / name).unlink(missing_ok=True)
        raise
    return sizes


def _draft(path: Path) -> Path:
    return path.with_name(f"{path.name}-restored")


def _copy(source: Path, target: Path, tables: Tables) -> int:
    """Copy one file and check the copy; return its size in bytes."""
    with _usage_errors(source):
        for part in parts(target):
            part.unlink(missing_ok=True)
        os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        with closing(connect(source, "ro")) as ours, closing(connect(target, "rw")) as copy:
            _check(ours, tables)
            ours.backup(copy)
            # A single file, without a log.
            copy.execute("PRAGMA journal_mode = DELETE")
            ((found,), *_) = copy.execute("PRAGMA integrity_check").fetchall()
            if found != "ok":
                raise UnusableError(f"the copy is damaged: {found}")
    _sync(target)
    return target.stat().st_size


def _check(database: sqlite3.Connection, tables: Tables) -> None:
    if not version(database, tables):
        raise UnusableError("it has no tables: it was copied while in use, without its log")


@contextmanager
def _usage_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UsageError(f"{path} cannot be copied: {error}") from None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system supports it for folders
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
