"""What delivery needs of a green server's hub; each of `servers/*` has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

# Key of a WSGI environ: a function that takes the connection away from the server. It returns a descriptor
# of it and the bytes that were already read behind the request.
DETACH = "crypto_stream.detach"

# A callback of the hub: it must never block. It may be handed arguments that mean nothing here.
Call = Callable[..., None]
# Ends a watch.
Stop = Callable[[], Any]


class Hub(Protocol):
    """Callbacks when sockets are ready, and green threads for what may block."""

    def reading(self, descriptor: int, call: Call) -> Stop:
        """Call whenever there is something to read, or the connection broke."""

    def writing(self, descriptor: int, call: Call) -> Stop:
        """Call whenever something can be written, or the connection broke."""

    def soon(self, call: Call, *args: Any) -> None:
        """Call once on the hub, after what runs now."""

    def later(self, seconds: float, call: Call) -> None:
        """Call once on the hub, after this time."""

    def spawn(self, call: Callable[[], None]) -> None:
        """Run in a green thread of its own."""
