"""What delivery needs from a green server's event loop (its hub); each of `servers/*` implements it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

# Key of a WSGI environ: a function that takes the connection away from the server. It returns a descriptor
# of the socket, and the bytes already read after the request.
DETACH = "crypto_stream.detach"

# A callback on the hub: it must never block. It may be passed arguments, which it ignores.
Call = Callable[..., None]
# Ends a watch.
Stop = Callable[[], Any]


class Hub(Protocol):
    """Callbacks when sockets are ready, and green threads for work that may block."""

    def on_readable(self, descriptor: int, call: Call) -> Stop:
        """Call whenever the socket is readable or has failed."""

    def on_writable(self, descriptor: int, call: Call) -> Stop:
        """Call whenever the socket is writable or has failed."""

    def call_soon(self, call: Call, *args: Any) -> None:
        """Call once, after the current callback."""

    def call_later(self, seconds: float, call: Call) -> None:
        """Call once, after this time."""

    def spawn(self, call: Callable[[], None]) -> None:
        """Run in a green thread of its own."""

    def yield_control(self) -> None:
        """Let the other green threads run once, and call what is to be called for sockets that are ready."""
