"""Bitget: an answer per argument, numbers as text, trades newest first, a ping whatever else is sent."""

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
    Event,
    Ignored,
    Keepalive,
    Pong,
    Refused,
    Rules,
    Trade,
    Update,
)
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import bitget
from tests.fakes import FakeBitget
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import SCALE, until

BTC = pair("BTC-USDT")
TICKER = {
    "instId": "BTCUSDT", "lastPr": "83715.7", "open24h": "83812.27", "high24h": "85250",
    "low24h": "83172.57", "change24h": "-0.00491", "bidPr": "83715.69", "askPr": "83715.7",
    "bidSz": "0.074435", "askSz": "2.145777", "baseVolume": "2673.629245",
    "quoteVolume": "225237773.321358", "openUtc": "84409.37", "changeUtc24h": "-0.00819",
    "ts": "1790358774065",
}  # fmt: skip
TOP = {
    "asks": [["83715.7", "2.145777"]], "bids": [["83715.69", "0.074435"]], "ts": "1790358773905",
    "seq": 850167842345, "pseq": 0,
}  # fmt: skip
SOLD = {
    "ts": "1790358780904", "price": "83715.70", "size": "0.000012", "side": "buy",
    "tradeId": "1487438024184414208",
}  # fmt: skip
LISTED = {
    "symbol": "ETHUSDT", "baseCoin": "ETH", "quoteCoin": "USDT", "status": "online",
    "minTradeAmount": "0.0005", "maxTradeAmount": "900000000000000000000", "pricePrecision": "2",
    "quantityPrecision": "4", "minTradeUSDT": "1",
}  # fmt: skip


def push(channel: str, *items: object, market: str = "SPOT", name: str = "BTCUSDT") -> dict[str, object]:
    """Make a push of a channel."""
    arg = {"instType": market, "channel": channel, "instId": name}
    return {"action": "snapshot", "arg": arg, "data": list(items), "ts": 1790358774066}


def read(message: object) -> list[Event]:
    """Read one message."""
    return reading.read(bitget, json.dumps(message, ensure_ascii=False).encode())


def said(event: str, **more: object) -> dict[str, object]:
    """Make a response about the top of book of BTCUSDT."""
    return {"event": event, "arg": push("books1")["arg"], **more}


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeBitget):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(bitget, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_the_ticker_gives_the_24_hour_figures() -> None:
    """Its touch gives way to the faster channel; the volume is in base."""
    assert read(push("ticker", TICKER)) == [
        Update(
            BTC,
            "ticker",
            1790358774065,
            1790358774065,
            "83715.7",
            bid="83715.69",
            bid_size="0.074435",
            ask="83715.7",
            ask_size="2.145777",
            open_24h="83812.27",
            high_24h="85250",
            low_24h="83172.57",
            volume_24h="2673.629245",
            slow=True,
        )
    ]


def test_the_top_of_book_is_ordered_by_its_sequence() -> None:
    """Without one, by its time."""
    expected = Update(
        BTC,
        "books1",
        850167842345,
        1790358773905,
        bid="83715.69",
        bid_size="0.074435",
        ask="83715.7",
        ask_size="2.145777",
    )
    (unnumbered,) = read(push("books1", {name: TOP[name] for name in ("asks", "bids", "ts")}))

    assert read(push("books1", TOP)) == [expected]
    assert isinstance(unnumbered, Update)
    assert (unnumbered.key, unnumbered.bid) == (1790358773905, "83715.69")


def test_a_side_may_be_empty() -> None:
    """The frame is complete: there is nobody on that side."""
    (event,) = read(push("books1", {**TOP, "bids": []}))

    assert isinstance(event, Update)
    assert (event.bid, event.bid_size, event.ask) == (None, None, "83715.7")


def test_trades_are_read_from_the_last_to_the_first() -> None:
    """The venue lists the newest first; trades of one time have ids of their own."""
    earlier = {**SOLD, "tradeId": "1487438024184414207", "price": "83715.60"}

    assert read(push("trade", SOLD, earlier)) == [
        Trade(BTC, "trade", 1487438024184414207, 1790358780904, "83715.60", "0.000012"),
        Trade(BTC, "trade", 1487438024184414208, 1790358780904, "83715.70", "0.000012"),
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (said("subscribe"), Acked("books1:BTCUSDT")),
        (said("unsubscribe"), Ignored("event:unsubscribe")),
        (
            said("error", code=30001, msg="instId:BTCUSDT doesn't exist"),
            Refused("books1:BTCUSDT", "code 30001: instId:BTCUSDT doesn't exist", BTC),
        ),
        (
            said("error", code="30016", msg="Param error", op="subscribe"),
            Refused("books1:BTCUSDT", "code 30016: Param error", BTC),
        ),
        (said("error", code=30016, msg="Param error", op="unsubscribe"), Ignored("event:error")),
        (
            {"event": "error", "code": 30006, "msg": "Too many requests"},
            Refused("", "code 30006: Too many requests", temporary=True),
        ),
        ({"event": "error", "code": 30002, "msg": ""}, Refused("", "code 30002: ")),
        ({"event": "novelty"}, Ignored("event:novelty")),
        (push("books5", TOP), Ignored("books5")),
        (push("ticker", TICKER, market="USDT-FUTURES"), Ignored("not_subscribed")),
        (push("ticker", TICKER, name="NOTHING"), Ignored("not_subscribed")),
        (push("trade"), Ignored("trade")),
    ],
)
def test_responses_and_what_we_do_not_use(message: object, expected: Event) -> None:
    """A refusal names its argument; futures have the ids of spot pairs."""
    assert read(message) == [expected]


def test_a_pong_is_no_json() -> None:
    """It is the bare word."""
    assert reading.read(bitget, b"pong") == [Pong()]


@pytest.mark.parametrize(
    "message",
    [
        push("ticker", {**TICKER, "lastPr": 83715.7}),
        push("ticker", {**TICKER, "ts": "soon"}),
        push("ticker", {name: TICKER[name] for name in ("instId", "ts")}),
        push("books1", {**TOP, "bids": [["83715.69"]]}),
        push("books1", {**TOP, "bids": [["NaN", "1"]]}),
        push("books1", {**TOP, "seq": "first"}),
        push("trade", {**SOLD, "tradeId": "a-uuid"}),
        push("trade", {**SOLD, "price": ""}),
        push("trade", {**SOLD, "size": 0.000012}),
        {"event": 5},
    ],
)
def test_wrong_values_are_malformed(message: object) -> None:
    """A number where a text is expected is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(message)


def test_fifty_channels_a_request() -> None:
    """Each channel is a key; ids that are not ASCII are sent as they are."""
    asked_for = wanted(bitget, *(f"A{number}-USDT" for number in range(17)))
    first, second = reading.reader(bitget).subscribe(asked_for)
    odd = reading.reader(bitget).subscribe(wanted(bitget, "牛来-USDT"))[0]
    back = reading.reader(bitget).unsubscribe(asked_for)[0]

    assert json.loads(first.text)["args"][0] == {
        "instType": "SPOT", "channel": "books1", "instId": "A0USDT"
    }  # fmt: skip
    assert [len(first.keys), len(second.keys)] == [50, 1]
    assert first.keys[:3] == ("books1:A0USDT", "trade:A0USDT", "ticker:A0USDT")
    assert "牛来USDT" in odd.text
    assert (json.loads(back.text)["op"], back.keys) == ("unsubscribe", ())


async def test_a_ping_is_sent_although_data_arrives() -> None:
    """The venue disconnects clients that never send one, however much it sends itself."""
    patience_s = 1.0 * SCALE
    often, when_silent = (Keepalive("ping", patience_s / 5, always=always) for always in (True, False))
    async with FakeBitget(["btcusdt"], rate=50, idle_s=patience_s) as fake:
        async with assembled(source_of(fake, keepalive=often), pairs="btcusdt") as feed:
            await until(lambda: fake.requests.count("ping") >= 15)

            assert len(fake.connects) == 1
            assert fake.violations == []
            assert feed.serving("btcusdt") == "bitget"
        async with assembled(source_of(fake, keepalive=when_silent), pairs="btcusdt"):
            await until(lambda: "no ping in time" in fake.violations)


async def test_trades_from_before_the_subscription_come_first() -> None:
    """In the order of their times, and once each, also after a reconnection."""
    async with (
        FakeBitget(["btcusdt"], rate=0) as fake,
        assembled(source_of(fake), pairs="btcusdt", stale_after=60) as feed,
    ):

        def prices() -> list[str]:
            return [event.price for _, event in feed.events if isinstance(event, Trade)]

        await until(lambda: len(prices()) == 3)
        await fake.fault("drop")
        await until(lambda: len(fake.connects) >= 2)
        await until(lambda: [("trade", "btcusdt") in client.streams for client in fake.clients] == [True])
        await fake.push("btcusdt", price="61000.5")
        await until(lambda: prices()[-1] == "61000.5")
        trades = [event for _, event in feed.events if isinstance(event, Trade)]

        assert [trade.key for trade in trades] == sorted({trade.key for trade in trades})
        assert [trade.time for trade in trades] == sorted(trade.time or 0 for trade in trades)
        assert len(trades) == 4


async def test_an_unknown_pair_is_refused_by_name() -> None:
    """The others of the request are served."""
    async with (
        FakeBitget(["btcusdt"]) as fake,
        assembled(source_of(fake, rest=None), pairs="FOO-USDT,BTC-USDT") as feed,
    ):
        line = feed.composition.loop.sources["bitget"]
        await until(lambda: feed.received("bitget", "btcusdt") and "foousdt" in line.refused)

        assert "doesn't exist" in line.refused["foousdt"]
        assert "btcusdt" not in line.refused
        assert fake.violations == []


async def test_the_list_counts_decimals() -> None:
    """Ticks and lots are derived from them; a minimum in USDT says nothing about other quotes."""
    odd = LISTED | {"symbol": "XRPUSDT", "baseCoin": "XRP", "pricePrecision": "two", "status": "halt"}
    other = LISTED | {"symbol": "ETHBTC", "quoteCoin": "BTC", "minTradeAmount": "0"}
    listed = await asked({"code": "00000", "msg": "success", "data": [LISTED, odd, other, 5]}, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("ETHUSDT", "ETH", "USDT", ""), ("XRPUSDT", "XRP", "USDT", "halt"), ("ETHBTC", "ETH", "BTC", ""),
    ]  # fmt: skip
    assert listed[0].rules == Rules(
        tick="0.01", lot="0.0001", min_amount="0.0005", min_notional="1", max_amount="9" + "0" * 20
    )
    assert listed[1].rules == Rules()
    assert listed[2].rules.min_notional == ""
    with pytest.raises(MalformedFrame, match="bitget symbols"):
        await asked({"code": "00000", "data": [odd]}, "instruments")
    with pytest.raises(MalformedFrame, match="code 40034: no such symbol"):
        await asked({"code": "40034", "msg": "no such symbol", "data": None}, "candles", "X", "1m")


async def test_the_recorded_list_and_bars_are_read() -> None:
    """Every entry has a tick and a lot; bars keep their digits."""
    symbols, candles = (
        json.loads(gzip.decompress(recorded(f"rest/bitget-v2-{name}-20260925.json.gz").read_bytes()))
        for name in ("spot-symbols-excerpt", "history-candles-excerpt")
    )
    listed = await asked(symbols, "instruments")
    bars = await asked(candles, "candles", "BTCUSDT", "1m")

    assert {each.id: (each.rules.tick, each.rules.lot) for each in listed} == {
        "XRPUSDT": ("0.0001", "0.0001"), "BTCUSDT": ("0.01", "0.000001"), "ETHUSDT": ("0.01", "0.0001"),
    }  # fmt: skip
    assert (bars[0].time, bars[0].open, bars[0].low) == (1790358660000, "83765.17", "83738.85")
    assert (bars[0].volume, bars[0].source) == ("0.701343", "bitget:candles")
    assert [bar.time for bar in bars] == sorted({bar.time for bar in bars})


def test_recorded_frames_are_all_known() -> None:
    """Two repeat the ticker within a third of a second, with a later time."""
    reader = reading.reader(bitget)
    frames = [line.frame for line in read_recording(recorded("bitget/singles.ndjson")) if line.frame]
    events = [event for frame in frames for event in reader.read(frame)]
    tickers = [event for event in events if isinstance(event, Update)]
    (trade,) = (event for event in events if isinstance(event, Trade))

    assert [event.channel for event in events] == [
        "ack", "refused", "ticker", "trade", "books5", "depth", "ticker", "ticker"
    ]  # fmt: skip
    assert [event.price for event in tickers] == ["83715.7", "63707.42", "63707.42"]
    assert tickers[2].key - tickers[1].key == 303
    assert (trade.key, trade.price, trade.size) == (1487438024184414208, "83715.7", "0.000012")


def test_frames_of_the_retired_protocol_are_not_taken_for_spot() -> None:
    """Its markets and ids had other names."""
    reader = reading.reader(bitget)
    name = "bitget/v1-retired-spot-20220407.ndjson.gz"
    frames = [line.frame for line in read_recording(recorded(name)) if line.frame]
    events = [event for frame in frames for event in reader.read(frame)]

    assert len(frames) == 684
    assert not any(isinstance(event, Update | Trade) for event in events)
