"""Limits on what this process buffers of incoming messages, for all WebSockets together."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple, Protocol

from websockets.frames import CloseCode

from crypto_stream.gateway.delivery.round_robin import RoundRobin

# Bytes of incomplete messages, of all connections together.
MAX_PARTIAL_BYTES = 8 * 1024 * 1024


class Closable(Protocol):
    """A connection that can be closed."""

    def end(self, code: int, reason: str) -> None:
        """Send a close frame."""

    def cut(self) -> None:
        """Close the connection immediately."""


class PartialMessages:
    """The sizes of incomplete messages; beyond the limit, the connection with the oldest one is closed.

    A client that sends whole messages is never affected, however many others leave theirs incomplete.
    """

    def __init__(self, ended: Counter[str] | None = None, max_bytes: int = MAX_PARTIAL_BYTES) -> None:
        """Allow at most `max_bytes`; count the closed connections in `ended`."""
        self._max_bytes = max_bytes
        self._ended = ended if ended is not None else Counter()
        self._sizes: dict[Closable, int] = {}  # oldest first
        self.total = 0

    def update(self, connection: Closable, size: int) -> None:
        """Set the size of a connection's incomplete message; 0 if it has none."""
        self.total += size - self._sizes.get(connection, 0)
        if size:
            self._sizes[connection] = size
        else:
            self._sizes.pop(connection, None)
        while self.total > self._max_bytes:
            oldest = next(iter(self._sizes))
            self.total -= self._sizes.pop(oldest)
            self._ended["unfinished_message"] += 1
            oldest.end(CloseCode.POLICY_VIOLATION, "an incomplete message was dropped to free memory")
            oldest.cut()


class Bounds(NamedTuple):
    """The limit on one message in bytes, on all incomplete ones, and on messages not yet handled."""

    max_message: int
    partial: PartialMessages
    round_robin: RoundRobin
