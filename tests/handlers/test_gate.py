"""Gate: one bad pair refuses a request, times with fractions, candles that begin with their close."""

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
from handlers import gate
from tests.fakes import FakeGate
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import until

BTC = pair("BTC-USDT")
TOP = (
    '{"time":1790359165,"time_ms":1790359165714,"channel":"spot.book_ticker","event":"update","result":'
    '{"t":1790359165710,"u":40013503861,"s":"BTC_USDT","b":"83790.9","B":"0.497321","a":"83791",'
    '"A":"0.055894"}}'
)
TRADE = (
    '{"time":1790359171,"time_ms":1790359171120,"channel":"spot.trades","event":"update","result":'
    '{"id":220643714,"id_market":220643714,"create_time":1790359171,"create_time_ms":"1790359171119.653000",'
    '"side":"sell","currency_pair":"BTC_USDT","amount":"0.002984","price":"83790.9",'
    '"range":"220643714-220643714","trade_mode":0}}'
)
DAY = (
    '{"time":1619093533,"channel":"spot.tickers","event":"update","result":{"currency_pair":"BTC_USDT",'
    '"last":"0.0018716","lowest_ask":"0.0018734","highest_bid":"0.0018697","change_percentage":"2.9256",'
    '"base_volume":"1138.01640718","quote_volume":"2.048263365803126","high_24h":"0.0018754",'
    '"low_24h":"0.0017148"}}'
)
REFUSAL = (
    '{"time":1739853211,"time_ms":1739853211201,"id":1,"conn_id":"62f2c1dabbe186d7","trace_id":"cdb0",'
    '"channel":"spot.trades","event":"subscribe","payload":["LUNARLENS_USDT","ETH_USDT"],"error":{"code":2,'
    '"message":"unknown currency pair: LUNARLENS_USDT"},"result":{"status":"fail"},"requestId":"cdb0"}'
)
PAIR: dict[str, object] = {
    "id": "BTC_USDT", "base": "BTC", "quote": "USDT", "fee": "0.2", "min_base_amount": "0.000001",
    "min_quote_amount": "3", "max_base_amount": "100", "max_quote_amount": "5000000",
    "amount_precision": 6, "precision": 1, "trade_status": "tradable", "type": "normal",
    "market_order_max_stock": "65", "market_order_max_money": "4000000",
}  # fmt: skip


def read(text: str) -> list[Event]:
    """Read one frame."""
    return reading.read(gate, text.encode())


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeGate):
    """Answers every REST request with `body`."""

    body: object = None

    def rest(self, path: str, query: dict[str, str]) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(gate, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_the_top_of_a_book_has_the_number_of_its_change() -> None:
    """Digits stay as sent."""
    assert read(TOP) == [
        Update(
            instrument=BTC,
            channel="spot.book_ticker",
            key=40013503861,
            time=1790359165710,
            bid="83790.9",
            bid_size="0.497321",
            ask="83791",
            ask_size="0.055894",
        )
    ]


def test_a_side_may_be_empty() -> None:
    """Its price is an empty text, whatever its size."""
    (top,) = read(TOP.replace('"83791"', '""').replace('"0.055894"', '"0"'))

    assert isinstance(top, Update)
    assert (top.bid, top.bid_size, top.ask, top.ask_size) == ("83790.9", "0.497321", None, None)


def test_the_time_of_a_trade_loses_its_fraction() -> None:
    """It is not rounded up; a list of trades is read in the order of their ids."""
    trade = Trade(BTC, "spot.trades", 220643714, 1790359171119, "83790.9", "0.002984")
    start = TRADE.index('{"id"')
    item = TRADE[start:-1]
    newest_first = f"{TRADE[:start]}[{item.replace('220643714', '220643715')},{item}]}}"

    assert read(TRADE) == [trade]
    assert read(TRADE.replace("119.653000", "119.9999")) == [trade]
    assert [event.key for event in read(newest_first) if isinstance(event, Trade)] == [220643714, 220643715]


def test_the_day_has_no_open_and_the_time_of_its_frame() -> None:
    """In seconds, as once recorded, or in milliseconds."""
    (old,) = read(DAY)
    (new,) = read(DAY.replace('"time":1619093533', '"time":1619093533,"time_ms":1619093533456'))

    assert old == Update(
        instrument=BTC,
        channel="spot.tickers",
        key=1619093533000,
        time=1619093533000,
        price="0.0018716",
        high_24h="0.0018754",
        low_24h="0.0017148",
        volume_24h="1138.01640718",
        slow=True,
    )
    assert isinstance(new, Update)
    assert (new.key, new.time) == (1619093533456, 1619093533456)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (REFUSAL, Refused("1", "unknown currency pair: LUNARLENS_USDT")),
        (
            REFUSAL.replace('unknown currency pair: LUNARLENS_USDT"', 'Alert sub spot.trades"'),
            Acked("1"),
        ),
        (
            '{"time":1,"channel":"spot.trades","event":"subscribe","result":{"status":"success"}}',
            Acked(""),
        ),
        (
            '{"time":1,"id":7,"channel":"spot.trades","event":"subscribe","error":null,"result":{}}',
            Acked("7"),
        ),
        (
            '{"time":1,"channel":"","event":"","error":{"code":1,"message":"invalid request body"}}',
            Refused("", "invalid request body"),
        ),
        ('{"id":3,"channel":"spot.trades","event":"subscribe","error":{"code":2}}', Refused("3", "error")),
        (
            '{"time":1,"id":2,"channel":"spot.trades","event":"unsubscribe","result":{"status":"success"}}',
            Ignored("unsubscribe:spot.trades"),
        ),
        ('{"time":1,"time_ms":1,"channel":"spot.pong","event":"","result":null}', Pong()),
        (TOP.replace("BTC_USDT", "nothing"), Ignored("not_subscribed")),
        (TRADE.replace("BTC_USDT", "nothing"), Ignored("not_subscribed")),
        (DAY.replace("BTC_USDT", "nothing"), Ignored("not_subscribed")),
        (TOP.replace("spot.book_ticker", "spot.obu"), Ignored("spot.obu")),
        (TOP.replace('"update"', '"novelty"'), Ignored("novelty:spot.book_ticker")),
        (TRADE.replace('"result":{', '"result":[],"x":{'), Ignored("spot.trades")),
    ],
)
def test_words_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """A refusal means the whole request, although it names one pair; twice subscribed is subscribed."""
    assert read(text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        TOP.replace('"83790.9"', "83790.9"),
        TOP.replace('"83790.9"', "null"),
        TOP.replace('"83790.9"', '"NaN"'),
        TOP.replace("40013503861", "-1"),
        TOP.replace('"u":40013503861,', ""),
        TRADE.replace('"83790.9"', '""'),
        TRADE.replace("1790359171119.653000", "soon"),
        TRADE.replace("1790359171119.653000", "9" * 40),
        TRADE.replace('"id":220643714', '"id":"220643714"'),
        TRADE.replace('"0.002984"', "0.002984"),
        DAY.replace('"time":1619093533,', ""),
        DAY.replace('"last":"0.0018716",', ""),
        "[]",
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A number where a text stands is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_each_channel_is_a_message_of_its_own() -> None:
    """Each has its number and a time in seconds; unsubscribing likewise."""
    both = wanted(gate, "BTC-USDT", "ETH-USDT")
    reader = reading.reader(gate)
    requests, back = reader.subscribe(both), reader.unsubscribe(both)
    said = [json.loads(request.text) for request in requests]

    assert [(each["id"], each["channel"]) for each in said] == [
        (1, "spot.book_ticker"), (2, "spot.trades"), (3, "spot.tickers"),
    ]  # fmt: skip
    assert {each["event"] for each in said} == {"subscribe"}
    assert all(each["payload"] == ["BTC_USDT", "ETH_USDT"] for each in said)
    assert all(isinstance(each["time"], int) for each in said)
    assert [request.keys for request in requests] == [("1",), ("2",), ("3",)]
    assert {json.loads(request.text)["event"] for request in back} == {"unsubscribe"}
    assert not any(request.keys for request in back)


async def test_one_unknown_pair_costs_no_other() -> None:
    """The venue refuses the whole request; it is found by halving."""
    pairs = ["FOO-USDT", *(f"A{number}-USDT" for number in range(6))]
    async with (
        FakeGate(pairs[1:], rate=5) as fake,
        assembled(source_of(fake, rest=None), pairs=",".join(pairs), stale_after=60) as feed,
    ):
        line = feed.composition.loop.sources["gate"]
        await until(lambda: all(feed.received("gate", pair(each).symbol) for each in pairs[1:]))
        await until(lambda: line.refused)

        assert dict(line.refused) == {"foousdt": "unknown currency pair: FOO_USDT"}
        assert fake.violations == []


async def test_a_second_subscription_is_no_refusal() -> None:
    """Acknowledgements that are lost lead to it."""
    async with FakeGate(["BTC-USDT"], rate=0) as fake:
        await fake.fault("no-ack")
        async with assembled(source_of(fake), pairs="BTC-USDT", ack_timeout=0.3, stale_after=60) as feed:
            line = feed.composition.loop.sources["gate"]
            await until(lambda: sum('"subscribe"' in text for text in fake.requests) >= 6)
            await until(lambda: line.state == "connected" or line.refused)

            assert dict(line.refused) == {}


async def test_the_list_counts_decimals() -> None:
    """Ticks and lots are made of them; a pair that is bought or sold only does not trade."""
    odd = PAIR | {"id": "ETH_USDT", "base": "ETH", "precision": "two"}
    off = PAIR | {"id": "MAG_USDT", "base": "MAG", "trade_status": "sellable"}
    new = {"id": "NEW_USDT", "base": "NEW", "quote": "USDT", "trade_status": "untradable"}
    listed = await asked([PAIR, odd, off, new, 5, {}], "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("BTC_USDT", "BTC", "USDT", ""), ("ETH_USDT", "ETH", "USDT", ""),
        ("MAG_USDT", "MAG", "USDT", "sellable"), ("NEW_USDT", "NEW", "USDT", "untradable"),
    ]  # fmt: skip
    assert listed[0].rules == Rules(
        tick="0.1",
        lot="0.000001",
        min_amount="0.000001",
        min_notional="3",
        max_amount="100",
        max_notional="5000000",
        market_max_amount="65",
        market_min_notional="3",
        market_max_notional="4000000",
    )
    assert listed[1].rules == Rules()
    assert not listed[3].rules.min_amount
    with pytest.raises(MalformedFrame, match="gate currency_pairs"):
        await asked([odd], "instruments")


async def test_bars_begin_with_their_close() -> None:
    """The columns are time, volume in quote, close, high, low, open, volume in base, closed."""
    rows = [
        ["1790359140", "12345.6", "2", "4", "1", "3", "14.74", "true"],
        ["1790359200", "0", "2", "2", "2", "2", "0", "false"],
    ]
    first, second = await asked(rows, "candles", "BTC_USDT", "1m")

    assert first.time == 1790359140_000
    assert (first.open, first.high, first.low, first.close) == ("3", "4", "1", "2")
    assert (first.volume, first.source) == ("14.74", "gate:candles")
    assert (second.time, second.volume) == (1790359200_000, "0")
    with pytest.raises(MalformedFrame, match="gate candlesticks"):
        await asked({"label": "INVALID_CURRENCY_PAIR", "message": ""}, "candles", "FOO_USDT", "1m")


def test_recorded_frames_are_all_known() -> None:
    """None is malformed; trades and prices keep their texts."""
    counts, trades, expected = Counter[str](), list[tuple[str, str | None]](), list[tuple[str, str]]()
    for line in read_recording(recorded("gate/v4-spot-20210422.ndjson")):
        if line.frame is None:
            continue
        (event,) = reading.read(gate, line.frame)
        counts[event.channel] += 1
        message = json.loads(line.frame)
        if isinstance(event, Trade):
            trades.append((event.price, event.size))
            expected.append((message["result"]["price"], message["result"]["amount"]))

    assert counts["spot.trades"] == 9
    assert counts["spot.tickers"] == 22
    assert counts.keys() == {
        "ack", "spot.trades", "spot.tickers", "spot.candlesticks", "spot.order_book_update"
    }  # fmt: skip
    assert trades == expected


async def test_the_recorded_lists() -> None:
    """Every pair of 2021 and of 2026 has its own ticks and amounts."""
    for name in ("gate-currency_pairs-20210422", "gate-currency_pairs-excerpt-20260925"):
        body = json.loads(gzip.decompress(recorded(f"rest/{name}.json.gz").read_bytes()))
        listed = {each.id: each for each in await asked(body, "instruments")}

        assert listed.keys() == {each["id"] for each in body}
        for each in body:
            rules = listed[each["id"]].rules
            assert rules.min_notional == each.get("min_quote_amount", "")
            assert len((rules.tick or "").partition(".")[2]) == each["precision"]
