"""Upbit: the quote first, exponents, no acknowledgements, one subscription that the next one replaces."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import (
    Event,
    Ignored,
    InstrumentStatus,
    Pong,
    Refused,
    Rules,
    Trade,
    Update,
)
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.book import SourceBook
from crypto_stream.market.instruments import pair
from handlers import upbit
from tests.fakes import FakeUpbit
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import SCALE, until

BTC = pair("BTC-KRW")
BOOK = (
    '{"type":"orderbook","code":"KRW-BTC","timestamp":1790134742106,"total_ask_size":2.51469375,'
    '"total_bid_size":1.63815297,"orderbook_units":[{"ask_price":1.16539E8,"bid_price":1.16538E8,'
    '"ask_size":0.00077720,"bid_size":7.9276E-4},{"ask_price":1.16542E8,"bid_price":1.16537E8,'
    '"ask_size":1,"bid_size":1}],"stream_type":"SNAPSHOT","level":0}'
)
TRADE = (
    '{"type":"trade","code":"KRW-BTC","timestamp":1696585056887,"trade_date":"2023-10-06",'
    '"trade_timestamp":1696585056846,"trade_price":3.7251E7,"trade_volume":0.00268456,"ask_bid":"BID",'
    '"prev_closing_price":37000000.0,"sequential_id":1696585056846000,"stream_type":"REALTIME"}'
)
TICKER = (
    '{"type":"ticker","code":"KRW-BTC","opening_price":3.7E7,"high_price":3.75E7,"low_price":3.69E7,'
    '"trade_price":3.7251E7,"acc_trade_volume":1080.9,"acc_trade_volume_24h":2503.02414072,'
    '"market_state":"ACTIVE","is_trading_suspended":false,"timestamp":1696585056887}'
)
CANDLE = {
    "market": "KRW-BTC", "candle_date_time_utc": "2026-09-24T18:26:00", "opening_price": 116539000.0,
    "high_price": 116550000.0, "low_price": 116500000.0, "trade_price": 116540000.0,
    "timestamp": 1790274412345, "candle_acc_trade_volume": 1.23456789, "unit": 1,
}  # fmt: skip
# The names of the venue's short format, in which the old recording is, and of the one that we request.
LONG_NAMES = {
    "ty": "type", "cd": "code", "tms": "timestamp", "ttms": "trade_timestamp", "tp": "trade_price",
    "tv": "trade_volume", "sid": "sequential_id", "obu": "orderbook_units", "ap": "ask_price",
    "bp": "bid_price", "as": "ask_size", "bs": "bid_size",
}  # fmt: skip


def read(text: str) -> list[Event]:
    """Read one frame."""
    return reading.read(upbit, text.encode())


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeUpbit):
    """Answers REST requests by path from `bodies`."""

    bodies: dict[str, object] = {}  # noqa: RUF012 - set for each server

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.bodies[path]


async def asked(bodies: dict[str, object], what: str, *given_: str) -> Any:
    """Let the handler ask a server that answers `bodies`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.bodies = bodies
        try:
            return await getattr(upbit, what)(http, *given_)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_the_first_level_of_a_book_is_its_top() -> None:
    """Numbers are as sent: exponents, and zeros at the end, remain."""
    assert read(BOOK) == [
        Update(
            BTC,
            "orderbook",
            1790134742106,
            1790134742106,
            bid="1.16538E8",
            bid_size="7.9276E-4",
            ask="1.16539E8",
            ask_size="0.00077720",
        )
    ]


@given(st.decimals("1e-8", "1e10", places=8))
def test_a_number_stays_as_it_was_written(number: Decimal) -> None:
    """With or without an exponent, letter by letter, as every venue's numbers."""
    price = f"{number.normalize():E}".replace("E+", "E")
    (top,) = read(BOOK.replace("1.16538E8", price))
    (plain,) = read(BOOK.replace("1.16538E8", f"{number:f}"))

    assert isinstance(top, Update)
    assert top.bid == price
    assert isinstance(plain, Update)
    assert plain.bid == f"{number:f}"


@pytest.mark.parametrize("zero", ["0", "0.0", "0E-8"])
def test_a_side_of_zeros_is_empty(zero: str) -> None:
    """So is a book without levels."""
    (one_side,) = read(BOOK.replace("1.16538E8", zero).replace("7.9276E-4", zero))
    (none,) = read('{"type":"orderbook","code":"KRW-BTC","timestamp":1,"orderbook_units":[]}')

    assert isinstance(one_side, Update)
    assert (one_side.bid, one_side.bid_size, one_side.ask) == (None, None, "1.16539E8")
    assert isinstance(none, Update)
    assert (none.bid, none.bid_size, none.ask, none.ask_size) == (None, None, None, None)


def test_a_trade_has_its_own_time_and_id() -> None:
    """`timestamp` is that of the frame."""
    expected = Trade(BTC, "trade", 1696585056846000, 1696585056846, "3.7251E7", "0.00268456")

    assert read(TRADE) == [expected]


def test_trades_out_of_order_are_counted_once_each() -> None:
    """The ids of the venue are unique, but do not always grow; the last price is that of the newest id."""
    book, reader = SourceBook(), reading.reader(upbit)
    frames = [
        TRADE.replace("1696585056846000", f"169658505684600{id_}").replace("3.7251E7", price)
        for id_, price in (("2", "100"), ("0", "101"), ("1", "102"), ("0", "101"), ("2", "100"))
    ]
    taken = [book.apply(event, 1) for frame in frames for event in reader.read(frame.encode())]

    assert taken == [True, True, True, False, False]
    assert book.entries["btckrw"].price == "100"


def test_only_the_volume_of_a_ticker_is_of_24_hours() -> None:
    """Open, high and low are of the day in Korea."""
    figures, state = read(TICKER)

    assert figures == Update(
        BTC,
        "ticker",
        1696585056887,
        1696585056887,
        price="3.7251E7",
        volume_24h="2503.02414072",
        slow=True,
    )
    assert state == InstrumentStatus(BTC, "")


def test_a_state_is_told_when_it_changes() -> None:
    """In the venue's word; trading may also be suspended without one."""
    reader = reading.reader(upbit)
    suspended = TICKER.replace('suspended":false', 'suspended":true')
    delisted = suspended.replace("ACTIVE", "DELISTED")
    words = [
        [event.word for event in reader.read(text.encode()) if isinstance(event, InstrumentStatus)]
        for text in (TICKER, TICKER, suspended, suspended, delisted, TICKER)
    ]

    assert words == [[""], [], ["suspended"], [], ["DELISTED"], [""]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"status":"UP"}', Pong()),
        ('{"error":{"message":"티켓","name":"NO_TICKET"}}', Refused("", "NO_TICKET: 티켓")),
        ('{"type":"novelty","code":"KRW-BTC","timestamp":1}', Ignored("novelty")),
        ('{"ty":"orderbook","cd":"KRW-BTC"}', Ignored("unknown")),
        (BOOK.replace("KRW-BTC", "KRWBTC"), Ignored("not_subscribed")),
    ],
)
def test_words_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """The short format is another one; an error names no instrument."""
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        BOOK.replace("1.16538E8", '"116538000"'),
        BOOK.replace("1.16538E8", "NaN"),
        BOOK.replace("1.16538E8", "1E999"),
        BOOK.replace("1790134742106", "-1"),
        BOOK.replace("1790134742106", "null"),
        BOOK.replace('"bid_size":7.9276E-4', '"size":1'),
        TRADE.replace("3.7251E7", "null"),
        TRADE.replace('"sequential_id":1696585056846000,', ""),
        TICKER.replace('"ACTIVE"', "1"),
        "[]",
        '{"type":5}',
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A string where a number stands is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_every_request_lists_all_that_was_wanted_so_far() -> None:
    """It replaces the one before; the book is requested with one level."""
    reader = reading.reader(upbit)
    first, second = wanted(upbit, "BTC-KRW"), wanted(upbit, "ETH-BTC")
    (one,), (two,) = reader.subscribe(first), reader.subscribe(second)

    assert one.text == (
        '[{"ticket":"1"},{"type":"orderbook","codes":["KRW-BTC.1"]},{"type":"trade","codes":["KRW-BTC"]},'
        '{"type":"ticker","codes":["KRW-BTC"]},{"format":"DEFAULT"}]'
    )
    assert [part.get("codes") for part in json.loads(two.text)] == [
        None, ["KRW-BTC.1", "BTC-ETH.1"], ["KRW-BTC", "BTC-ETH"], ["KRW-BTC", "BTC-ETH"], None,
    ]  # fmt: skip
    assert (one.keys, two.keys) == (("1",), ("2",))
    assert (one.wanted, two.wanted) == (tuple(first), tuple(second))
    assert reader.subscribe([]) == []


def test_what_is_wanted_no_longer_leaves_with_the_next_request() -> None:
    """Ending a subscription takes no request of its own: the next one replaces it."""
    reader = reading.reader(upbit)
    first, second = wanted(upbit, "BTC-KRW"), wanted(upbit, "ETH-BTC")
    reader.subscribe([*first, *second])
    ended = reader.unsubscribe(first)
    (request,) = reader.subscribe(second)

    assert ended == []
    assert [part.get("codes") for part in json.loads(request.text)] == [
        None, ["BTC-ETH.1"], ["BTC-ETH"], ["BTC-ETH"], None,
    ]  # fmt: skip


async def test_asking_for_a_silent_pair_again_ends_no_other() -> None:
    """It is refused for its silence, and its requests contain all others."""
    async with (
        FakeUpbit(["BTC-KRW"]) as fake,
        assembled(source_of(fake, rest=None), pairs="FOO-KRW,BTC-KRW", ack_timeout=0.3 * SCALE) as feed,
    ):
        line = feed.composition.loop.sources["upbit"]
        await until(lambda: "fookrw" in line.refused)
        asked_for = [text for text in fake.requests if text != "PING"]
        before = feed.received("upbit", "btckrw")
        await until(lambda: feed.received("upbit", "btckrw") > before)

        assert len(asked_for) >= 2
        assert all("KRW-BTC" in text and "KRW-FOO" in text for text in asked_for)
        assert set(line.refused) == {"fookrw"}
        assert (len(fake.connects), fake.violations) == (1, [])


async def test_our_pings_keep_a_silent_connection_open() -> None:
    """The venue cuts one without traffic; its data does not count, because it may have none."""
    keepalive = upbit.LIMITS.keepalive._replace(every_s=0.3 * SCALE)
    async with (
        FakeUpbit(["BTC-KRW"], rate=0, idle_s=1.5 * SCALE) as fake,
        assembled(source_of(fake, keepalive=keepalive), pairs="BTC-KRW", stale_after=60) as feed,
    ):
        idle = await connect(fake.url + "/websocket/v1", ping_interval=None)
        await until(lambda: feed.received("upbit", "btckrw"))
        await idle.wait_closed()

        assert len(fake.clients) == 1
        assert len(fake.connects) == 2
        assert feed.composition.loop.sources["upbit"].reconnects == 0
    assert idle.close_code == 1006


async def test_a_halt_is_known_from_the_ticker_and_outlives_the_list() -> None:
    """The list has no states: it must not end what the ticker said."""
    async with FakeUpbit(["BTC-KRW"]) as fake, assembled(source_of(fake), pairs="BTC-KRW") as feed:
        line = feed.composition.loop.sources["upbit"]
        await until(lambda: line.listing.rules)
        fake.states["btckrw"] = "DELISTED"
        await until(lambda: line.halted)
        async with httpx.AsyncClient(base_url=fake.rest_url) as http:
            line.listing.update(reading.by_symbol(upbit, await upbit.instruments(http)))

        assert line.halted == {"btckrw": "DELISTED"}
        fake.states.clear()
        await until(lambda: not line.halted)


async def test_the_list_and_its_ticks_are_two_kinds_of_requests() -> None:
    """A tick may be a string or a number; without one there is no rule."""
    markets = [{"market": "KRW-BTC"}, {"market": "BTC-ETH"}, {"market": "USDT-XRP"}, {"market": "odd"}, 5]
    ticks = [
        {"market": "KRW-BTC", "quote_currency": "KRW", "tick_size": "1000", "supported_levels": ["0"]},
        {"market": "BTC-ETH", "tick_size": 0.0001},
    ]
    listed = await asked({"/v1/market/all": markets, "/v1/orderbook/instruments": ticks}, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("KRW-BTC", "BTC", "KRW", None), ("BTC-ETH", "ETH", "BTC", None), ("USDT-XRP", "XRP", "USDT", None),
    ]  # fmt: skip
    assert [each.rules for each in listed] == [Rules(tick="1000"), Rules(tick="0.0001"), Rules()]
    with pytest.raises(MalformedFrame, match="upbit orderbook"):
        await asked({"/v1/market/all": markets, "/v1/orderbook/instruments": {}}, "instruments")


async def test_a_long_list_takes_several_requests() -> None:
    """The ids are part of the address."""
    queries: list[int] = []

    class Counting(FakeUpbit):
        def rest(self, path: str, query: dict[str, str]) -> object:
            if "markets" in query:
                queries.append(query["markets"].count(",") + 1)
            return super().rest(path, query)

    async with (
        Counting([f"A{number}-KRW" for number in range(450)]) as fake,
        httpx.AsyncClient(base_url=fake.rest_url) as http,
    ):
        listed = await upbit.instruments(http)

    assert len(listed) == 450
    assert all(each.rules.tick for each in listed)
    assert queries == [200, 200, 50]


async def test_bars_are_turned_round() -> None:
    """Their time is that of their beginning, in UTC without saying so."""
    later = CANDLE | {"candle_date_time_utc": "2026-09-24T18:27:00"}
    bars = await asked({"/v1/candles/minutes/1": [later, CANDLE]}, "candles", "KRW-BTC", "1m")

    assert [bar.time for bar in bars] == [1790274360_000, 1790274420_000]
    assert (bars[0].open, bars[0].close, bars[0].volume) == ("116539000.0", "116540000.0", "1.23456789")
    assert (bars[0].trades, bars[0].source) == (None, "upbit:candles")
    for wrong in (
        {"candle_date_time_utc": "2026-09-24T18:27:00Z"},
        {"candle_date_time_utc": "9999-01-01T00:00:00"},
        {"opening_price": None},
        {"opening_price": "1"},
    ):
        with pytest.raises(MalformedFrame, match="upbit candles"):
            await asked({"/v1/candles/minutes/1": [CANDLE | wrong]}, "candles", "KRW-BTC", "1m")


def test_recorded_frames_are_read_completely() -> None:
    """The recording is in the short format: its names are replaced, its values are the venue's."""
    reader, counts = reading.reader(upbit), Counter[str]()
    tops: dict[str, list[int]] = {}
    trades: set[tuple[str, int]] = set()
    for line in read_recording(recorded("upbit/v1-20210417.ndjson.gz")):
        if line.frame is None:
            continue
        text = line.frame.decode()
        for short, long in LONG_NAMES.items():
            text = text.replace(f'"{short}":', f'"{long}":')
        (event,) = reader.read(text.encode())
        counts[event.channel] += 1
        if isinstance(event, Update):
            tops.setdefault(event.symbol, []).append(event.key)

            assert event.bid is not None
            assert event.ask is not None
        elif isinstance(event, Trade):
            trades.add((event.symbol, event.key))

    assert counts == {"trade": 304, "orderbook": 145}
    assert len(trades) == 304
    assert all(keys == sorted(set(keys)) for keys in tops.values())


def test_the_recorded_list_is_split() -> None:
    """Every id has its quote first."""
    body = json.loads(gzip.decompress(recorded("rest/upbit-market-all-20210417.json.gz").read_bytes()))
    ids = [each["market"] for each in body]
    split = {id_: upbit.pair_of(id_) for id_ in ids}

    assert None not in split.values()
    assert {both[1] for both in split.values() if both} == {"KRW", "BTC", "USDT"}
    assert split["KRW-BTC"] == ("BTC", "KRW")
