"""A web origin as browsers send it. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def normal_origin(text: str) -> str:
    """Return scheme, host and port as a browser writes them: small letters, no usual port, no final slash.

    ValueError says what a text that no browser would send lacks.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:  # a UnicodeError of idna is one
        raise ValueError(f"{text!r} is no origin: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host:
        raise ValueError(f"{text!r} is no origin; write https://example.org")
    if "*" in host:
        raise ValueError(f"{text!r}: * stands alone, for all origins; list each host by its name")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r} is more than an origin; write {scheme}://{parts.netloc.split('@')[-1]}")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port in {None, _PORTS[scheme]} else f"{scheme}://{shown}:{port}"
