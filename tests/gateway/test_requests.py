"""The requests of viewers, and how invalid ones are refused."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_stream.errors import RefusedError
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.requests import MAX_WATCHED, parse_subscribe, parse_unsubscribe, resolve
from crypto_stream.gateway.subscriptions import EVERYTHING, Subscription, Symbols
from crypto_stream.market.instruments import Instrument
from tests.gateway.engine import quote
from tests.gateway.test_mirror import full, snapshot

BAD: list[tuple[tuple[Any, ...], str]] = [
    ((), "bad_payload"),
    (({}, {}), "bad_payload"),
    ((None,), "bad_payload"),
    (("all",), "bad_payload"),
    (([],), "bad_payload"),
    (({},), "bad_payload"),
    (({"symbols": None},), "bad_payload"),
    (({"symbols": "btcusdt"},), "bad_payload"),
    (({"symbols": [1]},), "bad_payload"),
    (({"symbols": {"btcusdt": 1}},), "bad_payload"),
    (({"symbols": ["btcusdt"], "interval_ms": -1},), "bad_payload"),
    (({"symbols": ["btcusdt"], "interval_ms": "250"},), "bad_payload"),
    (({"symbols": ["btcusdt"], "interval_ms": True},), "bad_payload"),
    (({"symbols": ["btcusdt"], "interval_ms": 0.5},), "bad_payload"),
    (({"symbols": ["btcusdt"], "delta": 1},), "bad_payload"),
    (({"symbols": ["btcusdt"], "venues": "yes"},), "bad_payload"),
    (({"symbols": ["btcusdt"], "intervall_ms": 250},), "bad_payload"),
    (({"symbols": ["btcusdt"], "candles": "2m"},), "unknown_interval"),
    (({"symbols": ["btcusdt"], "candles": "index:2m"},), "unknown_interval"),
    (({"symbols": ["btcusdt"], "candles": "index:"},), "unknown_interval"),
    (({"symbols": ["nope"]},), "unknown_symbol"),
    (({"symbols": ["btcusdt", "btcusd"]},), "unknown_symbol"),
    (({"symbols": [""]},), "unknown_symbol"),
    (({"symbols": ["\ud800"]},), "unknown_symbol"),
    (({"symbols": ["x" * 60000]},), "unknown_symbol"),
]


@pytest.mark.parametrize(("payload", "code"), BAD)
def test_a_wrong_payload_is_refused_with_a_stable_code(payload: tuple[Any, ...], code: str) -> None:
    """Only what the contract describes is accepted."""
    with pytest.raises(RefusedError) as refused:
        parse_subscribe(full(), None, payload)

    assert refused.value.code == code
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("symbols", ["btcusdt", None, {"btcusdt": 1}, 5, "x" * 60000])
@pytest.mark.parametrize("judge", [parse_subscribe, parse_unsubscribe])
def test_the_refusal_names_both_types_of_symbols(judge: Any, symbols: object) -> None:
    """Whatever was sent instead."""
    with pytest.raises(RefusedError) as refused:
        judge(full(), None, ({"symbols": symbols},))

    assert str(refused.value) == 'symbols must be a list of symbols or "all"'


def test_symbols_are_added_in_any_spelling_and_the_newest_options_hold() -> None:
    """A second subscription adds its symbols and replaces the options."""
    mirror = full()
    first = parse_subscribe(mirror, None, ({"symbols": ["BTC/USDT"], "interval_ms": 90, "delta": True},))

    second = parse_subscribe(mirror, first, ({"symbols": ["eth-usdt"], "candles": None},))

    assert first == Subscription(Symbols(False, frozenset({"btcusdt"})), 100, True)
    assert second == Subscription(Symbols(False, frozenset({"btcusdt", "ethusdt"})), 250)


@pytest.mark.parametrize(
    ("given", "served"), [(1000.0, 1000), (0.0, 0), (99.0, 100), (1e300, 5000), (-0.0, 0)]
)
def test_an_interval_may_be_written_as_a_float(given: float, served: int) -> None:
    """Some languages have no other numbers."""
    assert parse_subscribe(full(), None, ({"symbols": "all", "interval_ms": given},)).interval_ms == served


def test_unsubscribing_takes_symbols_away_and_keeps_the_options() -> None:
    """The remaining symbols keep their interval; removing others has no effect."""
    mirror = full()
    present = Subscription(Symbols(False, frozenset({"btcusdt", "ethusdt"})), 1000, True)

    one = parse_unsubscribe(mirror, present, ({"symbols": ["BTCUSDT", "ticker_00"]},))
    none = parse_unsubscribe(mirror, present, ({"symbols": "all"},))

    assert one == present._replace(symbols=Symbols(False, frozenset({"ethusdt"})))
    assert none.symbols == Symbols()


def test_venues_are_watched_for_a_limited_number_of_symbols() -> None:
    """One viewer cannot make the engine send every source's quote of everything."""
    mirror = Mirror()
    many = [Instrument(f"ticker_{at:02}", None, None, True) for at in range(MAX_WATCHED + 1)]
    state = snapshot()
    mirror.receive(
        type(state)("e1", 1, many, [quote(one, 1) for one in many], [], None, {}),
        0.0,
    )

    with pytest.raises(RefusedError) as refused:
        parse_subscribe(mirror, None, ({"symbols": "all", "venues": True},))
    fewer = [one.symbol for one in many[:MAX_WATCHED]]
    subscription = parse_subscribe(mirror, None, ({"symbols": fewer, "venues": True},))

    assert refused.value.code == "too_many_symbols"
    assert subscription.topics == (("venues", ""),)


def test_subscriptions_before_the_engine_connects_are_resolved_later() -> None:
    """Any spelling; unknown symbols are refused by name, the rest is served."""
    mirror = Mirror()
    asked = {"symbols": ["BTC/USDT", "Ticker-00", "nope"], "interval_ms": 100, "venues": True}

    taken = parse_subscribe(mirror, None, (asked,))
    more = parse_subscribe(mirror, taken, ({"symbols": ["eth_usdt"], "interval_ms": 100},))
    fewer = parse_unsubscribe(mirror, more, ({"symbols": ["ETHUSDT"]},))
    everything = parse_subscribe(mirror, None, ({"symbols": "all"},))
    subscription, refused = resolve(full(), fewer)

    assert taken.symbols == Symbols(False, frozenset({"btc/usdt", "ticker-00", "nope"}))
    assert fewer.symbols == taken.symbols
    assert everything.symbols == EVERYTHING
    assert subscription.symbols == Symbols(False, frozenset({"btcusdt", "ticker_00"}))
    assert refused is not None
    assert (refused["code"], refused["symbols"]) == ("unknown_symbol", ["nope"])
    assert resolve(full(), everything) == (everything, None)


def symbols_after(*changes: tuple[str, list[str]]) -> list[str]:
    """List what a viewer gets after changes made before `arbusd`, `arb-usd` and `btcusdt` are known."""
    unknown, mirror = Mirror(), Mirror()
    known = [
        Instrument("arbusd", "AR", "BUSD"),
        Instrument("arb-usd", "ARB", "USD"),
        Instrument("btcusdt", "BTC", "USDT"),
    ]
    state = snapshot()
    mirror.receive(type(state)("e1", 1, known, [quote(one, 1) for one in known], [], None, {}), 0.0)
    subscription = None
    for change, symbols in changes:
        parse = {"+": parse_subscribe, "-": parse_unsubscribe}[change]
        subscription = parse(unknown, subscription, ({"symbols": symbols or "all"},))
    assert subscription is not None
    resolved, refused = resolve(mirror, subscription)
    assert refused is None
    return resolved.symbols.among(mirror.catalogue.positions)


ALL: list[str] = []


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        ([("+", ["arb-usd"])], ["arb-usd"]),
        ([("+", ["ARBUSD", "ARB-USD", "arbusd"])], ["arbusd", "arb-usd"]),
        ([("+", ["BTC/USDT", "btcusdt"])], ["btcusdt"]),
        ([("+", ["arb-usd", "BTC/USDT"]), ("-", ["btc_usdt"])], ["arb-usd"]),
        ([("+", ["BTC/USDT", "btc_usdt"]), ("-", ["btcusdt"])], []),
        ([("+", ["arbusd", "arb-usd"]), ("-", ["arbusd"])], ["arb-usd"]),
        ([("+", ["arbusd"]), ("+", ["arb-usd"]), ("-", ["arb-usd"])], ["arbusd"]),
        ([("+", ALL), ("-", ["arb-usd"])], ["arbusd", "btcusdt"]),
        ([("+", ALL), ("-", ["BTC/USDT"]), ("+", ["btcusdt"])], ["arbusd", "arb-usd", "btcusdt"]),
        ([("+", ALL), ("-", ["btc/usdt", "btcusdt"]), ("+", ["btcusdt"])], ["arbusd", "arb-usd", "btcusdt"]),
    ],
)
def test_symbols_named_before_the_engine_connects_mean_what_they_mean_later(
    changes: list[tuple[str, list[str]]], left: list[str]
) -> None:
    """A hyphen may tell two instruments apart; of one instrument, any spelling ends any other."""
    assert symbols_after(*changes) == left


def test_exceptions_from_all_before_the_engine_connects_are_bounded() -> None:
    """However many requests name them."""
    mirror = Mirror()
    present = parse_subscribe(mirror, None, ({"symbols": "all"},))
    present = parse_unsubscribe(mirror, present, ({"symbols": [str(at) for at in range(1_000)]},))

    with pytest.raises(RefusedError) as refused:
        parse_unsubscribe(mirror, present, ({"symbols": ["1000"]},))

    assert refused.value.code == "too_many_symbols"


@pytest.mark.parametrize(
    ("symbols", "code"),
    [
        ([""], "unknown_symbol"),
        (["x" * 100], "unknown_symbol"),
        ([str(at) for at in range(1_001)], "too_many_symbols"),
    ],
)
def test_subscriptions_before_the_engine_connects_are_bounded(symbols: list[str], code: str) -> None:
    """They cannot be validated yet."""
    with pytest.raises(RefusedError) as refused:
        parse_subscribe(Mirror(), None, ({"symbols": symbols},))

    assert refused.value.code == code


@pytest.mark.parametrize(
    "text",
    ["weather/london", "venues/btcusdt", "best/btcusdt", "candles", "candles/btcusdt/1m", "movers", "", "/"],
)
def test_unknown_topics_are_refused(text: str) -> None:
    """Also those of instruments, which are subscribed to with symbols."""
    with pytest.raises(RefusedError, match="no topic") as refused:
        parse_subscribe(full(), None, ({"symbols": [], "topics": [text]},))

    assert refused.value.code == "unknown_topic"


def test_topics_of_instruments_are_named() -> None:
    """In any order, and however often; `venues` may be said either way."""
    one = parse_subscribe(full(), None, ({"symbols": ["btcusdt"], "topics": ["index", "best", "index"]},))
    other = parse_subscribe(full(), None, ({"symbols": ["btcusdt"], "topics": ["best", "index"]},))
    venues = parse_subscribe(full(), None, ({"symbols": ["btcusdt"], "topics": ["venues"]},))

    assert one == other
    assert one.topics == (("best", ""), ("index", ""))
    assert one.others == ()
    assert venues == parse_subscribe(full(), None, ({"symbols": ["btcusdt"], "venues": True},))


def test_candles_may_be_those_of_the_index() -> None:
    """With the interval behind it."""
    found = parse_subscribe(full(), None, ({"symbols": ["btcusdt"], "candles": "index:5s"},))

    assert found.keys({"btcusdt": 0}) == [("candles", "index:btcusdt/5s")]


def test_a_subscription_names_the_keys_of_its_topics() -> None:
    """One of each symbol, and those that belong to no instrument."""
    subscription = Subscription(
        Symbols(False, frozenset({"btcusdt"})),
        topics=(("venues", ""), ("candles", "1m"), ("candles", "index:1m")),
        others=(("movers", "hour"),),
    )

    assert subscription.keys({"ethusdt": 0, "btcusdt": 1}) == [
        ("venues", "btcusdt"),
        ("candles", "btcusdt/1m"),
        ("candles", "index:btcusdt/1m"),
        ("movers", "hour"),
    ]
    assert Subscription(Symbols(), others=(("movers", "hour"),)).watches
    assert not Subscription(Symbols()).watches
