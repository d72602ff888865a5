"""Who asks from where: same origin, loopback, allowed other origins. Pure, over a WSGI environ."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

# Headers that a proxy adds: a request with one of them did not come straight from this machine.
_FORWARDED = (
    *(
        "HTTP_FORWARDED",
        "HTTP_VIA",
        "HTTP_X_FORWARDED_FOR",
        "HTTP_X_FORWARDED_HOST",
        "HTTP_X_FORWARDED_PROTO",
    ),
    *("HTTP_X_FORWARDED_PORT", "HTTP_X_FORWARDED_SERVER", "HTTP_X_REAL_IP", "HTTP_CF_CONNECTING_IP"),
    *("HTTP_X_CLIENT_IP", "HTTP_TRUE_CLIENT_IP", "HTTP_X_ORIGINAL_HOST"),
)


def allowed(origins: Sequence[str], origin: str | None, environ: Mapping[str, Any]) -> bool:
    """Say whether pages of `origin` may read and connect: our own, those listed, or all with `*`."""
    return origin is None or "*" in origins or origin in origins or _host(origin) == _own_host(environ)


def from_this_machine(environ: Mapping[str, Any]) -> str | None:
    """Return None when the request comes from this machine and its own pages, else what speaks against it."""
    host = _own_host(environ)
    origin = environ.get("HTTP_ORIGIN")
    if not _is_loopback(str(environ.get("REMOTE_ADDR", ""))):
        return "the address is not of this machine"
    if not _splits(host) or not _is_loopback(urlsplit(f"//{host}").hostname or ""):
        return "the Host is not of this machine"
    if any(name in environ for name in _FORWARDED):
        return "the request was forwarded"
    if origin is not None and origin.lower() != f"{environ.get('wsgi.url_scheme', 'http')}://{host}":
        return "the Origin is another one"
    return None


def _own_host(environ: Mapping[str, Any]) -> str:
    return str(environ.get("HTTP_HOST", "")).lower()


def _host(origin: str) -> str | None:
    return urlsplit(origin).netloc.lower() or None if _splits(origin) else None


def _splits(text: str) -> bool:
    """Say whether `urlsplit` can read the text: it raises on a broken bracket."""
    try:
        urlsplit(text if "//" in text else f"//{text}")
    except ValueError:
        return False
    return True


def _is_loopback(name: str) -> bool:
    if name.lower() == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
