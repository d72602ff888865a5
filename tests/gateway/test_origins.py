"""Whose pages may read and connect."""

from __future__ import annotations

import pytest

from crypto_stream.gateway.web.origins import allowed

LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8000", "wsgi.url_scheme": "http"}


@pytest.mark.parametrize(
    ("origins", "origin", "may"),
    [
        ((), None, True),
        ((), "http://localhost:8000", True),
        ((), "https://localhost:8000", True),
        ((), "http://evil.example", False),
        ((), "null", False),
        ((), "http://[bad", False),
        (("http://friend.example",), "http://friend.example", True),
        (("http://friend.example",), "http://friend.example.evil", False),
        (("http://friend.example",), "http://localhost:8000", True),
        (("*",), "http://anybody.example", True),
        ((), "http://LOCALHOST:8000", True),
        (("https://friend.example",), "https://Friend.Example:443", True),
        (("https://friend.example",), "https://friend.example:444", False),
        ((), "http://localhost:8001", False),
        ((), "http://localhost", False),
        ((), "", False),
    ],
)
def test_other_origins_read_only_when_listed(origins: tuple[str, ...], origin: str | None, may: bool) -> None:
    """Our own pages and programs without an Origin always may; others must be in the setting."""
    assert allowed(origins, origin, LOCAL) is may
