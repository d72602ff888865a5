"""Which pages may read and connect."""

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


@pytest.mark.parametrize(
    ("host", "more", "may"),
    [
        *(
            (host, {}, True)
            for host in ("localhost:8000", "127.0.0.1:8000", "[::1]:8000", "192.168.1.5:8000")
        ),
        *(
            (host, {}, True)
            for host in ("server:8000", "machine.local:8000", "a.localhost:8000", "LOCALHOST")
        ),
        *((host, {}, False) for host in ("evil.example:8000", "evil.example", "127.0.0.1.evil.example:8000")),
        *((host, {}, False) for host in ("evil.example.:8000", "localhost.evil.example:8000", "1.2.3:8000")),
        ("stream.example.org", {"HTTP_X_FORWARDED_FOR": "192.0.2.1"}, True),
        ("stream.example.org", {"HTTP_X_FORWARDED_PROTO": "https"}, True),
    ],
)
def test_an_unknown_host_name_is_not_trusted(host: str, more: dict[str, str], may: bool) -> None:
    """Its owner can point it here, so that its pages have our origin; a proxy announces itself."""
    environ = {**LOCAL, "HTTP_HOST": host, **more}

    assert allowed((), f"http://{host}", environ) is may
    assert allowed((f"http://{host}",), f"http://{host}", environ)
    assert allowed((), None, environ)
