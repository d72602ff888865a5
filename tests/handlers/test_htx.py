"""HTX: gzip frames, JSON numbers with exponents, pings to be answered, trades newest first."""

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

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import Acked, Event, Ignored, Refused, Reply, Rules, Trade, Update
from crypto_stream.feed.record import FileRecorder
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import htx
from tests.fakes import FakeHtx
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, by_symbol, wanted
from tests.waiting import SCALE, until

BTC = pair("BTC-USDT")
TOP = (
    '{"ch":"market.btcusdt.bbo","ts":1639669832793,"tick":{"seqId":144446084385,"ask":48660.95,'
    '"askSize":0.001298,"bid":48660.94,"bidSize":4.74E-4,"quoteTime":1639669832791,"symbol":"btcusdt"}}'
)
LATER = (
    '{"id":144446879688433873170760015,"ts":1639670532434,"tradeId":102579820014,"amount":4.74E-4,'
    '"price":48542.50,"direction":"sell"}'
)
EARLIER = LATER.replace("102579820014", "102579820013").replace("48542.50", "48542.4")
TRADES = (
    '{"ch":"market.btcusdt.trade.detail","ts":1639670532436,"tick":{"id":144446879688,"ts":1639670532434,'
    f'"data":[{LATER},{EARLIER}]}}}}'
)
TICKER = (
    '{"ch":"market.btcusdt.ticker","ts":1639670087122,"tick":{"open":46749.25,"high":49500.0,"low":46533.38,'
    '"close":48535.19,"amount":10435.58445581327,"vol":5.0629586810098803E8,"count":799781,"bid":48535.18,'
    '"bidSize":0.008885,"ask":48535.19,"askSize":0.28117180436462696,"lastPrice":48535.19,'
    '"lastSize":1.08E-4}}'
)
LISTED = {
    "base-currency": "btc", "quote-currency": "usdt", "symbol": "btcusdt", "state": "online",
    "price-precision": 2, "amount-precision": 6, "min-order-value": 5, "limit-order-min-order-amt": 0.0001,
    "limit-order-max-order-amt": 1000,
}  # fmt: skip


def read(text: str) -> list[Event]:
    """Read one frame, as the venue sends it."""
    return reading.read(htx, gzip.compress(text.encode()))


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeHtx):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(htx, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_the_top_of_book_keeps_its_digits() -> None:
    """Exponents too; its order is that of its sequence, or of its time without one."""
    expected = Update(
        BTC,
        "bbo",
        144446084385,
        1639669832791,
        bid="48660.94",
        bid_size="4.74E-4",
        ask="48660.95",
        ask_size="0.001298",
    )
    (unnumbered,) = read(TOP.replace('"seqId":144446084385,', ""))

    assert read(TOP) == [expected]
    assert isinstance(unnumbered, Update)
    assert unnumbered.key == 1639669832791


def test_trades_are_read_from_the_last_to_the_first() -> None:
    """The venue lists the newest first; ids of 27 digits are no keys."""
    assert read(TRADES) == [
        Trade(BTC, "trade.detail", 102579820013, 1639670532434, "48542.4", "4.74E-4"),
        Trade(BTC, "trade.detail", 102579820014, 1639670532434, "48542.50", "4.74E-4"),
    ]


def test_the_ticker_gives_the_24_hour_figures() -> None:
    """Its touch gives way to the faster channel; the volume is in base."""
    assert read(TICKER) == [
        Update(
            BTC,
            "ticker",
            1639670087122,
            1639670087122,
            "48535.19",
            bid="48535.18",
            bid_size="0.008885",
            ask="48535.19",
            ask_size="0.28117180436462696",
            open_24h="46749.25",
            high_24h="49500.0",
            low_24h="46533.38",
            volume_24h="10435.58445581327",
            slow=True,
        )
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"ping":1764300452378}', Reply('{"pong":1764300452378}')),
        (
            '{"id":"market.btcusdt.bbo","status":"ok","subbed":"market.btcusdt.bbo","ts":1764298751689}',
            Acked("market.btcusdt.bbo"),
        ),
        ('{"id":1,"status":"ok","subbed":"market.btcusdt.bbo"}', Acked("market.btcusdt.bbo")),
        ('{"id":"unsub market.btcusdt.bbo","status":"ok","unsubbed":"market.x.bbo"}', Ignored("response")),
        (
            '{"id":"market.btcusdt.bbo","status":"error","err-code":"bad-request","err-msg":"no symbol"}',
            Refused("market.btcusdt.bbo", "bad-request: no symbol", BTC),
        ),
        ('{"status":"error","err-code":"bad-request"}', Refused("", "bad-request: ")),
        ('{"id":"unsub market.btcusdt.bbo","status":"error"}', Ignored("response")),
        (TOP.replace(".bbo", ".mbp.20"), Ignored("mbp.20")),
        (TOP.replace("market.btcusdt", "market.nothing"), Ignored("not_subscribed")),
        (TOP.replace("market.btcusdt", "other.btcusdt"), Ignored("not_subscribed")),
        (TRADES.replace(f"{LATER},{EARLIER}", ""), Ignored("trade.detail")),
    ],
)
def test_responses_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """An error names only the id, which is the topic; the venue's ping is answered with its number."""
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        TOP.replace("48660.94", '"48660.94"'),
        TOP.replace('"bid":48660.94,', ""),
        TOP.replace("48660.94", "true"),
        TOP.replace("1639669832791", "-1"),
        TRADES.replace("102579820014", '"one"'),
        TRADES.replace("48542.4", "null"),
        TICKER.replace('"ts":1639670087122,', ""),
        TICKER.replace("49500.0", "[]"),
        '{"ping":"now"}',
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A text where a number is expected is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


@pytest.mark.parametrize(
    "frame",
    [
        gzip.compress(TOP.encode())[:-9],
        gzip.compress(TOP.encode())[:-1] + b"\xff",
        b"\x1f\x8b" + b"\xff" * 40,
        gzip.compress(b" " * 50_000_000),
        gzip.compress(b""),
        b"",
    ],
    ids=["incomplete", "wrong length", "no gzip data", "a bomb", "no text", "empty"],
)
def test_data_that_cannot_be_decompressed_is_malformed(frame: bytes) -> None:
    """Neither an error of the library nor fifty megabytes come of it."""
    with pytest.raises(UNREADABLE_ERRORS):
        reading.read(htx, frame)


def test_text_that_was_decompressed_already_is_read() -> None:
    """Recordings contain such frames."""
    assert reading.read(htx, TOP.encode()) == read(TOP)


def test_each_topic_is_a_message_of_its_own() -> None:
    """Prices are requested first; the id names the topic."""
    both = wanted(htx, "BTC-USDT", "ETH-USDT")
    requests = reading.reader(htx).subscribe(both)
    back = reading.reader(htx).unsubscribe(both)
    topics = [
        f"market.{name}.{kind}"
        for kind in ("bbo", "trade.detail", "ticker")
        for name in ("btcusdt", "ethusdt")
    ]

    assert requests[0].text == '{"sub":"market.btcusdt.bbo","id":"market.btcusdt.bbo"}'
    assert [request.keys for request in requests] == [(topic,) for topic in topics]
    assert [json.loads(request.text)["unsub"] for request in back] == topics
    assert not any(request.keys for request in back)


async def test_pings_are_answered() -> None:
    """Otherwise the venue disconnects after the fourth, although data is sent."""
    async with (
        FakeHtx(["btcusdt"], ping_s=0.2 * SCALE) as fake,
        assembled(source_of(fake), pairs="btcusdt"),
    ):
        await until(lambda: fake.answered >= 6)

        assert fake.violations == []
        assert len(fake.connects) == 1


async def test_what_it_sent_is_recorded_and_read_again(tmp_path: Path) -> None:
    """Its frames are binary."""
    file = tmp_path / "htx.ndjson"
    with FileRecorder(file) as recorder:
        async with (
            FakeHtx(["btcusdt"]) as fake,
            assembled(source_of(fake), pairs="btcusdt", recorder=recorder) as feed,
        ):
            await until(lambda: feed.serving("btcusdt") == "htx")
            await fake.push("btcusdt", bid="61000.5", ask="61000.75")
            await until(lambda: any(_bid(event) == "61000.5" for _, event in feed.events))
    frames = [line.frame for line in read_recording(file) if line.frame]
    events = [event for frame in frames for event in reading.read(htx, frame)]

    assert all(frame.startswith(b"\x1f\x8b") for frame in frames)
    assert any(_bid(event) == "61000.5" for event in events)


def _bid(event: Event) -> object:
    return getattr(event, "bid", None)


async def test_a_pair_that_does_not_trade_is_silent_and_costs_no_other() -> None:
    """The venue acknowledges it; the listing says why."""
    async with FakeHtx(["btcusdt", "ethusdt"]) as fake:
        fake.states["ethusdt"] = "suspend"
        async with assembled(source_of(fake), pairs="btcusdt,ethusdt") as feed:
            line = feed.composition.loop.sources["htx"]
            await until(lambda: feed.received("htx", "btcusdt") and "ethusdt" in line.halted)

            assert line.halted == {"ethusdt": "listed, but suspend"}
            assert not feed.received("htx", "ethusdt")
            assert fake.violations == []


async def test_the_list_counts_decimals() -> None:
    """Ticks and lots are derived from them; a rule that is no number binds nobody, and hides nobody."""
    odd = LISTED | {"symbol": "ethusdt", "base-currency": "eth", "price-precision": "two", "state": "offline"}
    other = LISTED | {"symbol": "ethbtc", "base-currency": "eth", "quote-currency": "btc",
                      "min-order-value": None, "limit-order-min-order-amt": "none"}  # fmt: skip
    listed = await asked({"status": "ok", "data": [LISTED, odd, other, 5]}, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("btcusdt", "BTC", "USDT", ""), ("ethusdt", "ETH", "USDT", "offline"), ("ethbtc", "ETH", "BTC", ""),
    ]  # fmt: skip
    assert listed[0].rules == Rules("0.01", "0.000001", "0.0001", "5", "1000")
    assert listed[1].rules == Rules()
    assert (listed[2].rules.min_notional, listed[2].rules.min_amount) == ("", '"none"')
    with pytest.raises(MalformedFrame, match="htx symbols"):
        await asked({"status": "ok", "data": [odd]}, "instruments")
    body = {"status": "error", "err-code": "invalid-parameter", "err-msg": "invalid symbol"}
    with pytest.raises(MalformedFrame, match="invalid-parameter: invalid symbol"):
        await asked(body, "candles", "foousdt", "1m")


async def test_bars_are_reversed() -> None:
    """The venue lists the newest first; times are in seconds."""
    row = {"id": 1629769200, "open": 49056.37, "close": 49025.51, "low": 49022.86, "high": 49056.38,
           "amount": 3.946281917950917, "vol": 193489.67275732, "count": 196}  # fmt: skip
    bars = await asked({"status": "ok", "data": [row | {"id": 1629769260}, row]}, "candles", "btcusdt", "1m")

    assert [bar.time for bar in bars] == [1629769200_000, 1629769260_000]
    assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close) == (
        "49056.37", "49056.38", "49022.86", "49025.51"
    )  # fmt: skip
    assert (bars[0].volume, bars[0].trades, bars[0].source) == ("3.946281917950917", 196, "htx:candles")


async def test_the_recorded_list_is_read() -> None:
    """Every pair has a tick and a lot; tokens with digits in their names are split as the venue says."""
    body = json.loads(gzip.decompress(recorded("rest/htx-common-symbols-20210417.json.gz").read_bytes()))
    listed = await asked(body, "instruments")
    states = Counter(each.state for each in listed)

    assert len(listed) == len(body["data"])
    assert all(each.rules.tick and each.rules.lot for each in listed)
    assert by_symbol(htx, listed)["fil3susdt"].base == "FIL3S"
    assert states[""] == sum(item["state"] == "online" for item in body["data"])


def test_recorded_frames_keep_their_numbers() -> None:
    """Of a real connection: everything is known, trades have increasing ids and the digits that were sent."""
    reader, counts = reading.reader(htx), Counter[str]()
    trades: dict[str, list[Trade]] = {}
    expected: dict[str, list[tuple[str, str]]] = {}
    for line in read_recording(recorded("htx/spot-20210417-part1.ndjson.gz")):
        if line.frame is None:
            continue
        message = json.loads(gzip.decompress(line.frame), parse_float=str, parse_int=str)
        events = reader.read(line.frame)
        counts[events[0].channel] += 1
        for event in events:
            if isinstance(event, Trade):
                trades.setdefault(event.symbol, []).append(event)
        if "trade" in message.get("ch", ""):
            rows = [(row["price"], row["amount"]) for row in reversed(message["tick"]["data"])]
            expected.setdefault(message["ch"].split(".")[1], []).extend(rows)

    assert counts == {"depth.step0": 160, "trade.detail": 34, "ack": 20, "reply": 3}
    assert {name: [(each.price, each.size) for each in row] for name, row in trades.items()} == expected
    assert all(Decimal(each.price) > 0 for row in trades.values() for each in row)
    for row in trades.values():
        assert [each.key for each in row] == sorted({each.key for each in row})


def test_recorded_single_frames_are_all_known() -> None:
    """They were decompressed by who recorded them."""
    reader = reading.reader(htx)
    frames = [line.frame for line in read_recording(recorded("htx/singles.ndjson")) if line.frame]

    assert [event.channel for frame in frames for event in reader.read(frame)] == [
        "bbo", "detail", "trade.detail", "mbp.20", "ticker", "reply", "ack", "refused"
    ]  # fmt: skip
