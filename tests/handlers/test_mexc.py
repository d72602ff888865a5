"""MEXC: protobuf beside text, ids that are ranges, answers that mix yes and no, a fixed lifetime."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    DepthChange,
    Event,
    Ignored,
    Pong,
    Refused,
    Rules,
    Trade,
    Update,
)
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import mexc
from tests.fakes import FakeMEXC
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import SCALE, until

BTC = pair("BTC-USDT")
TOP_NAME = "spot@public.aggre.bookTicker.v3.api.pb@100ms@BTCUSDT"
DEALS_NAME = "spot@public.aggre.deals.v3.api.pb@100ms@BTCUSDT"
DAY_NAME = "spot@public.miniTicker.v3.api.pb@BTCUSDT@UTC+0"
TOP: dict[str, Any] = {
    "bidPrice": "84270", "bidQuantity": "0.006387", "askPrice": "84270.01", "askQuantity": "5.42169969",
    "version": "82164153436", "lastOrderCreateTime": 1790281246623,
}  # fmt: skip
DEAL: dict[str, Any] = {
    "price": "84270", "quantity": "0.00099829", "tradeType": 2, "time": 1790281246176,
    "tradeId": "731901896985399296X0_731901896985399297X0",
}  # fmt: skip
DAY: dict[str, Any] = {
    "symbol": "BTCUSDT", "price": "115887.51", "rate": "0.0067", "zonedRate": "0.0067", "high": "116655.39",
    "low": "114872.83", "volume": "856772057.5", "quantity": "7390.61738038",
}  # fmt: skip
SENT = 1790281243450
PAIR = {
    "symbol": "BTCUSDT", "status": "1", "baseAsset": "BTC", "baseAssetPrecision": 8, "quoteAsset": "USDT",
    "quotePrecision": 2, "baseSizePrecision": "0.000001", "quoteAmountPrecision": "1.000000000000000000",
    "isSpotTradingAllowed": True,
}  # fmt: skip


def push(name: str, data: object, symbol: str = "BTCUSDT", sent: object = SENT) -> bytes:
    """Make a frame with the fake's encoder."""
    said = {"channel": name, "symbol": symbol, "sendTime": sent, "data": data}
    frame = FakeMEXC(()).encode(json.dumps(said))
    assert isinstance(frame, bytes)
    return frame


def read(frame: bytes) -> list[Event]:
    """Read one frame."""
    return reading.read(mexc, frame)


def recorded() -> list[bytes]:
    """List the recorded binary frames."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    lines = read_recording(Path(folder) / "mexc" / "singles.ndjson")
    return [line.frame for line in lines if line.frame and not line.frame.startswith(b"{")]


class Answering(FakeMEXC):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(mexc, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_the_book_ticker_is_ordered_by_its_version() -> None:
    """Digits stay as sent; the time is that of sending."""
    assert read(push(TOP_NAME, TOP)) == [
        Update(
            BTC,
            "bookTicker",
            82164153436,
            SENT,
            bid="84270",
            bid_size="0.006387",
            ask="84270.01",
            ask_size="5.42169969",
        )
    ]


def test_without_a_version_the_time_orders() -> None:
    """Before 2026 there was none; without a time, too, frames are ordered as they arrive."""
    old = {name: value for name, value in TOP.items() if name not in {"version", "lastOrderCreateTime"}}
    (timed,) = read(push(TOP_NAME, old))
    (untimed,) = read(push(TOP_NAME, old, sent=None))

    assert isinstance(timed, Update)
    assert (timed.key, timed.time) == (SENT, SENT)
    assert isinstance(untimed, Update)
    assert (untimed.key, untimed.time) == (ARRIVAL, None)


def test_a_missing_price_is_an_empty_side() -> None:
    """An empty text and a missing field are the same to protobuf."""
    for side in ({"bidPrice": "", "bidQuantity": ""}, {"bidPrice": None}):
        (top,) = read(push(TOP_NAME, TOP | side))

        assert isinstance(top, Update)
        assert (top.bid, top.bid_size, top.ask) == (None, None, "84270.01")


def test_deals_are_ordered_by_the_first_number_of_their_ids() -> None:
    """Several of one moment stay apart."""
    second = DEAL | {"price": "84271", "tradeId": "731901896985399298X0_731901896985399299X0"}

    assert read(push(DEALS_NAME, [DEAL, second])) == [
        Trade(BTC, "deals", 731901896985399296, 1790281246176, "84270", "0.00099829"),
        Trade(BTC, "deals", 731901896985399298, 1790281246176, "84271", "0.00099829"),
    ]


def test_a_deal_may_have_no_id_and_no_time() -> None:
    """Then it is ordered as it arrives; a frame may have no deals."""
    (deal,) = read(push(DEALS_NAME, [DEAL | {"tradeId": None, "time": None}]))

    assert deal == Trade(BTC, "deals", ARRIVAL, None, "84270", "0.00099829")
    assert read(push(DEALS_NAME, [])) == [Ignored("empty")]


def test_the_quantity_of_the_mini_ticker_is_the_volume() -> None:
    """Its `volume` is in quote; it does not tell the price of a day ago."""
    assert read(push(DAY_NAME, DAY)) == [
        Update(
            BTC,
            "miniTicker",
            SENT,
            SENT,
            price="115887.51",
            high_24h="116655.39",
            low_24h="114872.83",
            volume_24h="7390.61738038",
            slow=True,
        )
    ]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (push(TOP_NAME, TOP, symbol="%"), [Ignored("not_subscribed")]),
        (
            push("spot@public.novelty.v3.api.pb@BTCUSDT", {"x": 1.5}),
            [Ignored("public.novelty.v3.api.pb@BTCUSDT")],
        ),
        (b"", [Ignored("unknown")]),
        (b'{"id":0,"code":0,"msg":"PONG"}', [Pong()]),
        (b'{"id":5,"code":0}', [Ignored("response")]),
        (b'{"id":0,"code":30,"msg":"too many"}', [Refused("", "code 30: too many")]),
    ],
)
def test_words_and_what_we_do_not_use(frame: bytes, expected: list[Event]) -> None:
    """New channels may be added without notice."""
    assert read(frame) == expected


def test_one_answer_accepts_and_refuses() -> None:
    """It names each channel; the names of the 24 h figures end with a time zone."""
    foo = DAY_NAME.replace("BTC", "FOO")
    no = f"Not Subscribed successfully! [{foo},{DAY_NAME}].  Reason\uff1a Blocked! "
    why = "Reason\uff1a Blocked!"
    cases: dict[str, list[Event]] = {
        f"{TOP_NAME},{DAY_NAME}": [Acked(TOP_NAME), Acked(DAY_NAME)],
        no: [Refused(foo, why, pair("FOO-USDT")), Refused(DAY_NAME, why, BTC)],
        f"Subscribed successful! [{TOP_NAME},{DEALS_NAME}]. {no}": [
            Acked(TOP_NAME),
            Acked(DEALS_NAME),
            Refused(foo, why, pair("FOO-USDT")),
            Refused(DAY_NAME, why, BTC),
        ],
    }
    for text, expected in cases.items():
        assert read(json.dumps({"id": 0, "code": 0, "msg": text}).encode()) == expected


@pytest.mark.parametrize(
    "frame",
    [
        push(TOP_NAME, TOP | {"bidPrice": "NaN"}),
        push(TOP_NAME, TOP | {"bidPrice": 84270}),
        push(TOP_NAME, TOP | {"bidPrice": 84270.5}),
        push(TOP_NAME, TOP | {"version": "1_0"}),
        push(TOP_NAME, TOP | {"version": "-1"}),
        push(TOP_NAME, TOP | {"version": ""}),
        push(TOP_NAME, TOP | {"version": str(2**63)}),
        push(TOP_NAME, TOP, sent=-1),
        push(TOP_NAME, "text"),
        push(DEALS_NAME, [DEAL, 5]),
        push(DEALS_NAME, [DEAL | {"price": None}]),
        push(DEALS_NAME, [DEAL | {"tradeId": "X0_5"}]),
        push(DEALS_NAME, [DEAL | {"time": 2**63}]),
        push(DAY_NAME, DAY | {"quantity": {"a": 1}}),
        push(TOP_NAME, TOP)[:-1],
        b"{not json",
        b'{"msg":5}',
        b"[1,2]",
    ],
)
def test_wrong_values_are_malformed(frame: bytes) -> None:
    """A field of another type is another schema."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(frame)


def test_ten_channels_are_one_request() -> None:
    """Their names are the keys."""
    requests = reading.reader(mexc).subscribe(wanted(mexc, "BTC-USDT", "ETH-USDT", "XRP-USDT", "SOL-USDT"))
    back = reading.reader(mexc).unsubscribe(wanted(mexc, "BTC-USDT"))

    assert [len(request.keys) for request in requests] == [10, 2]
    assert json.loads(requests[0].text) == {"method": "SUBSCRIPTION", "params": list(requests[0].keys)}
    assert requests[0].keys[:3] == (TOP_NAME, DEALS_NAME, DAY_NAME)
    assert [json.loads(request.text) for request in back] == [
        {"method": "UNSUBSCRIPTION", "params": [TOP_NAME, DEALS_NAME, DAY_NAME]}
    ]


async def test_more_instruments_than_a_connection_carries() -> None:
    """Each connection has at most thirty channels, its busy instrument included."""
    pairs = [f"A{number}B-USDT" for number in range(20)]
    async with FakeMEXC(pairs) as fake, assembled(source_of(fake), pairs=",".join(pairs)) as feed:
        await until(lambda: all(feed.received("mexc", pair(each).symbol) for each in pairs))

        assert len(fake.connects) == 3
        assert fake.violations == []


async def test_the_next_connection_is_there_before_the_old_one_is_cut() -> None:
    """The venue cuts every connection after a day."""
    fake = FakeMEXC(["BTC-USDT"], life_s=6 * SCALE)
    async with fake, assembled(source_of(fake, max_age_s=1.0 * SCALE), pairs="BTC-USDT") as feed:
        await until(lambda: feed.serving("btcusdt") == "mexc")
        feed.changes.clear()
        await until(lambda: len(fake.connects) == 3)

        assert feed.serving("btcusdt") == "mexc"
        assert (feed.changes, fake.cut, fake.violations) == ([], [], [])
        assert feed.composition.loop.sources["mexc"].reconnects == 0


async def test_our_pings_keep_a_silent_connection_open() -> None:
    """It has subscriptions, but nothing changes."""
    keepalive = mexc.LIMITS.keepalive._replace(every_s=0.3 * SCALE)
    async with (
        FakeMEXC(["BTC-USDT"], rate=0, idle_s=1.0 * SCALE) as fake,
        assembled(source_of(fake, keepalive=keepalive), pairs="BTC-USDT", stale_after=60) as feed,
    ):
        await until(lambda: feed.state("mexc") == "connected")
        await until(lambda: sum("PING" in text for text in fake.requests) >= 5)

        assert (len(fake.connects), fake.cut) == (1, [])


async def test_the_list_calls_minimums_precisions() -> None:
    """States are numbers; a pair with odd rules has none, one that cannot be read is left out."""
    odd = PAIR | {"symbol": "ETHUSDT", "baseAsset": "ETH", "quotePrecision": "two"}
    halted = [
        PAIR | {"symbol": f"{name}USDT", "baseAsset": name, "status": status}
        for name, status in (("XRP", "2"), ("SOL", "3"), ("ADA", "9"))
    ]
    listed = await asked({"symbols": [PAIR, odd, *halted, 5, {}]}, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("BTCUSDT", "BTC", "USDT", ""), ("ETHUSDT", "ETH", "USDT", ""), ("XRPUSDT", "XRP", "USDT", "PAUSE"),
        ("SOLUSDT", "SOL", "USDT", "OFFLINE"), ("ADAUSDT", "ADA", "USDT", "9"),
    ]  # fmt: skip
    assert listed[0].rules == Rules(
        tick="0.01", lot="0.00000001", min_amount="0.000001", min_notional="1.000000000000000000"
    )
    assert listed[1].rules == Rules()
    with pytest.raises(MalformedFrame, match="mexc exchangeInfo"):
        await asked({"symbols": [odd]}, "instruments")


async def test_bars_are_rows_and_hours_are_sixty_minutes() -> None:
    """The fake refuses `1h`, as the venue does."""
    row = [1640804880000, "47482.36", "47482.5", "47416.57", "47436.1", "3.55", 1640804940000, "168387.3"]
    (bar,) = await asked([row], "candles", "BTCUSDT", "1m")
    async with FakeMEXC(["BTC-USDT"]) as fake, httpx.AsyncClient(base_url=fake.rest_url) as http:
        hours = await mexc.candles(http, "BTCUSDT", "1h")

    assert (bar.time, bar.open, bar.high, bar.close) == (1640804880000, "47482.36", "47482.5", "47436.1")
    assert (bar.volume, bar.trades, bar.source) == ("3.55", None, "mexc:candles")
    assert len(hours) == 2
    with pytest.raises(MalformedFrame, match="mexc klines"):
        await asked([row[:5]], "candles", "BTCUSDT", "1m")


def test_recorded_frames_are_read() -> None:
    """Best bid and ask, deals, a book of five levels, 24 h figures; a candle is passed over."""
    events = [event for frame in recorded() for event in read(frame)]

    assert events == [
        Update(
            BTC, "bookTicker", 82164153436, 1790281243450,
            bid="84270", bid_size="0.006387", ask="84270.01", ask_size="5.42169969",
        ),
        Trade(BTC, "deals", 731901896985399296, 1790281246176, "84270", "0.00099829"),
        Trade(BTC, "deals", 731901896985399298, 1790281246177, "84270", "0.00019169"),
        DepthChange(
            BTC,
            [("84270.00", "0.00638700"), ("84267.03", "0.00234800"), ("84264.15", "0.04789506"),
             ("84263.45", "0.04789506"), ("84263.40", "2.07853100")],
            [("84270.01", "5.42169969"), ("84270.02", "0.00117646"), ("84270.03", "0.00124397"),
             ("84270.05", "0.00122284"), ("84270.26", "0.00108947")],
            whole=True, time=1790281247251, number=82164155643,
        ),
        Ignored("public.kline.v3.api.pb@BTCUSDT@Min1"),
        Update(
            BTC, "bookTicker", 81999275445, 1790145447239,
            bid="86503.92", bid_size="14.91335308", ask="86503.93", ask_size="0.004965",
        ),
        Update(
            BTC, "miniTicker", 1757770896059, 1757770896059,
            price="115887.51", high_24h="116655.39", low_24h="114872.83", volume_24h="7390.61738038",
            slow=True,
        ),
    ]  # fmt: skip
