"""Where programs are that Debian does not put into everybody's PATH."""

from __future__ import annotations

import os
import shutil
from pathlib import Path


def installed(name: str) -> str | None:
    """Return the path of a program, of PostgreSQL's the newest; None if it is not installed."""
    folders = [Path("/usr/sbin"), *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    return shutil.which(name) or shutil.which(name, path=os.pathsep.join(map(str, folders)))
