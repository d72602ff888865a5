"""Bytes to lines, and how many of them are allowed. Pure."""

from __future__ import annotations

from crypto_stream.errors import VenueError


class LineSplitter:
    """Split what each read returned into complete lines of at most `max_bytes`, without their ends."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._partial = bytearray()

    @property
    def partial_bytes(self) -> int:
        """The length of the incomplete last line."""
        return len(self._partial)

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that `data` completes, without blank ones; raise VenueError if one is too long."""
        *ends, rest = data.split(b"\n")
        lines: list[bytes] = []
        for end in ends:
            line = bytes(self._partial) + end
            self._partial.clear()
            self._check(len(line) + 1)
            if line and not line.isspace():
                lines.append(line)
        self._check(len(self._partial) + len(rest))
        self._partial += rest
        return lines

    def _check(self, length: int) -> None:
        if length > self._max_bytes:
            raise VenueError(f"a line of more than {self._max_bytes:,} bytes")


class LineRate:
    """Count lines, or some of them, in windows of a second on the caller's clock; `most` may be in each."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._since_s = 0.0
        self._lines = 0

    def exceeds(self, lines: int, now_s: float) -> bool:
        """Count `lines`; return whether there were too many in the current window."""
        if now_s - self._since_s >= 1.0:
            self._since_s, self._lines = now_s, 0
        self._lines += lines
        return self._lines > self._most
