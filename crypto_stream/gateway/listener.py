"""The listening socket of a gateway."""

from __future__ import annotations

import errno
import os
import socket

from crypto_stream.errors import UsageError

_BACKLOG = 1024
# Bytes of unsent data the kernel holds before it says "not writable", so that a slow reader is noticed.
_UNSENT = 16 * 1024


def listen(host: str, port: int) -> socket.socket:
    """Open the listener; UsageError in one line when the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise UsageError(
                f"port: {port} on {host} is in use; stop what uses it or choose another"
            ) from None
        reason = os.strerror(error.errno) if isinstance(error.errno, int) and error.errno > 0 else str(error)
        raise UsageError(f"host: cannot listen on {host!r} port {port}: {reason}") from None


def prepare(listener: socket.socket) -> None:
    """Set what every accepted connection inherits: no Nagle delay, little hidden in the kernel."""
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    unsent = getattr(socket, "TCP_NOTSENT_LOWAT", None)
    if unsent is not None:
        listener.setsockopt(socket.IPPROTO_TCP, unsent, _UNSENT)
