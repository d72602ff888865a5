"""Coinbase: one ticker for two topics, trades newest first, acknowledgements that list everything, gaps."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import TOPICS, Acked, Event, Ignored, Moving, Refused, Rules, Trade, Update
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import coinbase
from tests.fakes import FakeCoinbase
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import until

BTC = pair("BTC-USD")
TICKER = (
    '{"channel":"ticker","timestamp":"2026-08-09T21:05:48.229198328Z","sequence_num":6,"events":['
    '{"type":"snapshot","tickers":[{"type":"ticker","product_id":"BTC-USD","price":"65086.18",'
    '"volume_24_h":"2867.54532609","low_24_h":"64675.22","high_24_h":"65252.99","low_52_w":"57717.55",'
    '"high_52_w":"126296","price_percent_chg_24_h":"0.09601107287722","best_bid":"65083.66",'
    '"best_ask":"65083.67","best_bid_quantity":"0.20371215","best_ask_quantity":"0.24290402"}]}]}'
)
TRADES = (
    '{"channel":"market_trades","timestamp":"2026-08-09T21:05:48.22Z","sequence_num":0,"events":['
    '{"type":"snapshot","trades":[{"product_id":"BTC-USD","trade_id":"1068572090","price":"65083.67",'
    '"size":"0.002186","time":"2026-08-09T21:05:42.514318Z","side":"SELL"},'
    '{"product_id":"BTC-USD","trade_id":"1068572089","price":"65083.60","size":"0.00064389",'
    '"time":"2026-08-09T21:05:41.139922Z","side":"SELL"}]}]}'
)
PRODUCT: dict[str, object] = {
    "product_id": "BTC-USD", "base_increment": "0.00000001", "quote_increment": "0.01",
    "quote_min_size": "1", "quote_max_size": "150000000", "base_min_size": "0.00000001",
    "base_max_size": "3400", "status": "online", "cancel_only": False, "limit_only": True,
    "trading_disabled": False, "product_type": "SPOT", "quote_currency_id": "USD",
    "base_currency_id": "BTC", "alias": "", "price_increment": "0.01",
}  # fmt: skip


def read(text: str) -> list[Event]:
    """Read one frame."""
    return reading.read(coinbase, text.encode())


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeCoinbase):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(coinbase, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_a_ticker_is_the_top_of_book_and_the_day() -> None:
    """Digits stay as sent; there is no open; the key is the time of the frame in nanoseconds."""
    assert read(TICKER) == [
        Update(
            instrument=BTC,
            channel="ticker",
            key=1786309548229198328,
            time=1786309548229,
            bid="65083.66",
            bid_size="0.20371215",
            ask="65083.67",
            ask_size="0.24290402",
        ),
        Update(
            instrument=BTC,
            channel="day",
            key=1786309548229198328,
            time=1786309548229,
            price="65086.18",
            high_24h="65252.99",
            low_24h="64675.22",
            volume_24h="2867.54532609",
            slow=True,
        ),
    ]


def test_a_time_is_cut_off_not_rounded() -> None:
    """Its nanoseconds order frames of the same microsecond, and never make it a later millisecond."""
    late, later = (TICKER.replace("48.229198328Z", f"48.22999999{digit}Z") for digit in "89")
    (top, _), (next_top, _) = read(late), read(later)
    (trade, _) = read(TRADES.replace("41.139922Z", "41.139999999Z"))

    assert isinstance(top, Update)
    assert isinstance(next_top, Update)
    assert (top.key, top.time) == (1786309548_229999998, 1786309548_229)
    assert next_top.key == top.key + 1
    assert isinstance(trade, Trade)
    assert trade.time == 1786309541_139


def test_of_several_tickers_of_one_product_the_last_counts() -> None:
    """All of a frame have the same key, so that the first would win otherwise."""
    first = TICKER[TICKER.index('{"type":"ticker"') : TICKER.index("]}]}")]
    top, _ = read(TICKER.replace(first, f"{first},{first.replace('65083.66', '65083.65')}"))

    assert isinstance(top, Update)
    assert top.bid == "65083.65"


def test_an_empty_side_has_no_price() -> None:
    """An empty text is none."""
    emptied = TICKER.replace('"best_ask":"65083.67"', '"best_ask":""').replace('"0.24290402"', '""')
    top, _ = read(emptied)

    assert isinstance(top, Update)
    assert (top.bid, top.ask, top.ask_size) == ("65083.66", None, None)


def test_trades_are_read_oldest_first() -> None:
    """They are sent newest first; the newest alone would be taken if their order remained."""
    assert read(TRADES) == [
        Trade(BTC, "market_trades", 1068572089, 1786309541139, "65083.60", "0.00064389"),
        Trade(BTC, "market_trades", 1068572090, 1786309542514, "65083.67", "0.002186"),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"channel":"subscriptions","timestamp":"2026-08-09T21:05:48.229226136Z","sequence_num":8,'
            '"events":[{"subscriptions":{"heartbeats":["heartbeats"],"ticker":["ETH-USD","BTC-USD"]}}]}',
            [Acked("heartbeats heartbeats"), Acked("ticker ETH-USD"), Acked("ticker BTC-USD")],
        ),
        (
            '{"channel":"subscriptions","timestamp":"2026-08-09T21:05:48Z","sequence_num":9,'
            '"events":[{"subscriptions":{}}]}',
            [Ignored("subscriptions")],
        ),
        ('{"type":"error","message":"rate limit exceeded"}', [Refused("", "rate limit exceeded")]),
        ('{"type":"error","message":"a","reason":"b"}', [Refused("", "a: b")]),
        ('{"type":"error"}', [Refused("", "error")]),
        (
            '{"channel":"heartbeats","timestamp":"2026-08-09T21:05:49.857424088Z","sequence_num":75,"events":'
            '[{"current_time":"2026-08-09 21:05:49.855324364 +0000 UTC m=+41692.26","heartbeat_counter":1}]}',
            [Ignored("heartbeats")],
        ),
        (TICKER.replace("BTC-USD", "nothing"), [Ignored("not_subscribed")]),
        (TRADES.replace("BTC-USD", "BIT-26DEC25-CDE"), [Ignored("not_subscribed")] * 2),
        (TICKER.replace('"tickers":[', '"tickers":[],"later":['), [Ignored("ticker")]),
        ('{"type":"ticker","sequence":1,"product_id":"BTC-USD"}', [Ignored("ticker")]),
        ("{}", [Ignored("unknown")]),
    ],
)
def test_words_and_what_we_do_not_use(text: str, expected: list[Event]) -> None:
    """An acknowledgement lists everything; an error names nothing; the older feed is another protocol."""
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        TICKER.replace('"65083.66"', "65083.66"),
        TICKER.replace('"65083.66"', "null"),
        TICKER.replace('"65083.66"', '"NaN"'),
        TICKER.replace('"high_24_h":"65252.99",', ""),
        TICKER.replace('"timestamp":"2026-08-09T21:05:48.229198328Z",', ""),
        TICKER.replace("21:05:48.229198328Z", "21:05:48.229198328"),
        TICKER.replace("2026-08-09T21:05:48.229198328Z", "soon"),
        TRADES.replace('"65083.67"', '""'),
        TRADES.replace('"1068572090"', '"x"'),
        TRADES.replace('"1068572090"', '"-1"'),
        TRADES.replace("42.514318Z", "42.514318"),
        TRADES.replace('"0.002186"', "0.002186"),
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A number where a text stands is another protocol; a time without a zone may be any."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_two_topics_are_one_subscription() -> None:
    """The ticker is asked for once for both, at most a hundred products in a message."""
    requests = reading.reader(coinbase).subscribe(wanted(coinbase, "BTC-USD", "ETH-USD"))
    many = [f"A{number}-USD" for number in range(101)]
    parts = reading.reader(coinbase).subscribe(wanted(coinbase, *many))

    assert requests[0].text == '{"type":"subscribe","product_ids":["BTC-USD","ETH-USD"],"channel":"ticker"}'
    assert [request.keys for request in requests] == [
        ("ticker BTC-USD", "ticker ETH-USD"),
        ("market_trades BTC-USD", "market_trades ETH-USD"),
    ]
    assert {each.topic for each in requests[0].wanted} == set(TOPICS) - {"trades"}
    assert [len(json.loads(request.text)["product_ids"]) for request in parts] == [100, 1, 100, 1]


def test_a_connection_that_loses_frames_is_replaced() -> None:
    """One that is younger than a minute is replaced after that; numbers may also begin anywhere."""
    reader = reading.reader(coinbase)

    def numbered(number: int, time: str) -> Event:
        frame = TICKER.replace('"sequence_num":6', f'"sequence_num":{number}').replace("21:05:48", time)
        event: Event = reader.read(frame.encode())[-1]
        return event

    assert isinstance(numbered(7, "21:05:48"), Update)
    assert isinstance(numbered(9, "21:06:47"), Update)
    assert numbered(10, "21:06:49") == Moving("frames were lost: number 9 followed 7")
    assert isinstance(numbered(11, "21:06:49"), Update)
    assert numbered(13, "21:06:50") == Moving("frames were lost: number 13 followed 11")
    assert isinstance(numbered(14, "21:06:51"), Update)


async def test_heartbeats_keep_idle_channels_open() -> None:
    """The venue closes them otherwise, and a connection that asks for nothing."""
    async with (
        FakeCoinbase(["BTC-USD"], rate=0, greet_s=2.0, idle_s=0.5) as fake,
        assembled(source_of(fake), pairs="BTC-USD", stale_after=60) as feed,
    ):
        counts = feed.composition.book.of("coinbase")
        await until(lambda: sum("subscribe" in text for text in fake.requests) == 3)
        (client,) = fake.clients
        await until(lambda: client.held.get(("heartbeats", ""), 0.0) > client.opened_at + 1.0)

        assert fake.requests[0] == '{"type":"subscribe","channel":"heartbeats"}'
        assert fake.violations == []
        assert len(fake.connects) == 1
        assert counts.entries["btcusd"].bid


async def test_past_trades_come_first_and_none_is_missing() -> None:
    """The snapshot of a subscription is newest first; each trade is taken."""
    async with FakeCoinbase(["BTC-USD"], rate=0) as fake:
        for price in ("10.01", "10.02", "10.03"):
            await fake.push("btcusd", price=price)
        async with assembled(source_of(fake), pairs="BTC-USD") as feed:
            await until(lambda: sum(isinstance(event, Trade) for _, event in feed.events) == 3)

    assert [event.price for _, event in feed.events if isinstance(event, Trade)] == [
        "10.01", "10.02", "10.03",
    ]  # fmt: skip


async def test_the_list_leaves_out_aliases_and_futures() -> None:
    """A flag or the status says why a product does not trade; limit orders alone are trading."""
    odd = PRODUCT | {"product_id": "ETH-USD", "base_currency_id": "ETH", "base_increment": 5}
    gone = PRODUCT | {"product_id": "DAI-USD", "status": "delisted", "trading_disabled": True}
    halted = PRODUCT | {"product_id": "XRP-USD", "cancel_only": True}
    alias = PRODUCT | {"product_id": "BTC-USDC", "quote_currency_id": "USDC", "alias": "BTC-USD"}
    future = PRODUCT | {"product_id": "BIT-26DEC25-CDE", "product_type": "FUTURE"}
    listed = await asked({"products": [PRODUCT, odd, gone, halted, alias, future, 5, {}]}, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("BTC-USD", "BTC", "USD", ""), ("ETH-USD", "ETH", "USD", ""), ("DAI-USD", "BTC", "USD", "delisted"),
        ("XRP-USD", "BTC", "USD", "cancel_only"),
    ]  # fmt: skip
    assert listed[0].rules == Rules(
        tick="0.01",
        lot="0.00000001",
        min_amount="0.00000001",
        min_notional="1",
        max_amount="3400",
        max_notional="150000000",
        market_max_amount="3400",
        market_min_notional="1",
        market_max_notional="150000000",
    )
    assert listed[1].rules == Rules()
    with pytest.raises(MalformedFrame, match="coinbase products"):
        await asked({"products": [odd]}, "instruments")


async def test_bars_are_sorted() -> None:
    """They are sent newest first, with times as texts, in seconds."""
    newest = {
        "start": "1712192400", "low": "66055.14", "high": "66331.99", "open": "66312.4", "close": "66181.6",
        "volume": "355.82896243",
    }  # fmt: skip
    bars = await asked({"candles": [newest, newest | {"start": "1712188800"}]}, "candles", "BTC-USD", "1h")

    assert [bar.time for bar in bars] == [1712188800_000, 1712192400_000]
    assert (bars[1].open, bars[1].high, bars[1].low) == ("66312.4", "66331.99", "66055.14")
    assert (bars[1].close, bars[1].volume, bars[1].source) == ("66181.6", "355.82896243", "coinbase:candles")
    with pytest.raises(MalformedFrame, match="coinbase candles"):
        await asked({"candles": [newest | {"start": "soon"}]}, "candles", "BTC-USD", "1m")


def test_recorded_frames_are_all_known() -> None:
    """None is malformed or lost; of the tickers and trades nothing is missing, trades in ascending order."""
    reader, counts = reading.reader(coinbase), Counter[str]()
    trades: dict[str, list[int]] = {}
    expected: dict[str, list[int]] = {}
    for line in read_recording(recorded("coinbase/advanced-20260809-part1.ndjson.gz")):
        if line.frame is None:
            continue
        events = reader.read(line.frame)
        counts[events[0].channel] += 1
        for event in events:
            assert not isinstance(event, Moving)
            if isinstance(event, Trade):
                trades.setdefault(event.symbol, []).append(event.key)
        message = json.loads(line.frame)
        for each in message["events"] if message["channel"] == "market_trades" else ():
            for trade in each["trades"]:
                symbol = trade["product_id"].replace("-", "").lower()
                expected.setdefault(symbol, []).append(int(trade["trade_id"]))

    assert counts.keys() == {"ticker", "market_trades", "ack", "heartbeats", "candles", "depth"}
    assert trades == {symbol: sorted(ids) for symbol, ids in expected.items()}


async def test_the_recorded_list() -> None:
    """Each product but the aliases, with its rules; the delisted ones say so."""
    file = recorded("rest/coinbase-advanced-products-20260809.json.gz")
    body = json.loads(gzip.decompress(file.read_bytes()))
    listed = {each.id: each for each in await asked(body, "instruments")}

    assert listed.keys() == {each["product_id"] for each in body["products"] if not each["alias"]}
    assert {each.state for each in listed.values()} == {"", "delisted"}
    assert (listed["BTC-USD"].rules.tick, listed["BTC-USD"].rules.min_notional) == ("0.01", "1")
