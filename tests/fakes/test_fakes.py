"""The fakes themselves: they speak the protocol, enforce the rules and fail as requested."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidMessage, InvalidStatus

from crypto_stream.feed.handler import UNREADABLE
from handlers import binance, okx
from tests.fakes import FakeBinance, FakeOKX, FakeVenue
from tests.fakes.peers import BTC, ETH, address, asking, drain, open_binance, receive
from tests.handlers.reading import reader
from tests.waiting import DEADLINE_S, until


@pytest.fixture
async def fake() -> AsyncIterator[FakeBinance]:
    """A fake Binance with two symbols at 50 changes a second."""
    async with FakeBinance(["btcusdt", "ethusdt"], rate=50) as venue:
        yield venue


@pytest.fixture
async def okx_fake() -> AsyncIterator[FakeOKX]:
    """A fake OKX with one symbol."""
    async with FakeOKX(["btcusdt"], rate=50) as venue:
        yield venue


async def test_binance_acknowledges_and_sends_all_three_streams(fake: FakeBinance) -> None:
    """One SUBSCRIBE is acknowledged once and starts bookTicker, aggTrade and ticker of each symbol."""
    client = await open_binance(fake)
    seen: set[str] = set()
    acks = 0
    while len(seen) < 6:
        frame = await receive(client)
        acks += "result" in frame
        seen.add(frame.get("stream", ""))
        seen.discard("")
    await client.close()

    assert acks == 1
    assert "ethusdt@ticker" in seen


async def test_okx_pushes_before_it_acknowledges_each_argument(okx_fake: FakeOKX) -> None:
    """OKX sends the state of a channel before its acknowledgement, and one acknowledgement per argument."""
    client = await connect(address(okx, okx_fake))
    await client.send(asking(okx, BTC).text)
    first = await receive(client)
    acked: list[str] = []
    while len(acked) < 3:
        frame = await receive(client)
        if frame.get("event") == "subscribe":
            acked.append(frame["arg"]["channel"])
    await client.close()

    assert "data" in first
    assert sorted(acked) == ["bbo-tbt", "tickers", "trades"]


async def test_push_sends_exact_values() -> None:
    """`push` sends the given text values at once, and nothing else is sent at rate 0."""
    async with FakeBinance(["btcusdt", "ethusdt"], rate=0) as fake:
        client = await open_binance(fake)
        await receive(client)
        await fake.push("btcusdt", bid="1.5", ask="1.7", price="1.6")
        trade, top = await receive(client), await receive(client)
        await client.close()

    assert trade["data"]["p"] == "1.60000000"
    assert (top["data"]["b"], top["data"]["a"]) == ("1.50000000", "1.70000000")


@pytest.mark.parametrize(
    ("fault", "code"), [("close:1008", 1008), ("close:4004", 4004), ("close:1006", 1006), ("drop", 1006)]
)
async def test_cuts_end_open_connections_and_take_new_ones(fake: FakeBinance, fault: str, code: int) -> None:
    """A cut or close ends open connections, with its code, and new ones are accepted."""
    client = await open_binance(fake)
    await receive(client)
    await fake.fault(fault)
    _, closed = await drain(client)
    again = await open_binance(fake)
    frame = await receive(again)
    await again.close()

    assert (closed.rcvd.code if closed.rcvd else 1006) == code
    assert frame


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("refuse", OSError),
        ("http:451", InvalidStatus),
        ("half-open", TimeoutError),
        ("slow-handshake", TimeoutError),
    ],
)
async def test_refusals_last_until_the_fault_ends(
    fake: FakeBinance, fault: str, expected: type[Exception]
) -> None:
    """During the fault nobody can connect; afterwards everybody can."""
    await fake.fault(fault)
    with pytest.raises((expected, InvalidMessage)):
        async with asyncio.timeout(0.5):
            await open_binance(fake)
    await fake.fault("none")
    client = await open_binance(fake)
    frame = await receive(client)
    await client.close()

    assert frame


async def test_retry_after_is_sent(fake: FakeBinance) -> None:
    """HTTP 429 has the given Retry-After."""
    await fake.fault("http:429,35")
    with pytest.raises(InvalidStatus) as refused:
        await open_binance(fake)

    assert refused.value.response.status_code == 429
    assert refused.value.response.headers["Retry-After"] == "35"


async def test_freeze_stops_one_symbol_and_leaves_the_other(fake: FakeBinance) -> None:
    """A fault limited to a symbol does not affect the others."""
    await fake.fault("freeze-symbol", "btcusdt")
    client = await open_binance(fake)
    frames = [await receive(client) for _ in range(20)]
    await client.close()

    assert {frame["stream"].split("@")[0] for frame in frames if "stream" in frame} == {"ethusdt"}


async def test_moving_announces_then_closes_and_serves_newcomers(fake: FakeBinance) -> None:
    """The announcement comes first, the close after the given seconds; a new connection is not affected."""
    client = await open_binance(fake)
    await receive(client)
    await fake.fault("moving:0.2")
    second = await open_binance(fake)
    frames, _ = await drain(client)
    frame = await receive(second)
    await second.close()

    assert "!serverShutdown" in {each.get("stream") for each in frames}
    assert frame


@pytest.mark.parametrize(
    "fault",
    ["garbage", "wrong-types", "unknown-events", "extra-fields", "duplicates", "out-of-order", "burst"],
)
@pytest.mark.parametrize("venue", [FakeBinance, FakeOKX])
async def test_spoiled_data_leaves_the_connection_open_with_good_frames(
    venue: type[FakeVenue], fault: str
) -> None:
    """Whatever is mixed in, good frames of the symbol continue on the same connection."""
    handler: Any = binance if venue is FakeBinance else okx
    async with venue(["btcusdt"], rate=50) as fake:
        await fake.fault(fault)
        client = await connect(address(handler, fake))
        await client.send(asking(handler, BTC).text)
        one, good = reader(handler), 0
        async with asyncio.timeout(DEADLINE_S):
            while good < 10:
                try:
                    events = list(one.read(await client.recv(decode=False)))
                except UNREADABLE:
                    continue
                good += getattr(events[0], "symbol", None) == "btcusdt"
        await client.close()

    assert len(fake.connects) == 1


@pytest.mark.parametrize(("fault", "acked"), [("no-ack", False), ("late-ack:0.2", True)])
async def test_acknowledgements_go_astray_while_data_flows(
    fake: FakeBinance, fault: str, acked: bool
) -> None:
    """Without an acknowledgement, or before a late one, data is sent all the same."""
    await fake.fault(fault)
    client = await open_binance(fake)
    frames = [await receive(client) for _ in range(60)]
    await client.close()

    assert "stream" in frames[0]
    assert any("result" in frame for frame in frames) is acked


async def test_error_ack_names_the_request(fake: FakeBinance) -> None:
    """A refused subscription is answered with an error that carries the request's id."""
    await fake.fault("error-ack", "ethusdt")
    client = await open_binance(fake)
    frame = await receive(client)
    await client.close()

    assert frame["id"] == int(asking(binance, BTC, ETH).keys[0])
    assert frame["error"]["code"] == 2


async def test_accept_and_close_closes_every_connection(fake: FakeBinance) -> None:
    """Each connection is accepted and then closed at once; each is counted."""
    await fake.fault("accept-and-close")
    for _ in range(3):
        client = await connect(address(binance, fake))
        await client.wait_closed()

    assert len(fake.connects) == 3


async def test_a_fault_with_seconds_ends_by_itself(fake: FakeBinance) -> None:
    """Nobody can connect while the port is closed, and everybody afterwards, on the same port."""
    port = fake.port
    await fake.fault("refuse", seconds=0.2)
    with pytest.raises(OSError, match="Connect call failed"):
        await open_binance(fake)
    await until(lambda: fake.current.name == "none")
    client = await open_binance(fake)
    await client.close()

    assert fake.port == port
