"""What all WebSockets of this process may keep of what clients send, in sum."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

from websockets.frames import CloseCode

from crypto_stream.gateway.delivery.turns import Turns

# Bytes of messages that are not yet whole, of all connections together.
MOST_IN_PARTS = 8 * 1024 * 1024


class Ending(Protocol):
    """A connection that can be ended."""

    def end(self, code: int, reason: str) -> None:
        """Say why."""

    def cut(self) -> None:
        """End it now."""


class Parts:
    """Count what has come of messages that are not whole; when it is too much, the oldest such message ends.

    Who sends whole messages is never touched, however many others begin one and leave it unfinished.
    """

    def __init__(self, ended: Counter[str] | None = None, most: int = MOST_IN_PARTS) -> None:
        """Keep at most `most` bytes; count in `ended` whom that cost its connection."""
        self._most = most
        self._ended = ended if ended is not None else Counter()
        self._kept: dict[Ending, int] = {}  # oldest first
        self.total = 0

    def note(self, connection: Ending, size: int) -> None:
        """Take `size` as what is now kept of this connection's unfinished message."""
        self.total += size - self._kept.get(connection, 0)
        if size:
            self._kept[connection] = size
        else:
            self._kept.pop(connection, None)
        while self.total > self._most:
            oldest = next(iter(self._kept))
            self.total -= self._kept.pop(oldest)
            self._ended["unfinished_message"] += 1
            oldest.end(CloseCode.POLICY_VIOLATION, "a message was not finished, and others need the room")
            oldest.cut()


class Bounds(NamedTuple):
    """`message`: bytes of one message; `parts`: of all unfinished ones; `turns`: of all that wait."""

    message: int
    parts: Parts
    turns: Turns
