"""Kraken: JSON numbers to the last digit, one ticker for two topics, the state of the venue."""

from __future__ import annotations

import json

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import (
    TOPICS,
    Acked,
    Event,
    Ignored,
    Pong,
    Refused,
    Trade,
    Update,
    VenueStatus,
)
from crypto_stream.market.instruments import pair
from handlers import kraken
from tests.fakes import FakeKraken
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import until

BTC = pair("BTC-USD")
TICKER = (
    '{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":83744.2,"bid_qty":0.56251979,'
    '"ask":83744.3,"ask_qty":0.00044780,"last":83744.3,"volume":3156.84782110,"vwap":84174.6,"low":83163.6,'
    '"high":85247.40,"change":-429.3,"change_pct":-0.51,"trades":135262,'
    '"timestamp":"2026-09-25T17:48:26.844359Z"}]}'
)
TRADE = (
    '{"channel":"trade","type":"update","data":[{"symbol":"BTC/USD","side":"buy","price":83744.3,'
    '"qty":0.00044780,"ord_type":"limit","trade_id":109116693,"timestamp":"2026-09-25T17:48:26.844359Z"}]}'
)


def read(text: str) -> list[Event]:
    """Read one frame."""
    return reading.read(kraken, text.encode())


def test_a_ticker_is_the_top_of_book_and_the_day() -> None:
    """Digits stay as sent; the open is the price less the change; the key is the time to the microsecond."""
    top, day = read(TICKER)

    assert top == Update(
        BTC,
        "ticker",
        1790358506844359,
        1790358506844,
        bid="83744.2",
        bid_size="0.56251979",
        ask="83744.3",
        ask_size="0.00044780",
    )
    assert isinstance(day, Update)
    assert day.slow
    assert (day.price, day.open_24h, day.high_24h) == ("83744.3", "84173.6", "85247.40")
    assert (day.low_24h, day.volume_24h) == ("83163.6", "3156.84782110")


def test_trades_have_their_ids() -> None:
    """Of several in a frame each is read."""
    two = TRADE.replace('"data":[{', '"data":[' + TRADE[TRADE.index("{", 1 + TRADE.index("[")) : -2] + ",{")

    assert read(TRADE) == [Trade(BTC, "trade", 109116693, 1790358506844, "83744.3", "0.00044780")]
    assert len(read(two)) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"channel":"heartbeat"}', Ignored("heartbeat")),
        ('{"channel":"level3","type":"snapshot","data":[{}]}', Ignored("level3")),
        (TICKER.replace("BTC/USD", "nothing"), Ignored("not_subscribed")),
        ('{"method":"pong","req_id":101,"time_in":"","time_out":""}', Pong()),
        (
            '{"method":"subscribe","req_id":1,"result":{"channel":"ticker","symbol":"BTC/USD"},"success":true}',
            Acked("1:BTC/USD"),
        ),
        (
            '{"method":"unsubscribe","req_id":2,"result":{"channel":"ticker","symbol":"BTC/USD"},"success":true}',
            Ignored("method:unsubscribe"),
        ),
        (
            '{"error":"Currency pair not supported BTC/USD","method":"subscribe","success":false,'
            '"symbol":"BTC/USD","req_id":3}',
            Refused("3:BTC/USD", "Currency pair not supported BTC/USD", BTC),
        ),
        (
            '{"error":"Exceeded msg rate","method":"subscribe","success":false}',
            Refused("", "Exceeded msg rate"),
        ),
        (
            '{"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online",'
            '"api_version":"v2","connection_id":18125794168470749634}]}',
            VenueStatus(""),
        ),
        (
            '{"channel":"status","type":"update","data":[{"system":"maintenance"}]}',
            VenueStatus("maintenance"),
        ),
    ],
)
def test_words_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """A number of a connection may be larger than 64 bits hold."""
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        TICKER.replace("83744.2", '"83744.2"'),
        TICKER.replace("83744.2", "[]"),
        TICKER.replace("2026-09-25T17:48:26.844359Z", "soon"),
        TICKER.replace("26.844359Z", "26.844359"),
        TICKER.replace('"last":83744.3,', ""),
        TRADE.replace('"price":83744.3', '"price":null'),
        TRADE.replace("109116693", "-1"),
        TRADE.replace("0.00044780", "NaN"),
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A text where a number stands is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_two_topics_are_one_subscription() -> None:
    """The ticker is asked for once for both, at every change of the book; each request has its number."""
    requests = reading.reader(kraken).subscribe(wanted(kraken, "BTC-USD", "ETH-USD"))
    said = [json.loads(request.text) for request in requests]

    assert [each["params"]["channel"] for each in said] == ["ticker", "trade"]
    assert said[0]["params"] == {
        "channel": "ticker", "symbol": ["BTC/USD", "ETH/USD"], "event_trigger": "bbo"
    }  # fmt: skip
    assert [request.keys for request in requests] == [("1:BTC/USD", "1:ETH/USD"), ("2:BTC/USD", "2:ETH/USD")]
    assert {each.topic for each in requests[0].wanted} == set(TOPICS) - {"trades"}


async def test_maintenance_is_no_trading_until_the_venue_is_online() -> None:
    """The instruments stand with the venue's word meanwhile."""
    async with FakeKraken(["BTC-USDT"]) as fake, assembled(source_of(fake), pairs="BTC-USDT") as feed:
        line = feed.composition.loop.sources["kraken"]
        await until(lambda: feed.serving() == "kraken")
        fake.announce_status("maintenance")
        await until(lambda: feed.serving() is None)
        halted = dict(line.halted)
        fake.announce_status("online")
        await until(lambda: feed.serving() == "kraken")

    assert halted == {"btcusdt": "maintenance"}


async def test_the_list_speaks_of_xbt() -> None:
    """Its pairs are BTC and DOGE for the socket, and for us."""
    async with (
        FakeKraken(["BTC-USD", "DOGE-USD"]) as fake,
        httpx.AsyncClient(base_url=fake.rest_url) as http,
    ):
        listed = await kraken.instruments(http)
        with pytest.raises(MalformedFrame, match="Unknown asset pair"):
            await kraken.candles(http, "XBT/USD", "1m")

    assert [(each.id, each.base, each.quote) for each in listed] == [
        ("BTC/USD", "BTC", "USD"),
        ("DOGE/USD", "DOGE", "USD"),
    ]
