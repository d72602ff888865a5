"""The client's address behind trusted proxies (`X-Forwarded-For`). Pure, over a WSGI environ."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from crypto_stream.gateway.web.headers import Wsgi

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Forwarded:
    """WSGI middleware: set REMOTE_ADDR to the client's address as `trusted` proxies report it."""

    def __init__(self, app: Wsgi, trusted: Sequence[Network]) -> None:
        self._app = app
        self._trusted = trusted

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        peer, header = str(environ.get("REMOTE_ADDR", "")), environ.get("HTTP_X_FORWARDED_FOR")
        if header:
            environ["REMOTE_ADDR"] = client(peer, header, self._trusted)
        return self._app(environ, start_response)


def client(peer: str, header: str, trusted: Sequence[Network]) -> str:
    """Return the rightmost address that is not a trusted proxy: a client can forge whatever is left of it."""
    current = peer
    for entry in reversed(header.split(",")):
        address = _parse(current)
        if address is None or not any(address in network for network in trusted):
            return current
        previous = _parse(entry)
        if previous is None:
            return current
        current = str(previous)
    return current


def _parse(entry: str) -> _Address | None:
    """Parse an address; some proxies append its port."""
    text = entry.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
