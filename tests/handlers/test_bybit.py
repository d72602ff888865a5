"""Bybit: ten topics a request, a top of book told again, trades that share a sequence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec import UNSET

from crypto_stream.feed.handler import Acked, Event, Ignored, Pong, Refused, Trade, Update
from crypto_stream.market.instruments import pair
from handlers import bybit
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted

BTC = pair("BTC-USDT")
TICKER = {
    "topic": "tickers.BTCUSDT", "ts": 1682083233096, "type": "snapshot", "cs": 792472763,
    "data": {"symbol": "BTCUSDT", "lastPrice": "27579.99", "highPrice24h": "35000", "lowPrice24h": "26900",
             "prevPrice24h": "29005.97", "volume24h": "240.62801", "turnover24h": "6905439.32",
             "price24hPcnt": "-0.0492", "usdIndexPrice": ""},
}  # fmt: skip
TOP = {
    "topic": "orderbook.1.BTCUSDT", "ts": 1682083233502, "type": "snapshot", "cts": 1682083233490,
    "data": {"s": "BTCUSDT", "b": [["27579.99", "0.030954"]], "a": [["27580", "0.10"]], "u": 1, "seq": 7},
}  # fmt: skip
SOLD = {"i": "2290000001189048101", "T": 1682084122521, "p": "27200", "v": "0.000221", "S": "Buy",
        "s": "BTCUSDT", "BT": False, "seq": 5}  # fmt: skip
TRADES = {"topic": "publicTrade.BTCUSDT", "ts": 1682084122523, "type": "snapshot", "data": [SOLD]}


def read(message: object) -> list[Event]:
    """Read one message."""
    return reading.read(bybit, json.dumps(message).encode())


def top(**data: Any) -> list[Event]:
    """Read a change of the top of book."""
    return read({**TOP, "type": "delta", "data": {**TOP["data"], **data}})  # type: ignore[dict-item]


def test_tickers_give_the_24_hour_figures_alone() -> None:
    """On spot they have neither bid nor ask."""
    assert read(TICKER) == [
        Update(
            BTC,
            "tickers",
            1682083233096,
            1682083233096,
            "27579.99",
            open_24h="29005.97",
            high_24h="35000",
            low_24h="26900",
            volume_24h="240.62801",
            slow=True,
        )
    ]


def test_the_top_of_book_has_the_engines_time() -> None:
    """Its order is that of sending: a copy after three seconds is a sign of life."""
    assert read(TOP) == [
        Update(
            BTC,
            "orderbook.1",
            1682083233502,
            1682083233490,
            bid="27579.99",
            bid_size="0.030954",
            ask="27580",
            ask_size="0.10",
        )
    ]


def test_a_change_may_name_one_side() -> None:
    """The other stays; a size of zero takes a side away, unless another price takes its place."""
    (bid_only,) = top(a=[])
    (gone,) = top(b=[["27579.99", "0"]])
    (moved,) = top(b=[["27579.99", "0.000"], ["27579.98", "3"]])
    (empty,) = read({**TOP, "data": {**TOP["data"], "b": []}})  # type: ignore[dict-item]

    assert isinstance(bid_only, Update)
    assert (bid_only.bid, bid_only.ask, bid_only.ask_size) == ("27579.99", UNSET, UNSET)
    assert isinstance(gone, Update)
    assert (gone.bid, gone.bid_size) == (None, None)
    assert isinstance(moved, Update)
    assert (moved.bid, moved.bid_size) == ("27579.98", "3")
    assert isinstance(empty, Update)
    assert (empty.bid, empty.ask) == (None, "27580")


def test_trades_of_one_sequence_are_all_kept() -> None:
    """Their own ids grow."""
    message = {**TRADES, "data": [SOLD, {**SOLD, "i": "2290000001189048102", "p": "27201"}]}

    assert read(message) == [
        Trade(BTC, "publicTrade", 2290000001189048101, 1682084122521, "27200", "0.000221"),
        Trade(BTC, "publicTrade", 2290000001189048102, 1682084122521, "27201", "0.000221"),
    ]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            {"success": True, "ret_msg": "subscribe", "conn_id": "a", "req_id": "4", "op": "subscribe"},
            Acked("4"),
        ),
        ({"success": True, "ret_msg": "", "conn_id": "a", "req_id": "4", "op": "subscribe"}, Acked("4")),
        (
            {"success": False, "ret_msg": "args size >10", "conn_id": "a", "req_id": "5", "op": "subscribe"},
            Refused("5", "args size >10"),
        ),
        ({"success": True, "ret_msg": "pong", "conn_id": "a", "op": "ping"}, Pong()),
        ({"args": ["1"], "op": "pong"}, Pong()),
        ({"success": True, "ret_msg": "", "op": "unsubscribe"}, Ignored("op:unsubscribe")),
        ({**TOP, "topic": "orderbook.50.BTCUSDT"}, Ignored("orderbook.50")),
        ({**TOP, "topic": "orderbook.1.NOTHING"}, Ignored("not_subscribed")),
        ({**TRADES, "data": []}, Ignored("publicTrade")),
    ],
)
def test_words_and_what_we_do_not_use(message: object, expected: Event) -> None:
    """The answer to a ping has the ping's name."""
    assert read(message) == [expected]


@pytest.mark.parametrize(
    "message",
    [
        {**TICKER, "ts": "soon"},
        {**TICKER, "data": {"symbol": "BTCUSDT"}},
        {**TOP, "data": {"s": "BTCUSDT", "b": [["1"]], "a": [], "u": 1}},
        {**TOP, "data": {"s": "BTCUSDT", "b": [[1, 2]], "a": [], "u": 1}},
        {**TRADES, "data": [{**SOLD, "i": "a-uuid"}]},
        {**TRADES, "data": [{**SOLD, "p": ""}]},
        {"op": 5},
    ],
)
def test_wrong_values_are_malformed(message: object) -> None:
    """A field of another type, no number, or missing."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(message)


def test_ten_topics_a_request() -> None:
    """Each request has its number, also the next time."""
    asker = reading.reader(bybit)
    asked = wanted(bybit, *(f"A{number}-USDT" for number in range(7)))
    first, again = asker.subscribe(asked), asker.subscribe(asked)

    assert [len(json.loads(request.text)["args"]) for request in first] == [10, 10, 1]
    assert json.loads(first[0].text)["args"][:3] == [
        "orderbook.1.A0USDT", "publicTrade.A0USDT", "tickers.A0USDT"
    ]  # fmt: skip
    assert [request.keys for request in first + again] == [(str(number),) for number in range(1, 7)]
