"""What waits to be sent: all trades, the newest of everything else."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest

from bridges import client
from bridges.client import Message, Outlet, Target, serve
from crypto_stream.feed.bridge.lines import LineRate
from crypto_stream.feed.bridge.messages import LINES_PER_S
from tests.feed.bridge.program import NAME, TOKEN, bridged
from tests.feed.rig import Feed
from tests.ports import free_port
from tests.waiting import until


def quote(instrument: str, bid: str) -> Message:
    """Write a quote."""
    return {"type": "quote", "instrument": instrument, "bid": bid, "ask": None}


def trade(price: str) -> Message:
    """Write a trade."""
    return {"type": "trade", "instrument": "BTC/USDT", "price": price}


async def test_of_quotes_the_newest_is_sent_of_trades_all() -> None:
    """A server that reads slowly gets no old quote, and misses no trade."""
    outlet = Outlet()
    for number in range(3):
        outlet.put(quote("BTC/USDT", str(number)))
        outlet.put(quote("ETH/USDT", str(number)))
        outlet.put(trade(str(number)))
    taken = await outlet.take(1_000)

    assert taken == [
        *(trade(str(number)) for number in range(3)),
        quote("BTC/USDT", "2"),
        quote("ETH/USDT", "2"),
    ]


async def test_unsent_trades_are_bounded() -> None:
    """Beyond the bound the oldest go."""
    outlet = Outlet()
    for number in range(10_001):
        outlet.put(trade(str(number)))
    taken = await outlet.take(20_000)

    assert len(taken) == 10_000
    assert taken[0] == trade("1")


async def test_many_messages_are_taken_in_portions() -> None:
    """Neither trades nor quotes keep the others waiting; nothing is left out or sent twice."""
    outlet = Outlet()
    trades, quotes = [trade(str(number)) for number in range(9)], [quote(name, "1") for name in "abcde"]
    for message in (*trades, *quotes):
        outlet.put(message)
    taken = [await outlet.take(4) for _ in range(4)]

    assert taken == [
        [*trades[:2], *quotes[:2]], [*trades[2:4], *quotes[2:4]], [*trades[4:7], quotes[4]], trades[7:],
    ]  # fmt: skip
    outlet.put(quotes[0])
    assert await outlet.take(4) == [quotes[0]]


async def test_a_burst_keeps_within_the_limit_of_the_server() -> None:
    """The server ends a connection with more lines in a second."""
    outlet, lines, loop = Outlet(), 0, asyncio.get_running_loop()
    done, rate, too_fast = asyncio.Event(), LineRate(LINES_PER_S), False

    async def serve_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal lines, too_fast
        while line := await reader.readline():
            lines += json.loads(line)["type"] == "trade"
            too_fast = too_fast or rate.exceeds(1, loop.time())
            if lines == 1:  # as many more as can wait
                for number in range(9_999):
                    outlet.put(trade(str(number)))
            if lines == 15_000:
                done.set()
            elif lines == 8_000:
                for number in range(7_000):
                    outlet.put(trade(str(number)))
        writer.close()

    server = await asyncio.start_server(serve_one, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(Target(f"127.0.0.1:{port}", "acme", "Acme"), Pairs(), outlet))
        outlet.put(trade("0"))
        await done.wait()
        serving.cancel()

    assert not too_fast


class Pairs:
    """A feed of two pairs, one of which it refuses."""

    def __init__(self) -> None:
        self.subscribed: list[str] = []
        self.resets = 0

    async def instruments(self) -> list[Message]:
        """List two pairs."""
        return [{"id": f"{base}/USDT", "base": base, "quote": "USDT"} for base in ("BTC", "ETH")]

    async def subscribe(self, instruments: Sequence[str], topics: Sequence[str]) -> Mapping[str, str]:
        """Refuse ETH."""
        self.subscribed += instruments
        return {"ETH/USDT": "not today"} if "ETH/USDT" in instruments else {}

    async def unsubscribe(self, instruments: Sequence[str], topics: Sequence[str]) -> None:
        """Do nothing."""

    async def reset(self) -> None:
        """Count."""
        self.resets += 1
        self.subscribed.clear()


async def complete(feed: Feed) -> tuple[str | None, str | None]:
    """Wait for price and bid of BTC, and return them."""
    await until(lambda: feed.received(NAME))
    entry = feed.composition.book.entry(NAME, "btcusdt")
    assert entry is not None
    await until(lambda: entry.bid and entry.price)
    return entry.price, entry.bid


async def test_the_client_connects_and_again_after_the_end() -> None:
    """Over TCP with its token: hello, list, answers, data; after a new start of the server as before."""
    options = {"acme_listen": f"127.0.0.1:{free_port()}", "acme_token": TOKEN}
    feed_of_bridge, outlet = Pairs(), Outlet()
    async with asyncio.TaskGroup() as tasks:
        target = Target(options["acme_listen"], "acme", "Acme", TOKEN)
        serving = tasks.create_task(serve(target, feed_of_bridge, outlet))
        for number in (1, 2):
            async with bridged(options=options) as (feed, _):
                await until(lambda: feed_of_bridge.subscribed)
                outlet.put(quote("BTC/USDT", f"10{number}.0"))
                outlet.put(trade(f"10{number}.5"))
                found = await complete(feed)
                refused = feed.composition.loop.sources[NAME].refused

                assert found == (f"10{number}.5", f"10{number}.0")
                assert refused == {"ethusdt": "not today"}
            await until(lambda: not feed_of_bridge.subscribed)
        serving.cancel()

    assert feed_of_bridge.resets >= 2


async def test_a_venue_without_a_list_is_asked_less_and_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may be overloaded, or ban who asks too often; a server that does not listen is tried as before."""
    monkeypatch.setattr(client, "_RETRY_S", 0.01)
    asked_s: list[float] = []

    class Listless(Pairs):
        async def instruments(self) -> list[Message]:
            asked_s.append(time.monotonic())
            raise OSError("no markets: 429 Too Many Requests")

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(serve(Target(f"127.0.0.1:{port}", "acme", "Acme"), Listless(), Outlet()))
        await until(lambda: len(asked_s) == 6)
        serving.cancel()

    pauses = [later - before for before, later in pairwise(asked_s)]
    assert all(pause >= 0.01 * 2 ** (at + 1) for at, pause in enumerate(pauses))
