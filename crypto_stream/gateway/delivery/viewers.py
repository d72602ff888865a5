"""One viewer: its pipe, and what it is owed while it cannot take frames."""

from __future__ import annotations

from typing import Any, Protocol

# Frames besides quotes (of a switch, the status) that may wait for a viewer; one more and it goes without.
MOST_WAITING = 8
# Frames that may wait for anybody, acknowledgements and snapshots it asked for included; then it is cut.
MOST_OWED = 128
# Seconds behind after which a viewer is cut.
PATIENCE_S = 30.0


class Pipe(Protocol):
    """The way to one viewer; nothing here ever waits."""

    def waiting(self) -> int:
        """Count the frames that were put and not yet taken."""

    def polling(self) -> bool:
        """Say whether the viewer fetches by polling: then one waiting frame is enough."""

    def offer(self, frame: Any) -> int:
        """Send a frame if nothing waits; return its bytes, or 0: then it is skipped."""

    def put(self, frame: Any) -> int:
        """Send a frame, or let it wait; return its bytes."""

    def mute(self, muted: bool) -> None:
        """Refuse, or take again, what is offered."""

    def drop(self) -> None:
        """End the connection now, whatever is unsent."""


class Viewer:
    """One connected viewer.

    While it is behind (since `late_since_s`), or not yet greeted, its pipe is mute. A WebSocket viewer is
    owed one snapshot; a polling one the quotes that changed after the mirror's version `owed_since`.
    `has_unread` says that a snapshot was put since it last had taken everything.
    """

    __slots__ = (
        *("greeted", "has_unread", "id", "late_since_s", "owed_since", "owes_hello", "owes_snapshot"),
        "pipe",
    )

    def __init__(self, viewer: str, pipe: Pipe) -> None:
        self.id = viewer
        self.pipe = pipe
        self.greeted = self.has_unread = False
        self.settle()

    def settle(self) -> None:
        """Forget every debt: the viewer gets, or needs, nothing of what it missed."""
        self.late_since_s: float | None = None
        self.owed_since: int | None = None
        self.owes_hello = False
        self.owes_snapshot = False
        self.pipe.mute(not self.greeted)
