"""The listening socket of a gateway."""

from __future__ import annotations

import socket

# Bytes of unsent data the kernel holds before it says "not writable", so that a slow reader is noticed.
_UNSENT = 16 * 1024


def prepare(listener: socket.socket) -> None:
    """Set what every accepted connection inherits: no Nagle delay, little hidden in the kernel."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    unsent = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if unsent is not None:
        listener.setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT)
