"""The bridge of ccxt against a fake venue, through ccxt's own code; skipped without ccxt, except in CI."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from bridges.client import Message, Outlet
from tests.fakes import FakeBinance
from tests.waiting import until

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its dependencies
    if os.environ.get("CI") != "true":  # there it must be installed
        reason = "ccxt is not installed: bridges/requirements.txt"
        pytest.importorskip("ccxt.pro", reason=reason, exc_type=ImportError)
    import ccxt.pro

    from bridges.ccxt import CcxtFeed
    from bridges.ccxt_messages import entry_of, text

SYMBOLS = ["btcusdt", "ethusdt"]
IDS = ["BTC/USDT", "ETH/USDT"]


def configuration(fake: FakeBinance) -> dict[str, Any]:
    """Point ccxt's Binance at the fake; only spot markets, aggregated trades."""
    return {
        "urls": {"api": {"public": f"{fake.rest_url}/api/v3", "ws": {"spot": f"{fake.url}/ws"}}},
        "options": {
            "fetchMarkets": {"types": ["spot"]},
            "watchTradesForSymbols": {"name": "aggTrade"},
            "watchTickers": {"name": "ticker"},
        },
        "has": {"fetchCurrencies": False},
    }


class Watched:
    """A feed of ccxt on a fake, and what it has put so far."""

    def __init__(self, feed: CcxtFeed, outlet: Outlet) -> None:
        self.feed = feed
        self.outlet = outlet
        self.messages: list[Message] = []

    def of(self, kind: str, instrument: str = "BTC/USDT") -> list[Message]:
        """Return the messages of this type so far."""
        return [each for each in self.messages if (each["type"], each["instrument"]) == (kind, instrument)]


class Keeping(Outlet):
    """An outlet that keeps every message: a test must see what conflation would hide."""

    def __init__(self, messages: list[Message]) -> None:
        super().__init__()
        self._messages = messages

    def put(self, message: Message) -> None:
        """Keep it."""
        self._messages.append(message)


@contextlib.asynccontextmanager
async def watched(fake: FakeBinance) -> AsyncIterator[Watched]:
    """Run the feed of ccxt on the fake, with its markets loaded."""
    messages: list[Message] = []
    exchange = ccxt.pro.binance(configuration(fake))
    feed = CcxtFeed(exchange, Keeping(messages))
    found = Watched(feed, Outlet())
    found.messages = messages
    try:
        await feed.instruments()
        yield found
    finally:
        await feed.reset()
        await exchange.close()


async def test_markets_are_a_list_with_rules() -> None:
    """Id, base, quote, status and steps, as text."""
    async with FakeBinance(SYMBOLS, rate=0) as fake:
        fake.states["ethusdt"] = "HALT"
        async with watched(fake) as found:
            listed = await found.feed.instruments()

    by_id = {each["id"]: each for each in listed}
    assert set(by_id) == set(IDS)
    assert by_id["BTC/USDT"]["base"] == "BTC"
    assert by_id["BTC/USDT"]["status"] == ""
    assert by_id["ETH/USDT"]["status"] == "inactive"
    assert Decimal(by_id["BTC/USDT"]["tick"]) == Decimal("0.01")
    assert all(value is None or isinstance(value, str) for each in listed for value in each.values())


async def test_every_message_counts_also_of_those_that_arrive_together() -> None:
    """Three trades and three quotes in one read: ccxt's own loop would return the first of each."""
    async with FakeBinance(SYMBOLS, rate=0, price="64000") as fake, watched(fake) as found:
        assert await found.feed.subscribe(IDS, ["top", "trades"]) == {}
        await until(lambda: sum(len(client.streams) for client in fake.clients) == 4)
        prices = ["64000.10", "64000.20", "64000.30"]
        for price in prices:
            await fake.push("btcusdt", bid=price, ask="65000", price=price)
        await until(lambda: len(found.of("trade")) == 3 and len(found.of("quote")) == 3)

    assert [Decimal(each["price"]) for each in found.of("trade")] == [Decimal(each) for each in prices]
    assert [each["bid"] for each in found.of("quote")] == [f"{each}000000" for each in prices]
    assert found.of("trade")[0]["size"].count(".") == 1
    assert found.of("trade", "ETH/USDT") == []


async def test_figures_of_the_day_are_exact() -> None:
    """The exchange's own text."""
    async with FakeBinance(SYMBOLS, rate=20) as fake, watched(fake) as found:
        await found.feed.subscribe(["BTC/USDT"], ["day"])
        await until(lambda: found.of("day"))
        day = found.of("day")[0]

    assert {"price", "open", "high", "low", "volume", "bid", "ask"} <= day.keys()
    assert all(isinstance(day[name], str) and "." in day[name] for name in ("price", "open", "volume"))


async def test_it_subscribes_again_after_a_lost_connection() -> None:
    """By the calls that keep the subscriptions alive."""
    async with FakeBinance(SYMBOLS, rate=20) as fake, watched(fake) as found:
        await found.feed.subscribe(["BTC/USDT"], ["top"])
        await until(lambda: found.of("quote"))
        fake.cut_all()
        await until(lambda: not fake.clients)
        found.messages.clear()
        await until(lambda: found.of("quote"), 20)


async def test_what_is_not_wanted_any_more_is_not_sent() -> None:
    """Once nothing is wanted, the exchange is left."""
    async with FakeBinance(SYMBOLS, rate=20) as fake, watched(fake) as found:
        await found.feed.subscribe(IDS, ["top"])
        await until(lambda: found.of("quote") and found.of("quote", "ETH/USDT"))
        await found.feed.unsubscribe(["ETH/USDT"], ["top"])
        found.messages.clear()
        await until(lambda: len(found.of("quote")) > 3)
        rest = found.of("quote", "ETH/USDT")
        await found.feed.unsubscribe(["BTC/USDT"], ["top"])
        await until(lambda: not fake.clients)

    assert rest == []


async def test_an_unknown_symbol_is_refused() -> None:
    """The others are watched."""
    async with FakeBinance(SYMBOLS, rate=20) as fake, watched(fake) as found:
        refused = await found.feed.subscribe(["BTC/USDT", "NO/SUCH"], ["top"])
        await until(lambda: found.of("quote"))

    assert refused == {"NO/SUCH": "no such market"}


@pytest.mark.parametrize(
    ("number", "written"),
    [
        (None, None),
        ("", None),
        ("1.10", "1.10"),
        (3, "3"),
        (1e-7, "0.0000001"),
        (64000.1, "64000.1"),
        (1e22, "1" + "0" * 22),
    ],
)
def test_numbers_are_text_without_exponent(number: Any, written: str | None) -> None:
    """Text stays as it is; a float is written as short as it can be."""
    assert text(number) == written


def test_steps_of_decimal_places_are_numbers() -> None:
    """Some exchanges give the number of digits instead of the step."""
    market = {"symbol": "A/B", "base": "A", "quote": "B", "precision": {"price": 3, "amount": 0}}
    entry = entry_of(market, ccxt.DECIMAL_PLACES)

    assert (entry["tick"], entry["lot"], entry["status"]) == ("0.001", "1", "")
