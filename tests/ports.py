"""Ports of the loopback, for servers that a test starts."""

from __future__ import annotations

import secrets
import socket
from contextlib import suppress

# Below those that Linux gives to outgoing connections, of which other tests open thousands at any time, and
# above those that browsers refuse.
_PORTS = range(11_000, 32_768)


def free_port() -> int:
    """Return a port that nobody uses now; nobody gets it by chance before it is used."""
    while True:
        with suppress(OSError), socket.create_server(("127.0.0.1", secrets.choice(_PORTS))) as free:
            return int(free.getsockname()[1])


def listens(port: int) -> bool:
    """Return whether something listens on a port."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
