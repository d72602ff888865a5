"""One viewer: its pipe, and what it is owed while it cannot take frames."""

from __future__ import annotations

from typing import Any, Protocol

# Frames that may wait for a WebSocket viewer; one more and it is behind.
MOST_WAITING = 8
# The same for who wants every change: changes come in bursts, and each is a frame.
MOST_WAITING_OF_EVERY = 64
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

    def put(self, frame: Any) -> None:
        """Append a frame."""

    def cut(self) -> None:
        """End the connection now, whatever is unsent."""


class Viewer:
    """One connected viewer.

    While it is behind (since `late_since_s`), quotes are not queued for it. A WebSocket viewer is owed one
    snapshot; a polling one the quotes that changed after the mirror's version `owed_since`.
    """

    __slots__ = ("greeted", "id", "late_since_s", "most", "owed_since", "owes_hello", "owes_snapshot", "pipe")

    def __init__(self, viewer: str, pipe: Pipe) -> None:
        """Owe nothing."""
        self.id = viewer
        self.pipe = pipe
        self.greeted = False
        self.most = MOST_WAITING
        self.settle()

    def settle(self) -> None:
        """Forget every debt: the viewer gets, or needs, nothing of what it missed."""
        self.late_since_s: float | None = None
        self.owed_since: int | None = None
        self.owes_hello = False
        self.owes_snapshot = False

    def wishes(self, interval_ms: int) -> None:
        """Bound what waits by how often the viewer wants frames."""
        self.most = MOST_WAITING if interval_ms else MOST_WAITING_OF_EVERY

    def takes(self, *, newest: bool) -> bool:
        """Say whether one more frame may wait; `newest`: of a kind where only the newest counts."""
        if not newest:
            return self.pipe.waiting() <= self.most
        return self.late_since_s is None and self.pipe.waiting() <= (0 if self.pipe.polling() else self.most)
