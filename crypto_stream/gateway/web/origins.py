"""Whose pages may read and connect: our own and those of allowed origins. Pure, over a WSGI environ."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from crypto_stream.origin import normal_origin

# What a proxy adds, and no page can: a browser's WebSocket handshake carries no header of the page's choice.
FORWARDED = ("HTTP_X_FORWARDED_FOR", "HTTP_X_FORWARDED_PROTO", "HTTP_X_FORWARDED_HOST", "HTTP_FORWARDED")


def allowed(origins: Sequence[str], origin: str | None, environ: Mapping[str, Any]) -> bool:
    """Say whether pages of `origin` may read and connect: our own, those listed, or all with `*`."""
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
    """Say whether the Host can be ours: anybody may let a name of his own point to this machine.

    His page then has the same origin as we have under that name (DNS rebinding). An address, a name of this
    machine or network, and whatever a proxy hands on, cannot be had so.
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
    """Say whether an origin is named in the setting, not just let in by `*`: it may send credentials."""
    return origin is not None and origin in origins


def refusal(origin: str | None, environ: Mapping[str, Any]) -> str:
    """Say what is refused where `allowed` is False, and what to change."""
    host = str(environ.get("HTTP_HOST", ""))[:100]
    return (
        f"Pages of {str(origin)[:100]} may not connect: the Host that reached this server is {host!r}."
        " If a proxy stands between, let it hand on the Host as it came"
        " (nginx: proxy_set_header Host $http_host); else list the origin in the setting origins."
    )
