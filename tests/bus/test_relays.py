"""The setting `bus` for Redis: what is understood, what is refused, and that nothing shows a password."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.backends import describe_bus, is_local
from crypto_stream.bus.redis.relays import Relay, parse_relays
from crypto_stream.errors import SettingError


def test_several_relays_of_one_installation() -> None:
    """User and password may be percent-encoded; the port is Redis' own by default."""
    found = parse_relays("redis://a.example/prod, rediss://us%40er:p%3Aw@[::1]:7000/prod?ca=/etc/ca.pem")

    assert found.name == "prod"
    assert found.relays == (
        Relay("a.example", 6379),
        Relay("::1", 7000, "us@er", "p:w", tls=True, ca="/etc/ca.pem"),
    )
    assert [relay.address for relay in found.relays] == ["a.example:6379", "[::1]:7000"]


def test_valkey_is_the_same() -> None:
    """A password may stand without a user."""
    (plain,) = parse_relays("valkey://:secret@h/x").relays
    (safe,) = parse_relays("valkeys://h/x").relays

    assert (plain.user, plain.password, plain.tls) == (None, "secret", False)
    assert safe.tls


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("redis://", "host"),
        ("redis://h", "name"),
        ("redis://h/", "name"),
        ("redis://h/a/b", "name"),
        ("redis://h/a b", "name"),
        ("redis://h..example/a", "host"),
        ("redis://" + "h" * 64 + "/a", "host"),
        ("redis://h:x/a", "port"),
        ("redis://h:0/a", "port"),
        ("redis://h:99999/a", "port"),
        ("http://h/a", "begin"),
        ("redis://h/a,redis://i/b", "one name"),
        ("redis://h/a,redis://H:6379/a", "again"),
        ("redis://joe@h/a", "password"),
        ("redis://h/a?ca=x", "TLS"),
        ("rediss://h/a?key=x", "cert"),
        ("rediss://h/a?db=1", "options"),
        ("rediss://h/a?ca=", "options"),
        (",", "no relay"),
    ],
)
def test_what_is_wrong_is_named(text: str, why: str) -> None:
    """In one line, which says what to write."""
    with pytest.raises(SettingError, match=why) as caught:
        parse_relays(text)

    assert "\n" not in str(caught.value)


@given(st.text(min_size=8).filter(lambda text: not set(text) <= set("*… redis:/@")), st.text())
def test_no_error_and_no_text_shows_a_password(secret: str, rest: str) -> None:
    """Whatever is wrong with the rest of the URL."""
    try:
        shown = repr(parse_relays(f"redis://user:{secret}@host/{rest}"))
    except SettingError as error:
        shown = str(error)

    assert (
        secret not in shown or secret in f"{rest} redis://user:password@host:6379/name, several with commas"
    )


def test_the_bus_is_described_without_secrets() -> None:
    """As the start says and logs it."""
    assert describe_bus("local") == "local"
    assert describe_bus("redis://joe:secret@h/prod,redis://i:1/prod") == "prod on h:6379, i:1"
    assert is_local("local")
    assert not is_local("redis://h/a")


@pytest.mark.parametrize("text", ["nats://h/a", "", "local://x", "redis", "LOCAL"])
def test_an_unknown_bus_is_refused(text: str) -> None:
    """With what there is."""
    with pytest.raises(SettingError, match=r"^bus: .*(redis://|name)"):
        describe_bus(text)


def test_a_missing_tls_file_is_named() -> None:
    """At the start, not when the first connection fails."""
    with pytest.raises(SettingError, match=r"h:6379 .*/nowhere/ca\.pem"):
        describe_bus("rediss://h/a?ca=/nowhere/ca.pem")
