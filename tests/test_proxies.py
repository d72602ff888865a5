"""Which proxy is used, by the variables that other programs obey too."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.errors import ProxyError
from crypto_stream.proxies import proxy_for, redacted

_PROXY = "http://proxy.example:3128"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Begin without a proxy."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    return monkeypatch


@pytest.mark.parametrize(
    "url", ["http://a.example", "https://a.example", "ws://a.example", "wss://a.example:9"]
)
def test_without_a_variable_everything_is_asked_directly(url: str) -> None:
    """No proxy is invented."""
    assert proxy_for(url) is None


@pytest.mark.parametrize(
    ("variable", "used_by"),
    [
        ("http_proxy", {"http", "ws"}),
        ("https_proxy", {"https", "wss", "ws"}),
        ("all_proxy", {"http", "https", "ws", "wss"}),
        ("ALL_PROXY", {"http", "https", "ws", "wss"}),
    ],
)
def test_each_variable_is_used_for_its_schemes(
    environment: pytest.MonkeyPatch, variable: str, used_by: set[str]
) -> None:
    """A WebSocket takes the proxy of https where there is one."""
    environment.setenv(variable, _PROXY)
    used = {
        scheme for scheme in ("http", "https", "ws", "wss") if proxy_for(f"{scheme}://a.example") == _PROXY
    }

    assert used == used_by


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.9.9.9", "[::1]", "localhost", "LOCALHOST", "a.localhost", "0.0.0.0"]
)
def test_this_machine_is_never_asked_through_a_proxy(environment: pytest.MonkeyPatch, host: str) -> None:
    """Whatever the variables say, and without any no_proxy."""
    environment.setenv("all_proxy", _PROXY)

    assert proxy_for(f"ws://{host}:8000") is None


@pytest.mark.parametrize(
    ("no_proxy", "direct"),
    [
        ("*", True),
        ("example.org", True),
        (".example.org", True),
        ("*.example.org", True),
        ("EXAMPLE.org", True),
        ("ample.org", False),
        ("a.example.org:443", True),
        ("a.example.org:444", False),
        ("other.example, example.org ", True),
        ("::1/128", False),
        ("10.0.0.0/8,fe80::/10", False),
        ("nonsense/99,:::,[", False),
        ("", False),
    ],
)
def test_no_proxy_names_hosts(environment: pytest.MonkeyPatch, no_proxy: str, direct: bool) -> None:
    """Domains mean their hosts, and what cannot be read means nobody."""
    environment.setenv("https_proxy", _PROXY)
    environment.setenv("no_proxy", no_proxy)

    assert (proxy_for("wss://a.example.org") is None) is direct


@pytest.mark.parametrize(
    ("no_proxy", "url", "direct"),
    [
        ("10.0.0.0/8", "https://10.1.2.3", True),
        ("10.0.0.0/8", "https://11.1.2.3", False),
        ("10.1.2.3", "https://10.1.2.3:8443", True),
        ("10.1.2.3:8443", "https://10.1.2.3:8443", True),
        ("10.1.2.3:8443", "https://10.1.2.3", False),
        ("fd00::/8", "https://[fd00::5]", True),
        ("[fd00::5]:8443", "https://[fd00::5]:8443", True),
        ("fd00::5", "https://[fd00::6]", False),
    ],
)
def test_no_proxy_names_addresses_and_networks(
    environment: pytest.MonkeyPatch, no_proxy: str, url: str, direct: bool
) -> None:
    """IPv4 and IPv6, with a port or without."""
    environment.setenv("https_proxy", _PROXY)
    environment.setenv("no_proxy", no_proxy)

    assert (proxy_for(url) is None) is direct


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("ftp://p.example:1", "https_proxy: the proxy must be http, https or socks5, not 'ftp'"),
        ("http://", "https_proxy is not the address of a proxy"),
        ("http://p.example:port", "https_proxy is not the address of a proxy"),
        ("http://[::1", "https_proxy is not the address of a proxy"),
        (
            "socks5://user:secret@p.example:1080",
            "SOCKS proxy socks5://p.example:1080, for which packages are missing",
        ),
    ],
)
def test_a_proxy_that_cannot_be_used_is_named_in_one_line(
    environment: pytest.MonkeyPatch, text: str, says: str
) -> None:
    """The variable, the proxy without its password, and what to change."""
    environment.setenv("https_proxy", text)
    with pytest.raises(ProxyError) as caught:
        proxy_for("https://a.example")

    assert says in str(caught.value)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_proxy_without_a_scheme_speaks_http(environment: pytest.MonkeyPatch) -> None:
    """As with curl."""
    environment.setenv("https_proxy", "proxy.example:3128")

    assert proxy_for("https://a.example") == _PROXY
    assert redacted("http://user:secret@proxy.example:3128") == _PROXY


@given(st.text(alphabet="ab.:[]/*19,- \t", max_size=20))
def test_no_proxy_of_any_text_is_read(text: str) -> None:
    """Nonsense in the environment never stops the program."""
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("https_proxy", _PROXY)
        environment.setenv("no_proxy", text)

        assert proxy_for("https://a.example") in (None, _PROXY)
