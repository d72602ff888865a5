"""Crypto.com: heartbeats to be answered, data that acknowledges, tickers of one millisecond."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest
from msgspec import UNSET

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import Acked, Event, Ignored, Refused, Reply, Rules, Trade, Update
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import cryptocom
from tests.fakes import FakeCryptocom
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import SCALE, until

BTC = pair("BTC-USDT")
TIME = 1790114273395
TICKER = {
    "i": "BTC_USDT", "h": "84500.00", "l": "83100.00", "a": "83744.30", "b": "83744.29", "bs": "0.41200",
    "k": "83744.31", "ks": "0.10330", "c": "-0.0036", "v": "879.5024", "vv": "73645120.11", "oi": "0",
    "t": TIME,
}  # fmt: skip
SOLD = {"d": "2030407068000000001", "t": TIME, "p": "83744.30", "q": "0.00044", "s": "BUY", "i": "BTC_USDT"}
LISTED = {
    "symbol": "BTC_USDT", "inst_type": "CCY_PAIR", "display_name": "BTC/USDT", "base_ccy": "BTC",
    "quote_ccy": "USDT", "price_tick_size": "0.01", "qty_tick_size": "0.00001", "tradable": True,
}  # fmt: skip
BAR = {"o": "83744.30", "h": "83750.00", "l": "83740.00", "c": "83741.10", "v": "0.91"}


def push(channel: str, *items: object, number: int = -1, name: str = "BTC_USDT") -> dict[str, object]:
    """Make a push of a channel; with a number it answers a request."""
    result = {"instrument_name": name, "subscription": f"{channel}.{name}", "channel": channel}
    return {"id": number, "method": "subscribe", "code": 0, "result": {**result, "data": list(items)}}


def read(message: object, reader: Any = None) -> list[Event]:
    """Read one message, on a connection of its own unless a reader is given."""
    return list((reader or reading.reader(cryptocom)).read(json.dumps(message).encode()))


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeCryptocom):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(cryptocom, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_a_ticker_is_a_top_of_book_and_24_hour_figures() -> None:
    """There is no price of 24 h ago, only a rounded fraction, so the event has none."""
    top, day = read(push("ticker", TICKER))

    assert top == Update(
        BTC,
        "ticker",
        TIME * 1000,
        TIME,
        bid="83744.29",
        bid_size="0.41200",
        ask="83744.31",
        ask_size="0.10330",
    )
    assert day == Update(
        BTC,
        "day",
        TIME * 1000,
        TIME,
        "83744.30",
        high_24h="84500.00",
        low_24h="83100.00",
        volume_24h="879.5024",
        slow=True,
    )
    assert day.open_24h is UNSET


def test_tickers_of_one_millisecond_are_all_newer() -> None:
    """Except a repetition; a second connection numbers them alike, and another instrument separately."""
    changed = {**TICKER, "b": "83744.28"}
    frames = [TICKER, TICKER, changed, changed, {**TICKER, "t": TIME + 1}]
    other = push("ticker", {**TICKER, "i": "ETH_USDT"}, name="ETH_USDT")
    keys = []
    for reader in (reading.reader(cryptocom), reading.reader(cryptocom)):
        found = [read(push("ticker", frame), reader)[0] for frame in frames] + [read(other, reader)[0]]
        keys.append([event.key - TIME * 1000 for event in found if isinstance(event, Update)])

    assert keys == [[0, 0, 1, 1, 1000, 0]] * 2


def test_a_price_may_be_missing() -> None:
    """Nobody bids, or nothing was ever traded."""
    nothing = dict.fromkeys(("b", "bs", "a", "h", "l", "c", "v"))
    top, day = read(push("ticker", {**TICKER, **nothing}))

    assert isinstance(top, Update)
    assert (top.bid, top.bid_size, top.ask) == (None, None, "83744.31")
    assert isinstance(day, Update)
    assert (day.price, day.high_24h, day.volume_24h) == (None, None, None)


def test_trades_are_read_from_the_last_to_the_first() -> None:
    """The venue lists the newest first; without an id the time is the key."""
    earlier = {**SOLD, "d": "2030407067999999999", "p": "83744.20"}
    (unnumbered,) = read(push("trade", {name: SOLD[name] for name in ("t", "p", "q")}))

    assert read(push("trade", SOLD, earlier)) == [
        Trade(BTC, "trade", 2030407067999999999, TIME, "83744.20", "0.00044"),
        Trade(BTC, "trade", 2030407068000000001, TIME, "83744.30", "0.00044"),
    ]
    assert unnumbered == Trade(BTC, "trade", TIME, TIME, "83744.30", "0.00044")


def test_the_first_data_of_a_channel_acknowledges_it() -> None:
    """It has the number of the request; without any trade yet it is only an acknowledgement."""
    data = read(push("trade", SOLD, number=4))

    assert [type(event) for event in data] == [Trade, Acked, Acked]
    assert read(push("trade", number=4)) == [Acked("trade.BTC_USDT"), Acked("4")]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {"id": 1790114291578, "method": "public/heartbeat", "code": 0},
            [Reply('{"id":1790114291578,"method":"public/respond-heartbeat"}')],
        ),
        (
            {"id": 1, "method": "subscribe", "code": 0, "channel": "book.BTC_USDT.50"},
            [Acked("book.BTC_USDT.50"), Acked("1")],
        ),
        (
            {"id": 1, "method": "subscribe", "code": 40003, "channel": "trade.BTC_USDT", "message": "Unkn."},
            [Refused("trade.BTC_USDT", "code 40003: Unkn.", BTC), Acked("1")],
        ),
        (
            {"id": 9, "method": "subscribe", "code": 40107, "message": "Maximum subscriptions exceeded"},
            [Refused("9", "code 40107: Maximum subscriptions exceeded")],
        ),
        (
            {"id": -1, "method": "subscribe", "code": 42901},
            [Refused("", "code 42901: ", temporary=True)],
        ),
        (
            {"id": 2, "method": "unsubscribe", "code": 40003, "channel": "trade.BTC_USDT"},
            [Ignored("method:unsubscribe")],
        ),
        ({"id": -1, "method": "subscribe", "code": 0}, [Ignored("empty")]),
        (push("book", {}, name="BTCUSD-PERP"), [Ignored("not_subscribed")]),
        (push("trade"), [Ignored("empty")]),
        (push("ticker", TICKER, name="BTCUSD-PERP"), [Ignored("not_subscribed")]),
    ],
)
def test_responses_and_what_we_do_not_use(message: object, expected: list[Event]) -> None:
    """A refusal names a channel, or only the request; the venue's heartbeat is answered with its number."""
    assert read(message) == expected


@pytest.mark.parametrize(
    "message",
    [
        push("ticker", {**TICKER, "b": 83744.29}),
        push("ticker", {**TICKER, "b": "NaN"}),
        push("ticker", {**TICKER, "t": "soon"}),
        push("ticker", {**TICKER, "t": 10**18}),
        push("ticker", {name: TICKER[name] for name in ("b", "t")}),
        push("trade", {**SOLD, "d": "a-uuid"}),
        push("trade", {**SOLD, "p": ""}),
        push("trade", {**SOLD, "q": 1}),
        {"id": "one", "method": "subscribe"},
    ],
)
def test_wrong_values_are_malformed(message: object) -> None:
    """A number where a text is expected is the retired version of the protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(message)


def test_a_channel_that_serves_two_topics_is_requested_once() -> None:
    """Requests are numbered; the number is one of the keys, because some refusals name nothing else."""
    requester = reading.reader(cryptocom)
    first, second = requester.subscribe(wanted(cryptocom, *(f"A{number}-USDT" for number in range(51))))
    (back,) = requester.unsubscribe(wanted(cryptocom, "BTC-USDT"))

    assert json.loads(first.text)["params"]["channels"][:2] == ["ticker.A0_USDT", "trade.A0_USDT"]
    assert first.keys[:3] == ("1", "ticker.A0_USDT", "trade.A0_USDT")
    assert [len(each.keys) for each in (first, second)] == [101, 3]
    assert len(first.wanted) == 150
    assert json.loads(back.text) == {
        "id": 3, "method": "unsubscribe", "params": {"channels": ["ticker.BTC_USDT", "trade.BTC_USDT"]}
    }  # fmt: skip
    assert back.keys == ()


async def test_heartbeats_are_answered() -> None:
    """Otherwise the venue disconnects at the third one, although data is sent."""
    async with (
        FakeCryptocom(["btcusdt"], heartbeat_s=0.3 * SCALE) as fake,
        assembled(source_of(fake), pairs="btcusdt"),
    ):
        await until(lambda: fake.answered >= 5)

        assert fake.violations == []
        assert len(fake.connects) == 1


async def test_too_many_channels_are_refused_by_the_number_of_the_request() -> None:
    """The venue says so eight times for each request; what fits is served, the rest named with the reason."""
    pairs = [f"A{number}B-USDT" for number in range(202)]
    async with (
        FakeCryptocom(pairs, rate=1) as fake,
        assembled(source_of(fake, instruments=300), pairs=",".join(pairs), stale_after=60) as feed,
    ):
        line = feed.composition.loop.sources["cryptocom"]
        await until(lambda: len(line.refused) >= 2, 30)
        symbols = [pair(each).symbol for each in pairs]
        await until(lambda: sum(feed.received("cryptocom", each) > 0 for each in symbols) >= 199, 30)

        assert set(line.refused.values()) == {"code 40107: Maximum subscriptions exceeded"}
        assert len(line.refused) <= 3


async def test_an_unknown_pair_is_refused_by_name() -> None:
    """The others of the request are served."""
    async with (
        FakeCryptocom(["btcusdt"]) as fake,
        assembled(source_of(fake, rest=None), pairs="FOO-USDT,BTC-USDT") as feed,
    ):
        line = feed.composition.loop.sources["cryptocom"]
        await until(lambda: feed.received("cryptocom", "btcusdt") and "foousdt" in line.refused)

        assert line.refused == {"foousdt": "code 40003: Unknown symbol"}
        assert fake.violations == []


async def test_the_list_contains_spot_pairs_only() -> None:
    """The venue says only whether a pair can be traded."""
    off = LISTED | {"symbol": "XRP_USDT", "base_ccy": "XRP", "tradable": False, "price_tick_size": 1}
    perpetual = LISTED | {"symbol": "BTCUSD-PERP", "inst_type": "PERPETUAL_SWAP"}
    listed = await asked({"code": 0, "result": {"data": [LISTED, off, perpetual, 5]}}, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("BTC_USDT", "BTC", "USDT", ""), ("XRP_USDT", "XRP", "USDT", "not tradable"),
    ]  # fmt: skip
    assert listed[0].rules == Rules(tick="0.01", lot="0.00001")
    assert listed[1].rules == Rules()
    with pytest.raises(MalformedFrame, match="cryptocom get-instruments"):
        await asked({"code": 0, "result": {"data": [off]}}, "instruments")
    with pytest.raises(MalformedFrame, match="code 40004: Invalid input"):
        await asked({"code": 40004, "message": "Invalid input"}, "candles", "FOO_USDT", "1m")


@pytest.mark.parametrize("times", [(1790114220000, 1790114280000), (1790114280000, 1790114220000)])
async def test_bars_are_oldest_first_whatever_their_order(times: tuple[int, int]) -> None:
    """The order is not documented."""
    body = {"code": 0, "result": {"data": [{**BAR, "t": time} for time in times]}}
    bars = await asked(body, "candles", "BTC_USDT", "1m")

    assert [bar.time for bar in bars] == sorted(times)
    assert (bars[0].open, bars[0].volume, bars[0].trades) == ("83744.30", "0.91", None)
    assert bars[0].source == "cryptocom:candles"


def test_recorded_control_frames_are_all_known() -> None:
    """Those of perpetual markets, on the same socket."""
    reader = reading.reader(cryptocom)
    frames = [line.frame for line in read_recording(recorded("cryptocom/singles.ndjson")) if line.frame]

    assert [[event.channel for event in reader.read(frame)] for frame in frames] == [
        ["ack", "ack"], ["not_subscribed"], ["book.update"], ["book.update"], ["reply"],
        ["refused", "ack"], ["refused"],
    ]  # fmt: skip


def test_the_order_of_recorded_trades_of_the_retired_version() -> None:
    """Its numbers were no text yet: with quotes around them its frames are those of today."""
    name = "cryptocom/v2-retired-market-20211123-part1.ndjson.gz"
    frames = [line.frame for line in read_recording(recorded(name)) if line.frame]
    reader, times, count = reading.reader(cryptocom), dict[str, list[int]](), 0
    for frame in frames:
        message = json.loads(frame, parse_float=str)
        if message.get("result", {}).get("channel") != "trade":
            continue
        for item in message["result"]["data"]:
            item.update({name: str(item[name]) for name in ("p", "q", "d")})
        for event in reader.read(json.dumps(message).encode()):
            assert isinstance(event, Trade | Acked)
            if isinstance(event, Trade):
                count += 1
                times.setdefault(event.symbol, []).append(event.time or 0)

    assert count == 1055
    assert len(times) == 10
    assert all(row == sorted(row) for row in times.values())
