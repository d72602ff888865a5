"""Nobody else reads the data directory: client ids are keys to accounts, and it holds the admin token."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_OTHERS = 0o077
# One of them is there in every data directory that was used before.
_MARKS = ("engine.lock", "state.db", "history.db", "orders.db")


def make_private(folder: Path) -> None:
    """Make `folder` and let its owner alone read what is in it, also what an older version left open.

    A folder that was there and never was a data directory keeps its mode. OSError when it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not any((folder / mark).exists() for mark in _MARKS):
            return
    for path in (folder, *folder.iterdir()):
        found = path.lstat()
        ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        if ours and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)


def write_new(path: Path, line: str) -> None:
    """Write a file of one line for its owner alone, all or nothing; of two writers the first one's holds."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # made with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{line}\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
