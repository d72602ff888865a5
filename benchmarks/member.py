"""One viewer of the crowd: its socket and what it has seen."""

from __future__ import annotations

import socket

from benchmarks.wire import Shot

TEXT = 1


class Viewer:
    """One connection."""

    __slots__ = (
        "halted",
        "lost",
        "open",
        "ready",
        "rest",
        "seq",
        "shot",
        "skipped",
        "snapshots",
        "socket",
        "timed",
    )

    def __init__(self, connected: socket.socket, *, timed: bool) -> None:
        """Start before the handshake; a viewer that will stop reading is not `timed`."""
        self.socket = connected
        self.timed = timed
        self.rest = b""
        self.open = self.ready = self.lost = self.halted = False
        self.shot: Shot | None = None
        self.seq = self.skipped = self.snapshots = 0

    def send(self, payload: bytes, opcode: int = TEXT) -> None:
        """Send one short frame, masked with zeros."""
        size = len(payload)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
        self.socket.send(bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload)

    def is_newest(self, last: dict[str, list[str]]) -> bool:
        """Return whether the last frame contained the last prices."""
        return self.shot is not None and self.shot.newest == last

    def shown(self) -> str:
        """Return an excerpt of the last frame."""
        return str(self.shot and dict(list(self.shot.newest.items())[:1]))
