"""A web origin as browsers send it. Pure."""

from __future__ import annotations

from urllib.parse import urlsplit

_PORTS = {"http": 80, "https": 443}


def normal_origin(text: str) -> str:
    """Return scheme, host and port as browsers send them: lower case, no default port, no trailing slash.

    Raises ValueError, saying what is wrong, for text that no browser would send as an origin.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode()
    except ValueError as error:  # includes the UnicodeError of idna
        raise ValueError(f"{text!r} is not an origin: {error}") from None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or not host:
        raise ValueError(f"{text!r} is not an origin; write https://example.org")
    if "*" in host:
        raise ValueError(f"{text!r}: * stands alone, for all origins; otherwise list every host by name")
    if parts.path not in {"", "/"} or parts.query or parts.fragment or "@" in parts.netloc:
        raise ValueError(f"{text!r} is more than an origin; write {scheme}://{parts.netloc.split('@')[-1]}")
    shown = f"[{host}]" if ":" in host else host
    return f"{scheme}://{shown}" if port in {None, _PORTS[scheme]} else f"{scheme}://{shown}:{port}"
