"""Hyperliquid: ids that only the list tells, null sides, trades without an order, POST."""

from __future__ import annotations

import json
import os
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import (
    ARRIVAL,
    TOPICS,
    Acked,
    Event,
    Ignored,
    Pong,
    Refused,
    Rules,
    Trade,
    Update,
    Wanted,
)
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.book import SourceBook
from crypto_stream.market.instruments import pair
from handlers import hyperliquid
from tests.fakes import FakeHyperliquid
from tests.feed.assembled import assembled, source_of
from tests.handlers.reading import UNREADABLE_ERRORS
from tests.waiting import until

HYPE, PURR = pair("HYPE-USDC"), pair("PURR-USDC")
TOP = (
    '{"channel":"bbo","data":{"coin":"@107","time":1790358617881,'
    '"bbo":[{"px":"92.940","sz":"22.61305","n":81},{"px":"92.95","sz":"0.00016","n":1}]}}'
)
TRADES = (
    '{"channel":"trades","data":['
    '{"coin":"@107","side":"B","px":"92.90","sz":"8.19","time":1790358604045,"hash":"0x00","tid":437,"users":[]},'
    '{"coin":"@107","side":"A","px":"92.91","sz":"4.80","time":1790358606027,"hash":"0xa7","tid":984,"users":[]},'
    '{"coin":"@107","side":"A","px":"92.92","sz":"1","time":1790358606027,"hash":"0xa8","tid":12,"users":[]}]}'
)
DAY = (
    '{"channel":"activeSpotAssetCtx","data":{"coin":"@107","ctx":{"prevDayPx":"93.124",'
    '"dayNtlVlm":"64552049.6973299459","markPx":"92.949","midPx":null,"coin":"@107",'
    '"circulatingSupply":"298462370.4","totalSupply":"998882916.6","dayBaseVlm":"690824.1400000008"}}}'
)
META = {
    "universe": [
        {"name": "PURR/USDC", "tokens": [1, 0], "index": 0, "isCanonical": True},
        {"name": "@107", "tokens": [150, 0], "index": 107, "isCanonical": False},
        {"name": "@142", "tokens": [197, 0], "index": 142, "isCanonical": False},
    ],
    "tokens": [
        {"name": "USDC", "szDecimals": 8, "weiDecimals": 8, "index": 0, "isCanonical": True},
        {"name": "PURR", "szDecimals": 0, "weiDecimals": 5, "index": 1, "isCanonical": True},
        {"name": "HYPE", "szDecimals": 2, "weiDecimals": 8, "index": 150, "isCanonical": False},
        {"name": "UBTC", "szDecimals": 5, "weiDecimals": 10, "index": 197, "isCanonical": False},
    ],
}


def reader() -> Any:
    """Make a reader of two instruments."""
    return hyperliquid.Reader({"@107": HYPE, "PURR/USDC": PURR})


def read(text: str) -> list[Event]:
    """Read one frame on a connection of its own."""
    return list(reader().read(text.encode()))


class Answering(FakeHyperliquid):
    """Answers every POST with `body`."""

    body: object = None

    def post(self, path: str, body: bytes) -> object:
        return self.body


async def asked(body: object, what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `body`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.body = body
        try:
            return await getattr(hyperliquid, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_the_top_is_a_pair_of_levels() -> None:
    """Digits stay as sent; the time of the block is the key."""
    assert read(TOP) == [
        Update(
            HYPE,
            "bbo",
            1790358617881,
            1790358617881,
            bid="92.940",
            bid_size="22.61305",
            ask="92.95",
            ask_size="0.00016",
        )
    ]


def test_a_side_may_be_null() -> None:
    """Then it is empty."""
    (top,) = read(TOP.replace('{"px":"92.940","sz":"22.61305","n":81}', "null"))

    assert isinstance(top, Update)
    assert (top.bid, top.bid_size, top.ask) == (None, None, "92.95")


def test_trades_of_a_block_are_numbered() -> None:
    """Their own ids are random."""
    assert read(TRADES) == [
        Trade(HYPE, "trades", 1790358604045_000, 1790358604045, "92.90", "8.19"),
        Trade(HYPE, "trades", 1790358606027_000, 1790358606027, "92.91", "4.80"),
        Trade(HYPE, "trades", 1790358606027_001, 1790358606027, "92.92", "1"),
    ]


def test_a_block_in_two_frames_loses_no_trade_and_repeats_none() -> None:
    """On a new connection the first frame repeats trades, perhaps from the middle of a block."""
    book, first, second = SourceBook(), reader(), reader()
    data = json.loads(TRADES)["data"]
    more = [{**data[2], "tid": tid} for tid in (13, 14)]
    frames = [(first, data[:2]), (first, data[2:]), (second, data), (second, more)]
    taken = [
        book.apply(event, 1, generation)
        for generation, (each, part) in enumerate(frames)
        for event in each.read(json.dumps({"channel": "trades", "data": part}).encode())
    ]

    assert taken == [True] * 3 + [False] * 3 + [True] * 2
    assert book.entries["hypeusdc"].price == "92.92"


def test_a_trade_that_is_sent_again_is_the_same() -> None:
    """A subscription that is renewed on the same connection may begin with the last block alone."""
    book, one = SourceBook(), reader()
    data = json.loads(TRADES)["data"]
    later = {**data[2], "time": data[2]["time"] + 70}  # ids are unique only in their block
    taken = [
        book.apply(event, 1)
        for part in (data, data[1:], data[2:], data, [later], [later])
        for event in one.read(json.dumps({"channel": "trades", "data": part}).encode())
    ]

    assert taken == [True] * 3 + [False] * 6 + [True, False]


def test_a_block_is_bounded() -> None:
    """A venue that sends trades of one time without end fills no memory."""
    one = reader()
    trade = json.loads(TRADES)["data"][0]
    part = [{**trade, "tid": tid} for tid in range(2_500)]
    events = one.read(json.dumps({"channel": "trades", "data": part}).encode())

    assert [event.key for event in events] == [trade["time"] * 1000 + at % 1000 for at in range(2_500)]


def test_the_24_h_figures_are_two_and_have_no_time() -> None:
    """The mark price is no trade's; the volume was added later."""
    expected = Update(
        HYPE, "activeAssetCtx", ARRIVAL, open_24h="93.124", volume_24h="690824.1400000008", slow=True
    )
    without = DAY.replace(',"dayBaseVlm":"690824.1400000008"', "")

    assert read(DAY) == [expected]
    assert read(without) == [Update(HYPE, "activeAssetCtx", ARRIVAL, open_24h="93.124", slow=True)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '{"channel":"subscriptionResponse","data":{"method":"subscribe",'
            '"subscription":{"type":"bbo","coin":"@107"}}}',
            Acked("bbo @107"),
        ),
        (
            '{"channel":"subscriptionResponse","data":{"method":"unsubscribe",'
            '"subscription":{"type":"bbo","coin":"@107"}}}',
            Ignored("method:unsubscribe"),
        ),
        ('{"channel":"pong"}', Pong()),
        ('{"channel":"novelty","data":5}', Ignored("novelty")),
        ('{"channel":"trades","data":[]}', Ignored("trades")),
        (TOP.replace("@107", "BTC"), Ignored("not_subscribed")),
        (DAY.replace("activeSpotAssetCtx", "activeAssetCtx"), Ignored("activeAssetCtx")),
    ],
)
def test_words_and_what_we_do_not_use(text: str, expected: Event) -> None:
    """A coin without `@` is a perpetual contract."""
    assert read(text) == [expected]


BBO = '{"type":"bbo","coin":"@107"}'
REQUEST = f'{{"method":"subscribe","subscription":{BBO}}}'


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (f"Already subscribed: {BBO}", Acked("bbo @107")),
        (f"Already unsubscribed: {BBO}", Ignored("unsubscribe refused")),
        (f"Invalid subscription {BBO}", Refused("bbo @107", f"Invalid subscription {BBO}", HYPE)),
        (f"Error parsing JSON: {REQUEST}", Refused("bbo @107", f"Error parsing JSON: {REQUEST}", HYPE)),
        ("Error parsing JSON: {oops", Refused("", "Error parsing JSON: {oops")),
        ("Already subscribed: bbo", Refused("", "Already subscribed: bbo")),
    ],
)
def test_an_error_repeats_what_it_is_about(reason: str, expected: Event) -> None:
    """The request, or its subscription, or nothing."""
    assert read(json.dumps({"channel": "error", "data": reason})) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        TOP.replace('"92.940"', "92.94"),
        TOP.replace('"92.940"', '"NaN"'),
        TOP.replace(',{"px":"92.95","sz":"0.00016","n":1}', ""),
        TOP.replace("1790358617881", '"now"'),
        TRADES.replace('"92.90"', '""'),
        TRADES.replace("1790358604045", "-1"),
        TRADES.replace('"tid":437,', ""),
        TRADES.replace("1790358604045", "1790358604045000"),
        DAY.replace('"prevDayPx":"93.124",', ""),
        DAY.replace('"690824.1400000008"', "690824.14"),
        '{"channel":"error","data":{}}',
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """A number where a text stands is another protocol."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_each_subscription_is_a_message_of_its_own() -> None:
    """Prices are requested before trades, these before the 24 h figures."""
    coins = (("@107", HYPE), ("PURR/USDC", PURR))
    both = [Wanted(coin, each, topic) for coin, each in coins for topic in TOPICS]
    requests, back = reader().subscribe(both), reader().unsubscribe(both)

    assert requests[0].text == '{"method":"subscribe","subscription":{"type":"bbo","coin":"@107"}}'
    assert [request.keys[0] for request in requests] == [
        f"{kind} {coin}" for kind in ("bbo", "trades", "activeAssetCtx") for coin in ("@107", "PURR/USDC")
    ]
    assert [request.wanted[0].topic for request in requests] == ["top"] * 2 + ["trades"] * 2 + ["day"] * 2
    assert [request.text.replace("unsubscribe", "subscribe") for request in back] == [
        request.text for request in requests
    ]


async def test_nothing_is_requested_before_the_list_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pair that it does not have is never requested: that would end the connection."""
    monkeypatch.setattr("crypto_stream.feed.listing._UNNAMED_RETRY_S", 0.1)

    class Late(FakeHyperliquid):
        def post(self, path: str, body: bytes) -> object:
            return super().post(path, body) if self.connects else HTTPStatus.SERVICE_UNAVAILABLE

    async with Late(["PURR-USDC", "HYPE-USDC"]) as fake:
        pairs = "PURR-USDC,HYPE-USDC,BTC-USDC"
        async with assembled(source_of(fake), pairs=pairs, stale_after=60) as feed:
            line = feed.composition.loop.sources["hyperliquid"]
            await until(lambda: fake.connects)
            await until(lambda: feed.received("hyperliquid", "hypeusdc"))
            await until(lambda: feed.received("hyperliquid", "purrusdc"))

            assert dict(line.refused) == {"btcusdc": "not listed"}
            assert any('"PURR/USDC"' in text for text in fake.requests)
            assert not any("unsubscribe" in text for text in fake.requests)
            assert (len(fake.connects), fake.violations) == (1, [])


async def test_the_bridged_bitcoin_is_ours_only_if_the_user_says_so() -> None:
    """The list calls it UBTC."""
    options = {"names": "BTC=UBTC"}
    async with FakeHyperliquid(["UBTC-USDC"]) as fake:
        urls = {"url": fake.url, "rest_url": fake.rest_url}
        for more, served in ((options, True), ({}, False)):
            given = {"hyperliquid": {**urls, **more}}
            async with assembled(sources="hyperliquid", pairs="BTC-USDC", handler_options=given) as feed:
                line = feed.composition.loop.sources["hyperliquid"]
                if served:
                    await until(lambda: feed.serving("btcusdc") == "hyperliquid")
                else:
                    await until(lambda: line.refused == {"btcusdc": "not listed"})  # noqa: B023

        assert fake.violations == []


async def test_names_and_rules_come_from_the_tokens() -> None:
    """What cannot be read, or names an unknown token, is left out."""
    odd = {"name": "@9", "tokens": [9, 0], "index": 9}
    token = {"name": "BAD", "szDecimals": 99, "weiDecimals": 8, "index": 9}
    body = {"universe": [*META["universe"], odd, 5], "tokens": [*META["tokens"], token, 5]}
    listed = await asked(body, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("PURR/USDC", "PURR", "USDC", None), ("@107", "HYPE", "USDC", None), ("@142", "UBTC", "USDC", None),
    ]  # fmt: skip
    assert [each.rules for each in listed] == [
        Rules(tick="0.00000001", lot="1"),
        Rules(tick="0.000001", lot="0.01"),
        Rules(tick="0.001", lot="0.00001"),
    ]
    wrongs: list[object] = [[], {"universe": [odd]}, {"universe": [5], "tokens": [token]}]
    for wrong in wrongs:
        with pytest.raises(MalformedFrame, match="hyperliquid spotMeta"):
            await asked(wrong, "instruments")


async def test_bars_count_their_trades() -> None:
    """The request says from when to when."""
    bar = {
        "t": 1790358600000, "T": 1790358659999, "s": "@107", "i": "1m", "o": "83765.0", "c": "83766.0",
        "h": "83770.0", "l": "83756.0", "v": "0.3317", "n": 36,
    }  # fmt: skip
    (read_bar,) = await asked([bar], "candles", "@107", "1m")

    assert (read_bar.time, read_bar.open, read_bar.close) == (1790358600000, "83765.0", "83766.0")
    assert (read_bar.volume, read_bar.trades, read_bar.source) == ("0.3317", 36, "hyperliquid:candles")
    for wrong in ({"o": ""}, {"t": -1}, {"n": None}):
        with pytest.raises(MalformedFrame, match="hyperliquid candleSnapshot"):
            await asked([bar | wrong], "candles", "@107", "1m")


def test_recorded_frames_of_perpetuals_have_the_same_shapes() -> None:
    """Their coins are given to the reader as instruments; their 24 h figures have another channel."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    perpetual = hyperliquid.Reader({"BTC": pair("BTC-USDC"), "SOL": pair("SOL-USDC")})
    counts = Counter[str]()
    keys: list[tuple[str, str, int]] = []
    for line in read_recording(Path(folder) / "hyperliquid" / "singles.ndjson"):
        assert line.frame is not None
        for event in perpetual.read(line.frame.replace(b"activeAssetCtx", b"activeSpotAssetCtx")):
            counts[event.channel] += 1
            if isinstance(event, Update | Trade) and event.channel != "activeAssetCtx":
                keys.append((event.symbol, event.channel, event.key))

    assert counts == {
        "ack": 1, "bbo": 2, "trades": 3, "l2Book": 1, "refused": 1, "pong": 1, "candle": 1,
        "activeAssetCtx": 1,
    }  # fmt: skip
    assert len(set(keys)) == len(keys)
