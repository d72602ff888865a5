"""TLS as a client: whom to trust, read once in the life of a process."""

from __future__ import annotations

import ssl
from functools import cache
from urllib.parse import urlsplit


@cache
def tls_context() -> ssl.SSLContext:
    """Return the context of all connections: this machine's certificate authorities, host names are checked.

    Reading the authorities takes 25 ms of CPU time: done for each connection, it would hold up the quotes of
    all other venues each time. SSL_CERT_FILE and SSL_CERT_DIR name other authorities.
    """
    return ssl.create_default_context()


def websocket_tls(url: str) -> ssl.SSLContext | None:
    """Return the context for a WebSocket to `url`; None for ws, which has no TLS."""
    return tls_context() if urlsplit(url).scheme == "wss" else None
