"""Binance: what is sent, and how each kind of frame is read (frames by hand from the venue's documents)."""

from __future__ import annotations

import json
from http import HTTPStatus

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from crypto_stream.feed.handler import (
    Acked,
    Event,
    Ignored,
    MalformedFrame,
    Moving,
    Refused,
    Trade,
    Update,
)
from crypto_stream.market.instruments import pair
from handlers import binance
from tests.fakes import FakeBinance
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, by_symbol, wanted

TOP = {
    "u": 400900217,
    "s": "BNBUSDT",
    "b": "25.35190000",
    "B": "31.21000000",
    "a": "25.36520000",
    "A": "40.66",
}
TRADE = {
    "e": "aggTrade", "E": 1616176861895, "s": "BTCUSDT", "a": 640283266, "p": "58942.01000000",
    "q": "0.00035600", "f": 716849523, "l": 716849523, "T": 1616176861893, "m": False, "M": True,
}  # fmt: skip
DAY = {
    "e": "24hrTicker", "E": 1672515782136, "s": "BNBBTC", "p": "0.0015", "P": "250.00", "w": "0.0018",
    "x": "0.0009", "c": "0.0025", "Q": "10", "b": "0.0024", "B": "10", "a": "0.0026", "A": "100",
    "o": "0.0010",
    "h": "0.0030", "l": "0.0009", "v": "10000", "q": "18", "O": 0, "C": 86400000, "F": 0, "L": 18150,
    "n": 18151,
}  # fmt: skip


def read(message: object) -> Event:
    """Parse one message, which must give exactly one event."""
    events = reading.read(binance, json.dumps(message, ensure_ascii=False).encode())

    assert len(events) == 1
    return events[0]


def wrapped(stream: str, data: object) -> dict[str, object]:
    """Wrap a payload as combined streams do."""
    return {"stream": stream, "data": data}


@pytest.mark.parametrize("message", [TOP, wrapped("bnbusdt@bookTicker", TOP), {**TOP, "e": "bookTicker"}])
def test_book_ticker_gives_the_top_of_book(message: dict[str, object]) -> None:
    """bookTicker has sizes, the key `u` and no time; in raw mode its keys tell it."""
    expected = Update(
        pair("BNB-USDT"),
        "bookTicker",
        400900217,
        None,
        UNSET,
        "25.35190000",
        "31.21000000",
        "25.36520000",
        "40.66",
    )

    assert read(message) == expected


@pytest.mark.parametrize("message", [TRADE, wrapped("btcusdt@aggTrade", TRADE)])
def test_agg_trade_gives_a_trade(message: dict[str, object]) -> None:
    """AggTrade has id, price, size and the trade's time, not the event's."""
    expected = Trade(pair("BTC-USDT"), "aggTrade", 640283266, 1616176861893, "58942.01000000", "0.00035600")

    assert read(message) == expected


@pytest.mark.parametrize("message", [DAY, wrapped("BNBBTC@ticker", DAY)])
def test_ticker_gives_the_24_hour_figures(message: dict[str, object]) -> None:
    """Ticker is slow, its key is the event time, its volume that of the base, its price the last one."""
    expected = Update(
        pair("BNB-BTC"), "ticker", 1672515782136, 1672515782136, "0.0025", "0.0024", "10", "0.0026", "100",
        "0.0010", "0.0030", "0.0009", "10000", slow=True,
    )  # fmt: skip

    assert read(message) == expected


def test_the_symbol_is_the_payloads_also_outside_ascii() -> None:
    """Names may hold any letters; the symbol is the lower-case form."""
    data = {**TOP, "s": "这是测试币456ÄUSDT"}
    event = read(wrapped("这是测试币456äusdt@bookTicker", data))

    assert isinstance(event, Update)
    assert event.symbol == "这是测试币456äusdt"


def test_empty_texts_are_values_not_given_and_new_fields_are_no_fault() -> None:
    """An empty price is None, an unknown field is passed over, a zero price stays."""
    event = read(wrapped("bnbusdt@bookTicker", {**TOP, "b": "", "B": "", "a": "0.00000000", "new": [{}]}))

    assert isinstance(event, Update)
    assert (event.bid, event.bid_size, event.ask) == (None, None, "0.00000000")


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"result": None, "id": 1}, Acked("1")),
        ({"id": 312, "result": None}, Acked("312")),
        ({"result": None, "id": "abc"}, Acked("abc")),
        ({"error": {"code": 2, "msg": "Invalid request: x"}, "id": 5},
         Refused("5", "code 2: Invalid request: x")),
        ({"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 19},
         Refused("19", "code 4: Too many subscriptions")),
        ({"code": 3, "msg": "Invalid JSON: expected value"},
         Refused("", "code 3: Invalid JSON: expected value")),
        ({"code": 0, "msg": "Unknown property", "id": 7}, Refused("7", "code 0: Unknown property")),
    ],
)  # fmt: skip
def test_answers_name_the_request(message: dict[str, object], expected: Event) -> None:
    """Acknowledgements and both shapes of errors carry the request's id, or none."""
    assert read(message) == expected


@pytest.mark.parametrize("message", [{"e": "serverShutdown", "E": 1}, wrapped("!serverShutdown", {"E": 1})])
def test_an_announced_shutdown_is_an_order_to_move(message: dict[str, object]) -> None:
    """ServerShutdown, wrapped or raw, means: move."""
    assert isinstance(read(message), Moving)


@pytest.mark.parametrize(
    ("message", "channel"),
    [
        (wrapped("btcusdt@depth@100ms", {"e": "depthUpdate"}), "depth@100ms"),
        (wrapped("btcusdt@kline_1m", {"e": "kline"}), "kline_1m"),
        (wrapped("!ticker@arr", [DAY]), "!ticker@arr"),
        (wrapped("!bookTicker", TOP), "!bookTicker"),
        (wrapped("nonsense", 1), "nonsense"),
        ({"e": "depthUpdate", "u": 1, "U": 1}, "depthUpdate"),
        ({"e": "trade", "s": "BNBBTC"}, "trade"),
        ({"lastUpdateId": 160, "bids": [], "asks": []}, "depth"),
        ([DAY], "array"),
        (wrapped("btcusdt@" + "x" * 500, 1), "x" * 40),
    ],
)
def test_what_we_do_not_use_is_counted_by_its_channel(message: object, channel: str) -> None:
    """Other streams and events are ignored under a short name of theirs."""
    assert read(message) == Ignored(channel)


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"{", b"\x00\xff", b"pong", b"5", b'"x"', b"null", b"{}", b"[", b"[" * 100_000,
        b'{"stream":5,"data":{}}',
        b'{"stream":"btcusdt@bookTicker"}', b'{"stream":"btcusdt@bookTicker","data":5}',
        b'{"stream":"","data":',
        b'{"id":1}', b'{"result":null,"id":null}', b'{"result":null,"id":1.5}', b'{"error":"x","id":1}',
        b'{"e":7}', b'{"stream":"x@bookTicker","data":{"s":"\xff"}}',
    ],
)  # fmt: skip
def test_shapes_that_are_none_are_malformed(frame: bytes) -> None:
    """What is no message of the venue cannot be read, for a reason."""
    with pytest.raises(UNREADABLE_ERRORS, match=r".+"):
        reading.read(binance, frame)


@pytest.mark.parametrize(
    ("data", "field", "value"),
    [
        (TOP, "b", 25.3), (TOP, "b", None), (TOP, "b", ["25"]), (TOP, "b", "abc"), (TOP, "b", "NaN"),
        (TOP, "A", "1_0"),
        (TOP, "u", "400"), (TOP, "u", -1), (TOP, "u", 2**63), (TOP, "u", 1.5), (TOP, "s", 7), (TOP, "s", ""),
        (TRADE, "p", ""), (TRADE, "T", "1616176861893"), (TRADE, "T", 2**63), (TRADE, "q", {}),
        (DAY, "c", "1e999"), (DAY, "E", -5), (DAY, "v", True),
    ],
)  # fmt: skip
def test_wrong_values_are_malformed(data: dict[str, object], field: str, value: object) -> None:
    """A field of another type, no number, or out of range makes the frame malformed, wrapped or raw."""
    name = {"e": "x", **data}["e"]
    stream = {"aggTrade": "btcusdt@aggTrade", "24hrTicker": "bnbbtc@ticker"}.get(
        str(name), "bnbusdt@bookTicker"
    )
    broken = {**data, field: value}

    with pytest.raises(UNREADABLE_ERRORS):
        read(wrapped(stream, broken))
    with pytest.raises(UNREADABLE_ERRORS):
        read(broken)


@pytest.mark.parametrize(("data", "field"), [(TOP, "b"), (TOP, "u"), (TRADE, "p"), (TRADE, "a"), (DAY, "v")])
def test_a_missing_field_is_malformed(data: dict[str, object], field: str) -> None:
    """A field we need must be there."""
    with pytest.raises(UNREADABLE_ERRORS):
        read({key: value for key, value in data.items() if key != field})


_TEXTS = st.text("0123456789.-e", max_size=12)
_VALUES = st.one_of(_TEXTS, st.none(), st.integers(), st.floats(allow_nan=False, allow_infinity=False))


@given(
    st.fixed_dictionaries(
        {
            "u": st.one_of(st.integers(-1, 2**64), st.text(max_size=3)),
            "s": st.sampled_from(["BNBUSDT", "", "é"]),
        },
        optional=dict.fromkeys("bBaA", _VALUES),
    )
)
def test_the_fast_way_reads_as_the_general_one(data: dict[str, object]) -> None:
    """Frames whose stream comes first are decoded in one pass; the order of the fields must not matter."""
    answers = []
    for message in (wrapped("bnbusdt@bookTicker", data), {"data": data, "stream": "bnbusdt@bookTicker"}):
        try:
            answers.append(repr(read(message)))
        except UNREADABLE_ERRORS as error:
            answers.append(str(error))

    assert answers[0] == answers[1]


def test_one_request_asks_for_three_streams_of_a_hundred_symbols() -> None:
    """250 instruments make three messages, each with an id of its own that the key repeats."""
    asked = wanted(binance, *(f"SYM{number}-USDT" for number in range(250)))
    requests = reading.reader(binance).subscribe(asked)
    messages = [json.loads(request.text) for request in requests]

    assert [len(message["params"]) for message in messages] == [300, 300, 150]
    assert messages[0]["params"][:3] == [f"sym0usdt@{name}" for name in ("bookTicker", "aggTrade", "ticker")]
    assert {message["method"] for message in messages} == {"SUBSCRIBE"}
    assert [(str(message["id"]),) for message in messages] == [request.keys for request in requests]
    assert len({request.keys for request in requests}) == 3
    assert [each for request in requests for each in request.wanted] == asked


def test_unsubscribing_has_another_id() -> None:
    """The acknowledgement of an UNSUBSCRIBE is never taken for that of the SUBSCRIBE."""
    btc, asker = wanted(binance, "BTC-USDT"), reading.reader(binance)
    back = asker.unsubscribe(btc)[0]

    assert json.loads(back.text)["method"] == "UNSUBSCRIBE"
    assert back.keys != asker.subscribe(btc)[0].keys


async def test_the_address_is_that_of_combined_streams() -> None:
    """The data-only host comes first."""
    async with httpx.AsyncClient() as http:
        assert (await binance.opening(http, {})).path == "/stream"

    assert binance.URLS[0] == "wss://data-stream.binance.vision"


async def test_a_server_that_knows_no_option_is_asked_without_it() -> None:
    """The affiliates' servers refuse the option that saves bytes; the state is the venue's word."""

    class Affiliate(FakeBinance):
        def rest(self, path: str, query: dict[str, str]) -> object:
            return HTTPStatus.BAD_REQUEST if query else super().rest(path, query)

    async with Affiliate(["btcusdt"]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.states["btcusdt"] = "BREAK"
        listed = by_symbol(binance, await binance.instruments(http))

    assert listed["btcusdt"].state == "BREAK"


async def test_a_broken_list_is_malformed() -> None:
    """A body of another shape raises MalformedFrame."""

    class Broken(FakeBinance):
        def rest(self, path: str, query: dict[str, str]) -> object:
            return {"symbols": [5]}

    async with Broken([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        with pytest.raises(MalformedFrame, match="exchangeInfo"):
            await binance.instruments(http)
