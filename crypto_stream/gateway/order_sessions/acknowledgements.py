"""Which reports a client has read. Pure: the time is handed in (monotonic seconds).

That a socket took a report says little: its client may have been gone for minutes. So a WebSocket ping with
the report's seq is sent behind it, and its pong is the receipt: every client's library answers by itself.
"""

from __future__ import annotations

# Seconds from one question to the next: under load one receipt is for many reports.
ASK_S = 0.1


class Acknowledgements:
    """Remember the newest report that was sent, asked for, and received by the client, each by its seq."""

    __slots__ = ("_asked", "_next_s", "_received", "_sent")

    def __init__(self) -> None:
        self._sent = self._asked = self._received = 0
        self._next_s = 0.0

    def sent(self, seq: int) -> None:
        """Note a report; for one that is told again there will be a receipt again."""
        self._sent = max(self._sent, seq)
        self._asked = min(self._asked, seq - 1)
        self._received = min(self._received, seq - 1)

    def owed(self) -> bool:
        """Say whether there is a report for which no receipt was asked yet."""
        return self._sent > self._asked

    def question(self, now_s: float) -> bytes | None:
        """Give what is to be asked now, None when it is too early."""
        if now_s < self._next_s:
            return None
        self._next_s = now_s + ASK_S
        self._asked = self._sent
        return b"%d" % self._sent

    def answer(self, payload: bytes) -> int | None:
        """Read a receipt; return the seq up to which all is read, None where that is nothing new."""
        seq = int(payload) if payload.isdigit() and len(payload) < 20 else 0
        if not self._received < seq <= self._sent:
            return None
        self._received = seq
        return seq

    def forget(self) -> None:
        """Begin anew: the engine's next life may tell all of it again."""
        self._sent = self._asked = self._received = 0
