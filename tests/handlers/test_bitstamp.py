"""Bitstamp: a channel in each message, errors that name nothing, texts beside numbers, no 24 h figures."""

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
from crypto_stream.feed.handler import Acked, Event, Ignored, Moving, Refused, Rules, Trade, Update
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import bitstamp
from tests.fakes import FakeBitstamp
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import until

BTC = pair("BTC-USD")
BOOK = (
    '{"data":{"timestamp":"1789457617","microtimestamp":"1789457617906487",'
    '"bids":[["77188","0.41122"],["77183","0.32386"]],"asks":[["77189","0.41120"],["77193","0.32385"]]},'
    '"channel":"order_book_btcusd","event":"data"}'
)
TRADE = (
    '{"data":{"id":216000506,"timestamp":"1641343721","amount":2.7324824,"amount_str":"2.73248240",'
    '"price":3800.8,"price_str":"3800.80","type":0,"microtimestamp":"1641343721269000",'
    '"buy_order_id":1443875826053121,"sell_order_id":1443875826118657},'
    '"channel":"live_trades_btcusd","event":"trade"}'
)
MARKET = {
    "name": "BTC/USD", "market_symbol": "btcusd", "base_decimals": 8, "counter_decimals": 0,
    "minimum_order_value": "10", "trading": "Enabled", "market_type": "SPOT",
}  # fmt: skip


def read(text: str) -> list[Event]:
    """Read one frame."""
    return reading.read(bitstamp, text.encode())


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeBitstamp):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(bitstamp, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_the_first_levels_of_a_book_are_its_top() -> None:
    """Digits stay as sent; the key is the time in microseconds."""
    assert read(BOOK) == [
        Update(
            BTC,
            "order_book",
            1789457617906487,
            1789457617906,
            bid="77188",
            bid_size="0.41122",
            ask="77189",
            ask_size="0.41120",
        )
    ]


def test_a_side_may_be_empty_and_the_sides_may_cross() -> None:
    """The venue says that it shows a crossed book for a moment."""
    (empty,) = read(BOOK.replace('"asks":[["77189","0.41120"],["77193","0.32385"]]', '"asks":[]'))
    (crossed,) = read(BOOK.replace("77188", "77200"))

    assert isinstance(empty, Update)
    assert (empty.bid, empty.ask, empty.ask_size) == ("77188", None, None)
    assert isinstance(crossed, Update)
    assert (crossed.bid, crossed.ask) == ("77200", "77189")


def test_a_trade_is_read_from_its_texts() -> None:
    """The numbers beside them have lost their zeros; `timestamp` may be in seconds or in milliseconds."""
    expected = [Trade(BTC, "live_trades", 216000506, 1641343721269, "3800.80", "2.73248240")]

    assert read(TRADE) == expected
    assert read(TRADE.replace('"timestamp":"1641343721"', '"timestamp":"1641343721269"')) == expected
    assert read(TRADE.replace('"id":216000506', '"id":216000506,"id_str":"216000506"')) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"event":"bts:subscription_succeeded","channel":"order_book_btcusd","data":{}}',
            Acked("order_book_btcusd"),
        ),
        (
            '{"event":"bts:unsubscription_succeeded","channel":"order_book_btcusd","data":{}}',
            Ignored("bts:unsubscription_succeeded"),
        ),
        (
            '{"event":"bts:error","channel":"","data":{"code":null,"message":"Invalid channel provided."}}',
            Refused("", "Invalid channel provided."),
        ),
        (
            '{"event":"bts:error","channel":"live_trades_btcusd","data":{"code":4009,"message":""}}',
            Refused("live_trades_btcusd", "bts:error", BTC),
        ),
        (
            '{"event":"bts:request_reconnect","channel":"","data":null}',
            Moving("Bitstamp asks for a new connection"),
        ),
        (
            '{"event":"bts:heartbeat","channel":"","data":{"status":"success"}}',
            Ignored("bts:heartbeat"),
        ),
        (BOOK.replace("btcusd", "btcusd-perp"), Ignored("not_subscribed")),
        (BOOK.replace("order_book", "diff_order_book"), Ignored("diff_order_book")),
        (TRADE.replace('"trade"', '"novelty"'), Ignored("live_trades")),
        ('{"event":"novelty"}', Ignored("novelty")),
    ],
)
def test_words_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """An error says what is wrong, not with what."""
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        BOOK.replace('"77188"', "77188"),
        BOOK.replace('"77188"', "null"),
        BOOK.replace('"77188"', '"NaN"'),
        BOOK.replace('["77188","0.41122"]', "[]"),
        BOOK.replace('"1789457617906487"', '"soon"'),
        BOOK.replace('"1789457617906487"', '"-1"'),
        TRADE.replace('"3800.80"', '""'),
        TRADE.replace('"price_str":"3800.80",', ""),
        TRADE.replace('"id":216000506', '"id":null'),
        TRADE.replace('"amount_str":"2.73248240"', '"amount_str":2.7324824'),
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A number where a text stands is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_each_channel_is_a_message_of_its_own() -> None:
    """Prices are asked for before trades, the 24 h figures never; a message is under 512 bytes."""
    both = wanted(bitstamp, "BTC-USD", "ETH-USD")
    requests = reading.reader(bitstamp).subscribe(both)
    back = reading.reader(bitstamp).unsubscribe(both)
    channels = ["order_book_btcusd", "order_book_ethusd", "live_trades_btcusd", "live_trades_ethusd"]

    assert requests[0].text == '{"event":"bts:subscribe","data":{"channel":"order_book_btcusd"}}'
    assert [request.keys for request in requests] == [(channel,) for channel in channels]
    assert [each.topic for request in requests for each in request.wanted] == ["top"] * 2 + ["trades"] * 2
    assert [json.loads(request.text)["data"]["channel"] for request in back] == channels
    assert {json.loads(request.text)["event"] for request in back} == {"bts:unsubscribe"}


async def test_a_pair_that_is_none_is_silent_and_costs_no_other() -> None:
    """The venue acknowledges it."""
    async with (
        FakeBitstamp(["BTC-USD"]) as fake,
        assembled(source_of(fake, rest=None), pairs="FOO-USD,BTC-USD") as feed,
    ):
        line = feed.composition.loop.sources["bitstamp"]
        await until(lambda: feed.received("bitstamp", "btcusd"))
        await until(lambda: any("live_trades_foousd" in text for text in fake.requests))

        assert not feed.received("bitstamp", "foousd")
        assert "btcusd" not in line.refused
        assert fake.violations == []


async def test_a_new_connection_is_there_before_the_old_one_ends() -> None:
    """The venue announces its maintenance."""
    async with FakeBitstamp(["BTC-USD"]) as fake, assembled(source_of(fake), pairs="BTC-USD") as feed:
        await until(lambda: feed.serving("btcusd") == "bitstamp")
        fake.announce()
        await until(lambda: len(fake.connects) == 2)

        assert feed.serving("btcusd") == "bitstamp"
        await until(lambda: len(fake.clients) == 1)


async def test_the_list_counts_decimals() -> None:
    """Ticks and lots are made of them; what is no spot market, or cannot be read, is left out."""
    odd = MARKET | {"name": "ETH/USD", "market_symbol": "ethusd", "counter_decimals": "two"}
    off = MARKET | {"name": "XRP/USD", "market_symbol": "xrpusd", "trading": "Disabled"}
    perpetual = MARKET | {"market_symbol": "btcusd-perp", "market_type": "PERPETUAL"}
    listed = await asked([MARKET, odd, off, perpetual, 5, {}], "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("btcusd", "BTC", "USD", ""), ("ethusd", "ETH", "USD", ""), ("xrpusd", "XRP", "USD", "Disabled"),
    ]  # fmt: skip
    assert listed[0].rules == Rules(tick="1", lot="0.00000001", min_notional="10")
    assert listed[1].rules == Rules()
    with pytest.raises(MalformedFrame, match="bitstamp markets"):
        await asked([odd], "instruments")


async def test_bars_are_read_or_the_reason_is_told() -> None:
    """Times are texts, in seconds."""
    body = json.loads(gzip.decompress(recorded("rest/bitstamp-ohlc-btcusd-gct.json.gz").read_bytes()))
    bars = await asked(body, "candles", "btcusd", "1m")

    assert (bars[0].time, bars[0].open, bars[0].close) == (1577836200_000, "7164.21", "7170.66")
    assert (bars[0].volume, bars[0].source) == ("0.08549090", "bitstamp:candles")
    assert [bar.time for bar in bars] == sorted({bar.time for bar in bars})
    with pytest.raises(MalformedFrame, match="No such pair"):
        await asked({"status": "error", "reason": "No such pair"}, "candles", "foousd", "1m")


@pytest.mark.parametrize("name", ["spot-20210417.ndjson", "spot-20220105.ndjson"])
def test_recorded_trades_keep_their_texts(name: str) -> None:
    """Their ids grow; all else in the recording is known by its name, and nothing is malformed."""
    reader, counts = reading.reader(bitstamp), Counter[str]()
    trades: list[Trade] = []
    expected: list[tuple[str, str]] = []
    for line in read_recording(recorded(f"bitstamp/{name}")):
        if line.frame is None:
            continue
        (event,) = reader.read(line.frame)
        counts[event.channel] += 1
        if isinstance(event, Trade):
            data = json.loads(line.frame)["data"]
            trades.append(event)
            expected.append((data["price_str"], data["amount_str"]))

    assert counts.keys() == {"ack", "diff_order_book", "live_trades"}
    assert [(trade.price, trade.size) for trade in trades] == expected
    assert [trade.key for trade in trades] == sorted({trade.key for trade in trades})
