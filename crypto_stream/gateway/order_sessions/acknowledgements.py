"""Which reports a client has received. Pure: callers pass the time (monotonic seconds).

That the socket accepted a report says little: its client may have been gone for minutes. So a WebSocket ping
with the report's seq follows it, and the pong acknowledges it; every WebSocket library answers pings itself.
"""

from __future__ import annotations

# Least time between two pings: under load one pong acknowledges many reports.
PING_INTERVAL_S = 0.1


class Acknowledgements:
    """The seq of the newest report that was sent, pinged for, and acknowledged."""

    __slots__ = ("_acknowledged", "_next_s", "_pinged", "_sent")

    def __init__(self) -> None:
        self._sent = self._pinged = self._acknowledged = 0
        self._next_s = 0.0

    def sent(self, seq: int) -> None:
        """Note that a report was sent; one that is sent again must be acknowledged again."""
        self._sent = max(self._sent, seq)
        self._pinged = min(self._pinged, seq - 1)
        self._acknowledged = min(self._acknowledged, seq - 1)

    def ping_due(self) -> bool:
        """Return whether a report was sent after the last ping."""
        return self._sent > self._pinged

    def ping_payload(self, now_s: float) -> bytes | None:
        """Return the payload of the next ping; None if it is too early for one."""
        if now_s < self._next_s:
            return None
        self._next_s = now_s + PING_INTERVAL_S
        self._pinged = self._sent
        return b"%d" % self._sent

    def pong(self, payload: bytes) -> int | None:
        """Read a pong; return the seq up to which reports are newly acknowledged, or None."""
        seq = int(payload) if payload.isdigit() and len(payload) < 20 else 0
        if not self._acknowledged < seq <= self._sent:
            return None
        self._acknowledged = seq
        return seq

    def reset(self) -> None:
        """Start again: the engine's next run may send all reports again."""
        self._sent = self._pinged = self._acknowledged = 0
