"""Which origins' pages may read and connect: our own and the allowed ones. Pure, over a WSGI environ."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from crypto_stream.origin import normal_origin

# A proxy adds these; a page cannot, because it cannot set headers of a browser's WebSocket handshake.
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED")


def allowed(origins: Sequence[str], origin: str | None, environ: Mapping[str, Any]) -> bool:
    """Return whether pages of `origin` may read and connect: our own, those listed, or all with `*`."""
    if origin is None or "*" in origins or origin in origins:
        return True
    try:
        theirs = normal_origin(origin)
        scheme = theirs.partition("://")[0]  # ours may be unknown, behind a proxy that speaks TLS
        ours = normal_origin(f"{scheme}://{environ.get('HTTP_HOST', '')}")
    except ValueError:
        return False
    return theirs in origins or (theirs == ours and _is_ours(ours, environ))


def _is_ours(origin: str, environ: Mapping[str, Any]) -> bool:
    """Return whether the Host header can be trusted to name us, against DNS rebinding.

    Anybody can point a name of their own at this machine; their page then has the same origin as we do
    under that name. That cannot happen with an IP address, a local name, or behind a proxy.
    """
    if any(name in environ for name in FORWARDED):
        return True
    name = (urlsplit(origin).hostname or "").rstrip(".")
    if ("." not in name and ":" not in name) or name.endswith((".localhost", ".local")):
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def listed(origins: Sequence[str], origin: str | None) -> bool:
    """Return whether the setting names this origin, rather than `*` allowing it: it may send credentials."""
    return origin is not None and origin in origins


def refusal(origin: str | None, environ: Mapping[str, Any]) -> str:
    """Explain why `allowed` is False and what to change."""
    host = str(environ.get("HTTP_HOST", ""))[:100]
    return (
        f"Pages from {str(origin)[:100]} may not connect: this server received the Host header {host!r}."
        " Behind a proxy, pass the original Host header on (nginx: proxy_set_header Host $http_host);"
        " otherwise add the origin to the setting origins."
    )
