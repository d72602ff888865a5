"""Who asks from where: same origin, allowed other origins. Pure, over a WSGI environ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit


def allowed(origins: Sequence[str], origin: str | None, environ: Mapping[str, Any]) -> bool:
    """Say whether pages of `origin` may read and connect: our own, those listed, or all with `*`."""
    return origin is None or "*" in origins or origin in origins or _host(origin) == _own_host(environ)


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
