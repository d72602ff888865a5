"""One viewer: its pipe, and what it has missed while it was slow."""

from __future__ import annotations

from typing import Any, Protocol

# Frames other than quotes (source switches, status) that may be queued for a viewer; beyond this they are
# skipped.
MAX_WAITING = 8
# Frames of any kind that may be queued for a viewer, acknowledgements and requested snapshots included;
# beyond this it is cut off.
MAX_UNSENT = 128
# Seconds for which a viewer may be slow before it is cut off.
SLOW_CLIENT_TIMEOUT_S = 30.0


class Pipe(Protocol):
    """The connection to one viewer; nothing here ever blocks."""

    def waiting(self) -> int:
        """Count the queued frames."""

    def polling(self) -> bool:
        """Return whether the viewer polls: it then fetches the queued frames at its next poll."""

    def offer(self, frame: Any) -> int:
        """Send a frame if none is queued and return its size in bytes; otherwise skip it and return 0."""

    def put(self, frame: Any) -> int:
        """Send or queue a frame; return its size in bytes."""

    def pause_offers(self, paused: bool) -> None:
        """Make `offer` skip all frames, or accept them again."""

    def drop(self) -> None:
        """Close the connection immediately, whatever is unsent."""


class Viewer:
    """One connected viewer.

    While it is slow (since `slow_since_s`), and before `hello`, offers to its pipe are paused. To catch up, a
    WebSocket viewer needs one snapshot, a polling one the quotes that changed after the mirror's version
    `missed_since`. `unread_snapshot` says that a snapshot was sent since its queue was last empty.
    """

    __slots__ = (
        "hello_sent",
        "id",
        "missed_since",
        "needs_hello",
        "needs_snapshot",
        "pipe",
        "slow_since_s",
        "unread_snapshot",
    )

    def __init__(self, viewer: str, pipe: Pipe) -> None:
        self.id = viewer
        self.pipe = pipe
        self.hello_sent = self.unread_snapshot = False
        self.mark_current()

    def mark_current(self) -> None:
        """Note that the viewer has missed nothing, or has been sent all it missed."""
        self.slow_since_s: float | None = None
        self.missed_since: int | None = None
        self.needs_hello = False
        self.needs_snapshot = False
        self.pipe.pause_offers(not self.hello_sent)
