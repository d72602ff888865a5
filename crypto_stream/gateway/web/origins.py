"""Whose pages may read and connect: our own and those of allowed origins. Pure, over a WSGI environ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crypto_stream.origin import normal_origin


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
    return theirs in origins or theirs == ours


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
