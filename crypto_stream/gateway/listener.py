"""Socket options of a gateway's listening socket (accepted sockets inherit them) and of WebSockets."""

from __future__ import annotations

import _socket
import socket

# Unsent bytes in the kernel at which a socket stops being writable, so that a slow reader is noticed: a
# loopback socket would otherwise buffer 4 MB, minutes of outdated prices.
_UNSENT_BYTES = 16 * 1024


def prepare(one: socket.socket | _socket.socket) -> None:
    """Disable Nagle's algorithm and limit the unsent bytes in the kernel."""
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if option is not None:
        one.setsockopt(socket.IPPROTO_TCP, option, _UNSENT_BYTES)
