"""Nobody else reads the data directory: client ids are keys to accounts, and it holds the admin token."""

from __future__ import annotations

import os
import stat
from pathlib import Path

_OTHERS = 0o077
_MARK = "engine.lock"  # there in every data directory that was used before


def make_private(folder: Path) -> None:
    """Make `folder` and let its owner alone read what is in it, also what an older version left open.

    A folder that was there and never was a data directory keeps its mode. OSError when it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not (folder / _MARK).exists():
            return
    for path in (folder, *folder.iterdir()):
        found = path.lstat()
        ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        if ours and found.st_mode & _OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
