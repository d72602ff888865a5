"""Whatever a venue sends: a handler gives events, or says that the frame cannot be read, and nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import UNSET

from crypto_stream.feed.handler import UNREADABLE, Event, Ignored, Refused, Trade, Update
from crypto_stream.market.book import SourceBook
from handlers import binance, okx
from tests.handlers import reading, test_binance, test_okx

Parse = Callable[[bytes], list[Event]]

PARSERS = [pytest.param(partial(reading.read, each), id=each.__name__) for each in (binance, okx)]
REAL: list[dict[str, Any]] = [
    test_binance.TOP,
    test_binance.TRADE,
    test_binance.wrapped("bnbusdt@bookTicker", test_binance.TOP),
    test_binance.wrapped("btcusdt@aggTrade", test_binance.TRADE),
    test_binance.wrapped("bnbbtc@ticker", test_binance.DAY),
    {"result": None, "id": 1},
    {"error": {"code": 2, "msg": "Invalid request"}, "id": 5},
    test_okx.push("tickers", test_okx.DAY),
    test_okx.push("bbo-tbt", test_okx.TOP),
    test_okx.push("trades", test_okx.TRADE, test_okx.TRADE),
    {"event": "subscribe", "arg": {"channel": "tickers", "instId": "BTC-USDT"}, "connId": "a"},
    {"event": "error", "code": "60018", "msg": "wrong channel:tickers,instId:BTC-X doesn't exist."},
    {"event": "notice", "code": "64008", "msg": "The connection will soon be closed"},
]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(
        ["", "NaN", "1e999", "-0", "1_0", "\uff19", "9" * 5000, "BTC-USDT", "tickers", "\U0001f4a5"]
    )
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def judge(parse: Parse, frame: bytes) -> None:
    """Parse, and check that every event can travel: text, numbers and keys in their bounds."""
    try:
        events = parse(frame)
    except UNREADABLE:
        return

    assert events
    assert msgspec.msgpack.encode(events)
    for event in events:
        if isinstance(event, Update | Trade):
            judge_market(event)
        elif isinstance(event, Ignored):
            assert len(event.channel) <= 40
        elif isinstance(event, Refused):
            assert len(event.reason) < 300


def judge_market(event: Update | Trade) -> None:
    """Check that the book can take the event, and that each of its numbers is one."""
    names = ("price", "bid", "ask", "bid_size", "ask_size", "open_24h", "volume_24h", "size")
    values = [value for name in names if (value := getattr(event, name, None)) not in {None, UNSET}]

    assert event.symbol
    assert event.channel in {"bookTicker", "aggTrade", "ticker", "bbo-tbt", "trades", "tickers"}
    assert 0 <= event.key < 2**63
    assert all(Decimal(value).is_finite() for value in values)
    assert SourceBook().apply(event, 1)


def places(message: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """List the paths to every value of a message."""
    inner: list[tuple[Any, object]] = []
    if isinstance(message, dict):
        inner = list(message.items())
    elif isinstance(message, list):
        inner = list(enumerate(message))
    return [place for key, value in inner for place in [(*path, key), *places(value, (*path, key))]]


@st.composite
def broken_frames(draw: st.DrawFn) -> bytes:
    """A real-shaped frame with one value replaced or removed, then perhaps cut or with a byte changed."""
    message = copy.deepcopy(draw(st.sampled_from(REAL)))
    *path, last = draw(st.sampled_from(places(message)))
    holder: Any = message
    for key in path:
        holder = holder[key]
    if draw(st.booleans()):
        holder[last] = draw(JSON)
    else:
        del holder[last]
    frame = bytearray(json.dumps(message, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"))
    hurt = draw(st.sampled_from(["no", "no", "cut", "byte"]))
    at = draw(st.integers(0, max(len(frame) - 1, 0)))
    if hurt == "cut":
        del frame[at:]
    elif hurt == "byte" and frame:
        frame[at] = draw(st.integers(0, 255))
    return bytes(frame)


@pytest.mark.parametrize("parse", PARSERS)
@given(frame=st.binary(max_size=200))
def test_any_bytes(parse: Parse, frame: bytes) -> None:
    """Random bytes are malformed or harmless."""
    judge(parse, frame)


@pytest.mark.parametrize("parse", PARSERS)
@given(message=JSON)
def test_any_json(parse: Parse, message: object) -> None:
    """Random JSON is malformed or harmless."""
    judge(parse, json.dumps(message).encode())


@pytest.mark.parametrize("parse", PARSERS)
@given(frame=broken_frames())
@example(frame=b'{"stream":"\\ud800@bookTicker","data":{}}')
@example(frame=b'{"u":1,"s":"\\ud800","b":"1","B":"1","a":"1","A":"1"}')
@example(frame=b'{"arg":{"channel":"\\udfff","instId":"A-B"},"data":[]}')
@example(frame=b'{"arg":' * 50_000)
def test_real_frames_with_one_fault(parse: Parse, frame: bytes) -> None:
    """A real-shaped frame with something wrong in it is malformed or harmless."""
    judge(parse, frame)


@pytest.mark.parametrize("message", REAL)
def test_the_frames_that_get_broken_are_good_ones(message: dict[str, Any]) -> None:
    """Each unbroken frame is one its own venue's parser reads."""
    frame = json.dumps(message).encode()
    read = 0
    for handler in (binance, okx):
        try:
            read += len(reading.read(handler, frame)) > 0
        except UNREADABLE:
            continue

    assert read >= 1
