"""How far a store of orders had acknowledged, kept beside it: what a file lacks is known by this.

It is written after each commit and before anybody is told of it, so it is never ahead of a whole file. The
kernel keeps it when the process is killed; once a second it is brought to the disk.
"""

from __future__ import annotations

import logging
import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from crypto_stream.log_throttle import TroubleLog

log = logging.getLogger(__name__)

_SYNC_S = 1.0
_FORM = re.compile(r"([0-9a-f-]+) ([0-9]{20})\n").fullmatch


class Marked(NamedTuple):
    """The identity of a store, and how many commits it had acknowledged."""

    store: str
    commits: int


def mark_path(path: Path) -> Path:
    """Return where the mark of a store stands."""
    return path.with_name(f"{path.name}-mark")


class Mark:
    """The mark of the store at one path."""

    def __init__(self, path: Path) -> None:
        """Use the file beside `path`; made at the first `put`."""
        self.path = mark_path(path)
        self._file: int | None = None
        self._synced_s = 0.0
        self._log = TroubleLog(log, "the mark of the orders cannot be written", level=logging.ERROR)

    def read(self) -> Marked | None:
        """Return what was marked last, None where nothing was; what cannot be read is said."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            log.error("the mark of the orders cannot be read", extra={"reason": str(error)})
            return None
        if not (found := _FORM(text)):
            log.error("the mark of the orders cannot be read", extra={"file": str(self.path)})
            return None
        return Marked(found[1], int(found[2]))

    def put(self, marked: Marked) -> None:
        """Mark it; a failure is said once and harms nothing else: the orders themselves are kept."""
        text = f"{marked.store} {marked.commits:020}\n".encode()
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            os.pwrite(self._file, text, 0)
            os.ftruncate(self._file, len(text))
            if time.monotonic() - self._synced_s >= _SYNC_S:
                os.fdatasync(self._file) if hasattr(os, "fdatasync") else os.fsync(self._file)
                self._synced_s = time.monotonic()
        except OSError as error:
            self._log.fails(str(error))
        else:
            self._log.works()

    def close(self) -> None:
        """Bring it to the disk and close it."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.fsync(file)
            os.close(file)
