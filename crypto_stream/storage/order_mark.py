"""The number of acknowledged commits, in a file beside the store, to detect a store that misses some.

It is written after each commit and before results are sent, so it is never ahead of an intact store. It
survives a killed process, because the kernel buffers it; it is synced to the disk every second.
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
_UNREADABLE = "the mark of %s cannot be read"
_FORM = re.compile(r"([0-9a-f-]+) ([0-9]{20})\n").fullmatch


class Mark(NamedTuple):
    """The identity of a store, and its number of acknowledged commits."""

    store: str
    commits: int


def mark_path(path: Path) -> Path:
    """Return the path of a store's mark file."""
    return path.with_name(f"{path.name}-mark")


class MarkFile:
    """The mark file of the store at one path."""

    def __init__(self, path: Path) -> None:
        """Use the file beside `path`, created by the first `put`."""
        self.path = mark_path(path)
        self._name = path.name
        self._file: int | None = None
        self._synced_s = 0.0
        self._log = TroubleLog(log, f"the mark of {path.name} cannot be written", level=logging.ERROR)

    def read(self) -> Mark | None:
        """Return the last mark, None if there is none; log if it cannot be read."""
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            log.error(_UNREADABLE, self._name, extra={"reason": str(error)})
            return None
        if not (found := _FORM(text)):
            log.error(_UNREADABLE, self._name, extra={"file": str(self.path)})
            return None
        return Mark(found[1], int(found[2]))

    def put(self, marked: Mark) -> None:
        """Write the mark; a failure is only logged, because the orders themselves are stored."""
        text = f"{marked.store} {marked.commits:020}\n".encode()
        try:
            if self._file is None:
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
                os.ftruncate(self._file, len(text))  # all marks are equally long
            os.pwrite(self._file, text, 0)
            if time.monotonic() - self._synced_s >= _SYNC_S:
                os.fdatasync(self._file) if hasattr(os, "fdatasync") else os.fsync(self._file)
                self._synced_s = time.monotonic()
        except OSError as error:
            self._log.fails(str(error))
        else:
            self._log.works()

    def close(self) -> None:
        """Sync to the disk and close."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.fsync(file)
            os.close(file)
