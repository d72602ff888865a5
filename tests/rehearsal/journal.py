"""What the log of a machine says; each line is read once, however long the log becomes."""

from __future__ import annotations

import re
from pathlib import Path

# What an engine logs when it knows its place, and when it has prices.
FOLLOWS, LEADS = "follows: another engine leads", " leads term="
_WARM = "source live source=binance"
# What a gateway logs when it uses a relay, and a supervisor when the last gateway was restarted by SIGUSR1.
_JOINED = re.compile(r" joined the engine relay=(\S+) ")
_RELOADED = "restarted left=0"


class Journal:
    """The log of one machine: each start of its engine or gateway, and what was said since the last one."""

    def __init__(self, path: Path, part: str) -> None:
        """Follow the log at `path`, which need not exist yet and is never rotated; `part` is its process."""
        self._path = path
        self._start = re.compile(rf" {part} started pid=(\d+)")
        self._at = 0
        self._rest = b""
        self._pids: list[int] = []
        self._place = ""
        self._is_warm = False
        self._relay = ""
        self._joins = 0
        self._reloads = 0

    @property
    def pids(self) -> list[int]:
        """The process ids of each start, oldest first."""
        self._read()
        return self._pids

    @property
    def place(self) -> str:
        """FOLLOWS or LEADS, whichever was said last since the last start; empty if nothing was."""
        self._read()
        return self._place

    @property
    def is_warm(self) -> bool:
        """Whether an engine has come to know its place and its prices since its last start."""
        return bool(self.place) and self._is_warm

    @property
    def relay(self) -> str:
        """The address of the relay that a gateway has joined the engine over last; empty since a start."""
        self._read()
        return self._relay

    @property
    def joins(self) -> int:
        """How often a gateway has joined the engine."""
        self._read()
        return self._joins

    @property
    def reloads(self) -> int:
        """How often all gateways were restarted one after the other."""
        self._read()
        return self._reloads

    def _read(self) -> None:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        self._at += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(line.decode("utf-8", "replace"))

    def _take(self, line: str) -> None:
        if found := self._start.search(line):
            self._pids.append(int(found[1]))
            self._place, self._is_warm, self._relay = "", False, ""
        if found := _JOINED.search(line):
            self._relay = found[1]
            self._joins += 1
        self._reloads += _RELOADED in line
        for place in (FOLLOWS, LEADS):
            if place in line:
                self._place = place
        self._is_warm |= _WARM in line
