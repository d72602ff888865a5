"""The rules of Bitfinex, as its fake enforces them."""

from __future__ import annotations

import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from tests.fakes import FakeBitfinex
from tests.fakes.peers import receive
from tests.fakes.spoils import changed, shifted


async def opened(fake: FakeBitfinex) -> ClientConnection:
    """Connect, and take the venue's first word."""
    client = await connect(f"{fake.url}/ws/2", max_queue=None)
    assert (await receive(client))["platform"] == {"status": 1}
    return client


async def say(client: ClientConnection, **message: Any) -> None:
    """Send one message."""
    await client.send(json.dumps(message))


async def test_numbers_differ_between_connections_and_count_every_data_frame() -> None:
    """A subscription is acknowledged before its first data; frames are counted from the first on."""
    async with FakeBitfinex(["BTC-USDT"], rate=0) as fake:
        frames = []
        for _ in range(2):
            client = await opened(fake)
            await say(client, event="conf", flags=65536)
            await say(client, event="subscribe", channel="ticker", symbol="tBTCUST")
            await say(client, event="subscribe", channel="book", symbol="tBTCUST", len="25")
            frames.append([await receive(client) for _ in range(5)])
            await client.close()

    for conf, ticker, day, book, levels in frames:
        assert conf["status"] == "OK"
        assert (ticker["chanId"], book["chanId"]) == (day[0], levels[0])
        assert (day[-1], levels[-1]) == (1, 2)
    assert frames[0][1]["chanId"] != frames[1][1]["chanId"]


async def test_what_is_wrong_is_refused_with_a_code() -> None:
    """Wrong JSON is not answered at all."""
    async with FakeBitfinex(["BTC-USDT"], rate=0) as fake:
        client = await opened(fake)
        await client.send("{not json")
        for symbol in ("tBTCUST", "tBTCUST", "tFOOBAR"):
            await say(client, event="subscribe", channel="trades", symbol=symbol)
        await say(client, event="unsubscribe", chanId=7)
        await say(client, event="novelty")
        acked, _, *refused = [await receive(client) for _ in range(6)]
        await client.close()

    assert [each["code"] for each in refused] == [10301, 10300, 10400, 10000]
    assert refused[0]["chanId"] == acked["chanId"]
    assert (refused[1]["channel"], refused[1]["symbol"]) == ("trades", "tFOOBAR")


async def test_too_many_channels_are_recorded_and_then_refused() -> None:
    """25 are allowed, 36 are accepted."""
    pairs = [f"A{number}B-USD" for number in range(10, 23)]
    async with FakeBitfinex(pairs, rate=0) as fake:
        client = await opened(fake)
        answers: list[Any] = []
        for each in pairs:
            for channel in ("ticker", "trades", "book"):
                symbol = f"t{each.replace('-', ':')}"
                await say(client, event="subscribe", channel=channel, symbol=symbol, len="25")
        while sum(isinstance(each, dict) for each in answers) < 39:
            answers.append(await receive(client))
        await client.close()

    codes = [each.get("code") for each in answers if isinstance(each, dict)]
    assert codes == [None] * 36 + [10305] * 3
    assert fake.violations == ["more than 25 channels on one connection"] * 11


async def test_each_channel_has_a_heartbeat() -> None:
    """By its number."""
    async with FakeBitfinex(["BTC-USDT"], rate=0, heartbeat_s=0.05) as fake:
        client = await opened(fake)
        await say(client, event="subscribe", channel="trades", symbol="tBTCUST")
        acked, _, beat = [await receive(client) for _ in range(3)]
        await client.close()

    assert beat == [acked["chanId"], "hb"]


def test_arrays_are_spoiled_by_place() -> None:
    """Each innermost one; its identity, the kind and the number of the frame stay."""
    frame = '[1,"te",[5,1700003600000,0.5,2],9]'

    assert (
        changed(frame, lambda data: data.update({"3": "x"})) == '[1, "te", [5, 1700003600000, 0.5, "x"], 9]'
    )
    assert (
        changed("[1,[[5,1,2],[6,1,2]]]", lambda data: data.update(new=7))
        == "[1, [[5, 1, 2, 7], [6, 1, 2, 7]]]"
    )
    assert shifted(json.loads(frame), -3_600) == [1, "te", [5, 1700000000000, 0.5, 2], 9]
