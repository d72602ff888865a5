"""Files that only their owner may read: the data directory holds the admin token and clients' ids.

Whoever knows a client id can trade as that client.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

_GROUP_AND_OTHERS = 0o077
# Every data directory that was used before contains at least one of these.
_KNOWN_FILES = ("engine.lock", "state.db", "history.db", "orders.db")


def make_private(folder: Path) -> None:
    """Create `folder`, and make it and the files in it private, including those of older versions.

    An existing folder that was never a data directory keeps its mode. Raises OSError if it cannot be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True)
    except FileExistsError:
        if not any((folder / name).exists() for name in _KNOWN_FILES):
            return
    for path in (folder, *folder.iterdir()):
        found = path.lstat()
        ours = found.st_uid == os.geteuid() and (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode))
        if ours and found.st_mode & _GROUP_AND_OTHERS:
            path.chmod(stat.S_IMODE(found.st_mode) & ~_GROUP_AND_OTHERS)


def write_new(path: Path, line: str) -> None:
    """Create a private one-line file atomically; an existing file is left as it is."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, draft = tempfile.mkstemp(dir=path.parent)  # creates it with mode 0600
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{line}\n")
        with suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
