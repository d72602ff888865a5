"""Gemini: frames known by their fields, times in ns, empty sides, a step of amounts that is called a tick."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import (
    Acked,
    DepthChange,
    Event,
    Ignored,
    Refused,
    Rules,
    Trade,
    Update,
    Wanted,
)
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import gemini
from tests.fakes import FakeGemini
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import until

BTC = pair("BTC-USD")
TOP = (
    '{"u":1764527605191349,"E":1789456740173524809,"s":"btcusd","b":"77188.00000","B":"0.41122000",'
    '"a":"77189.00000","A":"0.41120000","c":"77188.50000","C":"0.00100000"}'
)
TRADE = (
    '{"E":1789456740173524809,"s":"btcusd","t":2840140956529623,"p":"77188.50000","q":"0.00100000","m":true}'
)
DETAILS = "rest/gemini-symbol-details-20260809.json.gz"


def read(text: str) -> list[Event]:
    """Read one frame."""
    return reading.read(gemini, text.encode())


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeGemini):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(gemini, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_a_top_keeps_its_zeros_and_its_time_is_in_ns() -> None:
    """Its key is the number of the update."""
    assert read(TOP) == [
        Update(
            BTC,
            "bookTicker",
            1764527605191349,
            1789456740173,
            bid="77188.00000",
            bid_size="0.41122000",
            ask="77189.00000",
            ask_size="0.41120000",
        )
    ]


def test_an_empty_side_is_an_empty_text() -> None:
    """It has no price and no size."""
    (empty,) = read(TOP.replace('"77189.00000"', '""').replace('"0.41120000"', '""'))

    assert isinstance(empty, Update)
    assert (empty.bid, empty.ask, empty.ask_size) == ("77188.00000", None, None)


def test_a_trade_may_name_its_kind() -> None:
    """The documents say that it does not, an example of the venue does."""
    expected = [Trade(BTC, "trade", 2840140956529623, 1789456740173, "77188.50000", "0.00100000")]

    assert read(TRADE) == expected
    assert read(TRADE.replace("{", '{"e":"trade",')) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id":1,"status":200}', Acked("1")),
        ('{"id":"1","status":200}', Acked("1")),
        (
            '{"id":4,"status":400,"error":{"code":-1013,"msg":"Invalid stream name: foousd@trade"}}',
            Refused("4", "Invalid stream name: foousd@trade"),
        ),
        (
            '{"id":4,"status":429,"error":{"code":-1003,"msg":"Too many requests"}}',
            Refused("4", "Too many requests", temporary=True),
        ),
        ('{"id":null,"status":500}', Refused("", "status 500")),
        (TOP.replace('"btcusd"', '"btcgusdperp"'), Ignored("not_subscribed")),
        (TRADE.replace('"btcusd"', '"GEMI-BTC05M2606011000-UP"'), Ignored("not_subscribed")),
        ('{"e":"depthUpdate","E":1,"s":"btcgusdperp","U":1,"u":2}', Ignored("not_subscribed")),
        ('{"e":"novelty","E":1,"s":"btcusd","U":1,"u":2,"b":[],"a":[]}', Ignored("novelty")),
        ('{"lastUpdateId":1,"bids":[],"asks":[]}', Ignored("unknown")),
    ],
)
def test_responses_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """A refusal is of a request as a whole."""
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        TOP.replace('"77188.00000"', "77188"),
        TOP.replace('"77188.00000"', "null"),
        TOP.replace('"77188.00000"', '"NaN"'),
        TOP.replace(',"a":"77189.00000"', ""),
        TOP.replace("1764527605191349", "-1"),
        TOP.replace("1789456740173524809", '"now"'),
        TRADE.replace('"77188.50000"', '""'),
        TRADE.replace('"q":"0.00100000",', ""),
        TRADE.replace("2840140956529623", '"x"'),
        '{"id":1,"status":"200"}',
        "[]",
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """Only an empty side has no number."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_each_instrument_is_a_request_of_its_own() -> None:
    """An unknown stream costs no other instrument then; there is no stream of 24 h figures."""
    both = wanted(gemini, "BTC-USD", "ETH-GUSD")
    reader = reading.reader(gemini)
    requests, back = reader.subscribe(both), reader.unsubscribe(both)

    assert requests[0].text == ('{"id":1,"method":"subscribe","params":["btcusd@bookTicker","btcusd@trade"]}')
    assert [request.keys for request in requests] == [("1",), ("2",)]
    assert [[each.topic for each in request.wanted] for request in requests] == [["top", "trades"]] * 2
    assert [json.loads(request.text) for request in back] == [
        {"id": 3, "method": "unsubscribe", "params": ["btcusd@bookTicker", "btcusd@trade"]},
        {"id": 4, "method": "unsubscribe", "params": ["ethgusd@bookTicker", "ethgusd@trade"]},
    ]


async def test_the_venues_pings_are_answered() -> None:
    """They are those of the protocol."""
    async with (
        FakeGemini(["BTC-USD"], ping_s=0.05) as fake,
        assembled(source_of(fake), pairs="BTC-USD") as feed,
    ):
        await until(lambda: feed.received("gemini", "btcusd"))
        await until(lambda: fake.pongs >= 2)

        assert len(fake.connects) == 1


async def test_a_venue_that_is_busy_is_asked_again() -> None:
    """Nothing is blamed meanwhile."""
    async with FakeGemini(["BTC-USD"]) as fake:
        await fake.fault("busy-ack")
        async with assembled(source_of(fake), pairs="BTC-USD", stale_after=60) as feed:
            await until(lambda: fake.requests)
            await fake.fault("none")
            await until(lambda: feed.received("gemini", "btcusd"))

            assert feed.composition.loop.sources["gemini"].refused == {}
            assert fake.violations == []


async def test_the_list_names_the_step_of_amounts_a_tick() -> None:
    """The tick of prices is the `quote_increment`; perpetuals are left out."""
    market = {
        "symbol": "BTCUSD", "base_currency": "BTC", "quote_currency": "USD", "tick_size": 1e-8,
        "quote_increment": 0.01, "min_order_size": "0.00001", "status": "open", "product_type": "spot",
    }  # fmt: skip
    others = [
        market | {"symbol": "ETHGUSD", "base_currency": "ETH", "quote_currency": "GUSD", "tick_size": "x"},
        market | {"symbol": "FILUSD", "base_currency": "FIL", "status": "post_only"},
        market | {"symbol": "LTCUSD", "base_currency": "LTC", "status": "limit_only", "min_order_size": 5},
        market | {"symbol": "BTCGUSDPERP", "product_type": "swap"},
    ]
    listed = await asked([market, *others, 5, {}], "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("btcusd", "BTC", "USD", ""),
        ("ethgusd", "ETH", "GUSD", ""),
        ("filusd", "FIL", "USD", "post_only"),
        ("ltcusd", "LTC", "USD", ""),
    ]
    assert listed[0].rules == Rules(tick="0.01", lot="1e-08", min_amount="0.00001")
    assert listed[1].rules == listed[3].rules == Rules()
    with pytest.raises(MalformedFrame, match="gemini symbols"):
        await asked([{}], "instruments")


async def test_bars_come_newest_first() -> None:
    """The second word of an hour is the venue's own."""
    rows = [
        [1559755860000, 7819.39, 7820, 7810, 7815.5, 1],
        [1559755800000, 7781.6, 7820.23, 7776.56, 7819.39, 3],
    ]
    first, second = await asked(rows, "candles", "btcusd", "1h")

    assert (first.time, first.open, first.high, first.low, first.close, first.volume) == (
        1559755800000, "7781.6", "7820.23", "7776.56", "7819.39", "3",
    )  # fmt: skip
    assert (second.time, second.source) == (1559755860000, "gemini:candles")
    with pytest.raises(MalformedFrame, match="gemini candles"):
        await asked({"result": "error", "reason": "InvalidSymbol"}, "candles", "foousd", "1m")


async def test_recorded_instruments_are_listed_and_their_ids_split() -> None:
    """Every spot pair has a tick, a lot and a smallest amount; the guess of its currencies is right."""
    body = json.loads(gzip.decompress(recorded(DETAILS).read_bytes()))
    listed = await asked(body, "instruments")

    assert len(listed) == sum(item["product_type"] == "spot" for item in body) > 300
    assert {each.state for each in listed} == {"", "closed"}
    assert all(each.rules.tick and each.rules.lot and each.rules.min_amount for each in listed)
    assert [gemini.pair_of(each.id) for each in listed] == [(each.base, each.quote) for each in listed]


def test_recorded_responses_are_read() -> None:
    """None is malformed; the books are those of perpetuals."""
    reader = reading.reader(gemini)
    frames = [line.frame for line in read_recording(recorded("gemini/singles.ndjson")) if line.frame]
    events = [event for frame in frames for event in reader.read(frame)]

    assert [event for event in events if not isinstance(event, Ignored)] == [
        Acked("1"),
        Acked("100"),
        Refused("4", "Invalid stream name: nosuchperp@depth@100ms"),
        Refused("11", "Unsupported operation"),
        Acked("7"),
    ]
    assert [event for event in events if isinstance(event, Ignored)] == [Ignored("not_subscribed")] * 3


def test_recorded_books_name_the_number_before_each_change() -> None:
    """The first frame of a book is all of it; the two of another one follow each other."""
    avax, eth = pair("AVAX-GUSD"), pair("ETH-GUSD")
    reader = gemini.Reader({"avaxgusdperp": avax, "ethgusdperp": eth})
    reader.subscribe([Wanted(f"{each.symbol}perp", each, "depth") for each in (avax, eth)])
    frames = [line.frame for line in read_recording(recorded("gemini/singles.ndjson")) if line.frame]
    books = [event for frame in frames for event in reader.read(frame) if isinstance(event, DepthChange)]

    assert [(each.instrument, each.whole, each.after, each.number) for each in books] == [
        (avax, True, None, 1764527605191349),
        (eth, False, 1764527605192323, 1764527605192686),
        (eth, False, 1764527605192686, 1764527605192712),
    ]
    assert [len(each.bids) for each in books] == [7, 1, 1]
    assert books[2].bids == [("2482.5500", "1.047")]
