"""Whose request it is, where a proxy that we trust handed it on. Pure, over a WSGI environ."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from crypto_stream.gateway.web.headers import Wsgi

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Forwarded:
    """Give every request the address of its client, as `X-Forwarded-For` of `trusted` proxies tells it."""

    def __init__(self, app: Wsgi, trusted: Sequence[Network]) -> None:
        """Wrap `app`."""
        self._app = app
        self._trusted = trusted

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        peer, told = str(environ.get("REMOTE_ADDR", "")), environ.get("HTTP_X_FORWARDED_FOR")
        if told:
            environ["REMOTE_ADDR"] = client(peer, told, self._trusted)
        return self._app(environ, start_response)


def client(peer: str, told: str, trusted: Sequence[Network]) -> str:
    """Return the last address before the trusted proxies: further left may stand anything."""
    present = peer
    for word in reversed(told.split(",")):
        address = _parsed(present)
        if address is None or not any(address in network for network in trusted):
            return present
        before = _parsed(word)
        if before is None:
            return present
        present = str(before)
    return present


def _parsed(word: str) -> _Address | None:
    """Read an address, which some proxies write with its port."""
    text = word.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
