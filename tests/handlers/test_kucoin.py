"""KuCoin: nanoseconds, integers as numbers and as texts, binary frames, silence for unknown symbols."""

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
from crypto_stream.feed.handler import Acked, Event, Ignored, Pong, Refused, Rules, Trade, Update
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import kucoin
from tests.fakes import FakeKucoin
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import until

BTC = pair("BTC-USDT")
TOP = (
    '{"T":"obu.SPOT","dp":"1","t":"snapshot","P":"1774624848680504909","d":{"C":20452522782,'
    '"M":"1774624848673999999","O":20452522782,"a":[["66532.5","0.46243848"]],"b":[["66532.4","0.09489"]],'
    '"s":"BTC-USDT"}}'
)
TRADE = (
    '{"T": "trade.SPOT", "P": 1787348155899171700, "d": {"E": 24021490985222144, "M": 1787348155897000000, '
    '"S": "sell", "p": "78313.6", "q": "0.00001374", "s": "BTC-USDT", "ti": "24021490985222144"}}'
)
SYMBOL: dict[str, object] = {
    "symbol": "BTC-USDT", "name": "BTC-USDT", "baseCurrency": "BTC", "quoteCurrency": "USDT",
    "baseMinSize": "0.00001", "quoteMinSize": "0.1", "baseMaxSize": "10000000000",
    "quoteMaxSize": "99999999", "baseIncrement": "0.00000001", "quoteIncrement": "0.000001",
    "priceIncrement": "0.1", "minFunds": "0.2", "enableTrading": True,
}  # fmt: skip


def read(text: str) -> list[Event]:
    """Read one frame."""
    return reading.read(kucoin, text.encode())


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeKucoin):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(kucoin, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def success(data: object) -> dict[str, object]:
    """Return an answer without an error."""
    return {"code": "200000", "data": data}


def test_the_top_of_a_book_has_the_number_of_its_change() -> None:
    """Digits stay as sent; nanoseconds are not rounded up."""
    expected = Update(
        instrument=BTC,
        channel="obu",
        key=20452522782,
        time=1774624848673,
        bid="66532.4",
        bid_size="0.09489",
        ask="66532.5",
        ask_size="0.46243848",
    )

    assert read(TOP) == [expected]
    assert read(TOP.replace('"C":20452522782', '"C":"20452522782"')) == [expected]
    assert read(TOP.replace('"1774624848673999999"', "1774624848673999999")) == [expected]


def test_a_side_may_be_empty() -> None:
    """It has no level then."""
    (top,) = read(TOP.replace('[["66532.5","0.46243848"]]', "[]"))

    assert isinstance(top, Update)
    assert (top.bid, top.ask, top.ask_size) == ("66532.4", None, None)


def test_a_trade_has_an_id_of_17_digits() -> None:
    """Other long integers are numbers or texts."""
    expected = [Trade(BTC, "trade", 24021490985222144, 1787348155897, "78313.6", "0.00001374")]

    assert read(TRADE) == expected
    assert read(TRADE.replace("1787348155897000000", '"1787348155897000000"')) == expected
    assert read(TRADE.replace("24021490985222144,", '"24021490985222144",')) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"id":"p1","result":true}', Acked("p1")),
        ('{"id":"1","result":"true"}', Acked("1")),
        ('{"id":1,"result":true}', Acked("1")),
        (
            '{"id":"p18","result":false,"message":"invalid request data"}',
            Refused("p18", "invalid request data"),
        ),
        (
            '{"id":"p22","result":false,"reason":"symbols are not supported for topic obu"}',
            Refused("p22", "symbols are not supported for topic obu"),
        ),
        ('{"id":"3","result":false}', Refused("3", "refused")),
        ('{"result":"false"}', Refused("", "refused")),
        ('{"type":"pong","id":"366142583719543","ts":1771580331134146844}', Pong()),
        ('{"sessionId":"d2c9a1c2","message":"welcome","pingInterval":18000}', Ignored("welcome")),
        ('{"id":"p28","type":"error","code":404,"data":"topic does not exist"}', Ignored("error")),
        ("{}", Ignored("unknown")),
        (TOP.replace("BTC-USDT", "nothing"), Ignored("not_subscribed")),
        (TRADE.replace("BTC-USDT", "nothing"), Ignored("not_subscribed")),
        (TOP.replace("obu.SPOT", "obu.FUTURES"), Ignored("obu.FUTURES")),
        (TOP.replace("snapshot", "delta"), Ignored("obu.SPOT:delta")),
        ('{"T":"ticker.SPOT","P":1,"d":{"s":"BTC-USDT"}}', Ignored("ticker.SPOT")),
    ],
)
def test_words_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """The reason of a refusal has one of two names."""
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        TOP.replace('"66532.4"', "66532.4"),
        TOP.replace('"66532.4"', "null"),
        TOP.replace('"66532.4"', '"NaN"'),
        TOP.replace('["66532.4","0.09489"]', "[]"),
        TOP.replace('"C":20452522782', '"C":-1'),
        TOP.replace('"C":20452522782,', ""),
        TOP.replace('"1774624848673999999"', '"soon"'),
        TRADE.replace('"78313.6"', '""'),
        TRADE.replace('"24021490985222144"', '"5bbcaf3e"'),
        TRADE.replace('"0.00001374"', "0.00001374"),
        '{"T":"trade.SPOT"}',
        "[]",
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A number where a text stands is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_each_topic_of_a_symbol_is_a_message_of_its_own() -> None:
    """Prices are asked for before trades, the 24 h figures never; a book's depth is part of the request."""
    both = wanted(kucoin, "BTC-USDT", "ETH-USDT")
    requests = reading.reader(kucoin).subscribe(both)
    back = reading.reader(kucoin).unsubscribe(both)
    said = [json.loads(request.text) for request in requests]

    assert requests[0].text == (
        '{"id":"1","action":"SUBSCRIBE","channel":"obu","tradeType":"SPOT","symbol":"BTC-USDT","depth":"1",'
        '"rpiFilter":0}'
    )
    assert [(each["channel"], each["symbol"]) for each in said] == [
        ("obu", "BTC-USDT"), ("obu", "ETH-USDT"), ("trade", "BTC-USDT"), ("trade", "ETH-USDT"),
    ]  # fmt: skip
    assert [request.keys for request in requests] == [("1",), ("2",), ("3",), ("4",)]
    assert [each.topic for request in requests for each in request.wanted] == ["top"] * 2 + ["trades"] * 2
    assert {json.loads(request.text)["action"] for request in back} == {"UNSUBSCRIBE"}
    assert not any(request.keys for request in back)


def test_each_ping_has_an_id_of_its_own() -> None:
    """The venue asks for one every 18 s, whatever else is sent."""
    text = kucoin.LIMITS.keepalive.text
    assert callable(text)
    one, two = json.loads(text()), json.loads(text())

    assert one["type"] == two["type"] == "ping"
    assert one["id"] != two["id"]
    assert kucoin.LIMITS.keepalive.always


async def test_a_symbol_that_is_none_is_silent_and_costs_no_other() -> None:
    """The venue acknowledges it; pings are answered while data arrives."""
    pinging = kucoin.LIMITS.keepalive._replace(every_s=0.5)
    async with (
        FakeKucoin(["BTC-USDT"], ping_s=0.1) as fake,
        assembled(source_of(fake, rest=None, keepalive=pinging), pairs="FOO-USDT,BTC-USDT") as feed,
    ):
        line = feed.composition.loop.sources["kucoin"]
        await until(lambda: feed.received("kucoin", "btcusdt"))
        await until(lambda: any("FOO-USDT" in text and "trade" in text for text in fake.requests))
        await until(lambda: sum('"ping"' in text for text in fake.requests) >= 2)

        assert not feed.received("kucoin", "foousdt")
        assert "btcusdt" not in line.refused
        assert fake.violations == []
        assert len(fake.connects) == 1


async def test_the_list_says_what_is_disabled() -> None:
    """Ticks and lots are given as such; entries that cannot be read are left out."""
    odd = SYMBOL | {"symbol": "ETH-USDT", "baseCurrency": "ETH", "priceIncrement": 5}
    off = SYMBOL | {"symbol": "XRP-USDT", "baseCurrency": "XRP", "enableTrading": False, "minFunds": None}
    listed = await asked(success([SYMBOL, odd, off, 5, {}]), "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("BTC-USDT", "BTC", "USDT", ""), ("ETH-USDT", "ETH", "USDT", ""),
        ("XRP-USDT", "XRP", "USDT", "disabled"),
    ]  # fmt: skip
    assert listed[0].rules == Rules(
        tick="0.1",
        lot="0.00000001",
        min_amount="0.00001",
        min_notional="0.2",
        max_amount="10000000000",
        market_max_amount="10000000000",
        market_min_notional="0.1",
        market_max_notional="99999999",
    )
    assert listed[1].rules == Rules()
    assert listed[2].rules.min_notional is None
    with pytest.raises(MalformedFrame, match="kucoin symbols"):
        await asked(success([odd]), "instruments")


async def test_bars_are_sorted_and_errors_have_a_code() -> None:
    """They are sent newest first: time in seconds, open, close, high, low, volume in base and in quote."""
    rows = [
        ["1790359200", "3", "2", "4", "1", "14.74", "40.1"],
        ["1790359140", "5", "3", "6", "2", "1", "4"],
    ]
    older, newer = await asked(success(rows), "candles", "BTC-USDT", "1m")

    assert (older.time, newer.time) == (1790359140_000, 1790359200_000)
    assert (newer.open, newer.high, newer.low, newer.close) == ("3", "4", "1", "2")
    assert (newer.volume, newer.source) == ("14.74", "kucoin:candles")
    refusal = {"code": "400100", "msg": "symbol not exists", "data": None}
    with pytest.raises(MalformedFrame, match="code 400100: symbol not exists"):
        await asked(refusal, "candles", "FOO-USDT", "1m")
    with pytest.raises(MalformedFrame, match="kucoin candles"):
        await asked(success([["soon", *rows[0][1:]]]), "candles", "BTC-USDT", "1m")


def test_recorded_frames_of_both_sockets() -> None:
    """Those of this socket are read with their texts; those of the classic one are ignored."""
    counts = Counter[str]()
    tops: list[tuple[object, object]] = []
    for file in ("kucoin/singles.ndjson", "kucoin/classic-20210425-part1.ndjson.gz"):
        for line in read_recording(recorded(file)):
            if line.frame is None:
                continue
            (event,) = reading.read(kucoin, line.frame)
            counts[event.channel] += 1
            if isinstance(event, Update):
                tops.append((event.bid, event.ask))

    assert tops == [("66532.4", "66532.5")]
    assert counts["trade"] == 2
    assert counts["refused"] == 2
    assert counts["pong"] == 2
    assert counts["obu.FUTURES"] == 1
    assert counts["message"] > 600


async def test_the_recorded_list() -> None:
    """Every symbol of 2021 has its ticks and amounts; the older list has no least value of limit orders."""
    body = json.loads(gzip.decompress(recorded("rest/kucoin-symbols-20210425.json.gz").read_bytes()))
    listed = {each.id: each for each in await asked(body, "instruments")}

    assert listed.keys() == {each["symbol"] for each in body["data"]}
    for each in body["data"]:
        rules = listed[each["symbol"]].rules
        assert (rules.tick, rules.lot) == (each["priceIncrement"], each["baseIncrement"])
        assert (rules.min_amount, rules.min_notional) == (each["baseMinSize"], None)
        assert (listed[each["symbol"]].state == "") == each["enableTrading"]
