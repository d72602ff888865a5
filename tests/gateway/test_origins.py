"""Who may pin without a token, and whose pages may read."""

from __future__ import annotations

import pytest

from crypto_stream.gateway.web.origins import allowed, from_this_machine

LOCAL = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost:8000", "wsgi.url_scheme": "http"}
CASES: list[tuple[dict[str, str], bool]] = [
    ({}, True),
    ({"HTTP_HOST": "127.0.0.1:8000"}, True),
    ({"HTTP_HOST": "127.9.9.9"}, True),
    ({"REMOTE_ADDR": "::1", "HTTP_HOST": "[::1]:8000"}, True),
    ({"REMOTE_ADDR": "::ffff:127.0.0.1"}, True),
    ({"HTTP_ORIGIN": "http://localhost:8000"}, True),
    ({"HTTP_ORIGIN": "http://LOCALHOST:8000"}, True),
    ({"REMOTE_ADDR": "10.0.0.1"}, False),
    ({"REMOTE_ADDR": ""}, False),
    ({"REMOTE_ADDR": "127.0.0.1.evil.example"}, False),
    ({"HTTP_HOST": "evil.example:8000"}, False),
    ({"HTTP_HOST": "localhost.evil.example"}, False),
    ({"HTTP_HOST": "localhost@evil.example"}, False),
    ({"HTTP_HOST": ""}, False),
    ({"HTTP_HOST": "[::1"}, False),
    ({"HTTP_FORWARDED": "for=1.2.3.4"}, False),
    ({"HTTP_X_FORWARDED_FOR": "127.0.0.1"}, False),
    ({"HTTP_X_FORWARDED_HOST": "localhost"}, False),
    ({"HTTP_X_REAL_IP": ""}, False),
    ({"HTTP_VIA": "1.1 proxy"}, False),
    ({"HTTP_ORIGIN": "null"}, False),
    ({"HTTP_ORIGIN": ""}, False),
    ({"HTTP_ORIGIN": "http://localhost:9000"}, False),
    ({"HTTP_ORIGIN": "https://localhost:8000"}, False),
    ({"HTTP_ORIGIN": "http://127.0.0.1:8000"}, False),
    ({"HTTP_ORIGIN": "http://evil.example"}, False),
]


@pytest.mark.parametrize(("differs", "may"), CASES)
def test_only_a_request_from_this_machine_and_its_own_pages_counts_as_local(
    differs: dict[str, str], may: bool
) -> None:
    """Loopback address and loopback Host, nothing forwarded, Origin, if sent, our own."""
    assert (from_this_machine({**LOCAL, **differs}) is None) is may


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
    ],
)
def test_other_origins_read_only_when_listed(origins: tuple[str, ...], origin: str | None, may: bool) -> None:
    """Our own pages and programs without an Origin always may; others must be in the setting."""
    assert allowed(origins, origin, LOCAL) is may
