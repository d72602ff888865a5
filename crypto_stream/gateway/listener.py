"""How the sockets of a gateway are set: its listening one, whose accepted ones inherit it, and WebSockets."""

from __future__ import annotations

import _socket
import socket

# Bytes of unsent data the kernel holds before it says "not writable", so that a slow reader is noticed: an
# unread loopback socket would swallow 4 MB, minutes of old prices.
_UNSENT = 16 * 1024


def prepare(one: socket.socket | _socket.socket) -> None:
    """Set no Nagle delay, and little hidden in the kernel."""
    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    unsent = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if unsent is not None:
        one.setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT)
