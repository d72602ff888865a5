"""What is special to the local bus: its socket file, and what is written to it. See also `test_contract`."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from crypto_stream.bus.codec import VERSION, encode_value
from crypto_stream.bus.frames import encode_frame
from crypto_stream.bus.local_engine import LocalEnginePort
from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.bus.messages import Beat, Quotes, TopicUpdate
from crypto_stream.bus.orders import Attach, Failed, OrderCommands, OrderMessages
from tests.bus.ends import Engine, Gateway
from tests.waiting import DEADLINE_S, until


def _wait(event: threading.Event) -> None:
    event.wait()


async def hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.fixture
async def engine() -> Engine:
    return Engine()


@pytest.fixture
async def port(tmp_path: Path, engine: Engine) -> AsyncIterator[LocalEnginePort]:
    async with LocalEnginePort(tmp_path / "bus.sock", engine) as port:
        yield port


@pytest.fixture
async def gateway(tmp_path: Path, port: LocalEnginePort) -> AsyncIterator[Gateway]:
    gateway = Gateway(LocalGatewayPort(tmp_path / "bus.sock"))
    await until(lambda: len(gateway.received) == 1)
    yield gateway
    await asyncio.to_thread(gateway.close)


async def test_order_news_wait_at_their_sender_while_a_gateway_does_not_read(
    engine: Engine, tmp_path: Path
) -> None:
    """Past the bound the bus says so, and says when the gateway has read; the link is never cut for it."""
    path = tmp_path / "bus.sock"
    async with LocalEnginePort(path, engine, max_unsent=100_000) as port:
        reader, writer = await asyncio.open_unix_connection(path, limit=1)
        try:
            writer.write(encode_frame(OrderCommands([Attach(7, "anna", anonymous=False)])))
            await until(lambda: bool(engine.commands))
            ((number, _),) = engine.commands
            news = OrderMessages([Failed(7, 0, "unknown_order", "x" * 50_000)])
            told = 1
            while port.send_orders(number, news) and told < 1_000:
                told += 1
                await asyncio.sleep(0)
            waited = list(engine.drained_gateways)
            await reader.readexactly(told * 50_000)
            await until(lambda: bool(engine.drained_gateways))
            taken = port.send_orders(number, news)
        finally:
            await hang_up(writer)

    assert told < 1_000
    assert not waited
    assert taken


async def test_silent_engine_is_given_up(tmp_path: Path) -> None:
    """An engine that accepts but says nothing is left after the silence limit."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus.sock"))
        silent.listen()
        gateway = Gateway(LocalGatewayPort(tmp_path / "bus.sock", silence_s=0.1))
        await until(lambda: gateway.resets >= 2)
        await asyncio.to_thread(gateway.close)

    assert gateway.received == []


async def test_slow_gateway_gets_a_new_snapshot(
    tmp_path: Path, port: LocalEnginePort, engine: Engine, gateway: Gateway
) -> None:
    """A gateway that stops reading costs a bounded buffer, then gets one snapshot; others get all."""
    _, writer = await asyncio.open_unix_connection(tmp_path / "bus.sock", limit=2**26)
    await until(lambda: engine.snapshots == 2)
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    bulky = Beat(0, [], "x" * 1_000_000, 0.0)
    for count in range(2, 14):
        port.publish(bulky)
        await until(lambda count=count: len(gateway.received) == count)  # type: ignore[misc]
    writer.transport.resume_reading()  # type: ignore[attr-defined]
    await until(lambda: engine.snapshots == 3)
    await hang_up(writer)

    assert engine.snapshots == 3
    assert sum(isinstance(message, Beat) for message in gateway.received) == 12


async def test_slow_gateway_gets_the_newest_of_each_topic(
    tmp_path: Path, port: LocalEnginePort, engine: Engine
) -> None:
    """Updates that were skipped are replaced by the newest one, which need not wait for a further change."""
    reading = threading.Event()
    slow = Gateway(LocalGatewayPort(tmp_path / "bus.sock"), pause=lambda: _wait(reading))
    try:
        await until(lambda: engine.snapshots)
        for _ in range(20):
            port.publish(Beat(0, [], "x" * 1_000_000, 0.0))
        for version in (1, 2):
            port.send_topic(["link-1"], TopicUpdate("venues", "btcusdt", version, encode_value("x")))
        reading.set()
        await until(lambda: slow.all(TopicUpdate))
        port.publish(Quotes(1, []))
        await until(lambda: slow.seqs() == [1])
    finally:
        reading.set()
        await asyncio.to_thread(slow.close)

    assert [each.version for each in slow.all(TopicUpdate)] == [2]
    assert len(slow.all(Beat)) < 20


async def test_nonsense_from_a_gateway_harms_no_other(
    tmp_path: Path, port: LocalEnginePort, gateway: Gateway
) -> None:
    """Bytes that are no message end that gateway's connection and nothing else."""
    ours = bytes([VERSION])
    for nonsense in (
        ours + b"\x00\x00\x00\x01\xff",
        ours + b"\xff\xff\xff\xff",
        b"\xff" * 5,
        encode_frame(Quotes(1, [])),
    ):
        reader, writer = await asyncio.open_unix_connection(tmp_path / "bus.sock")
        writer.write(nonsense)
        async with asyncio.timeout(DEADLINE_S):
            await reader.read()
        await hang_up(writer)
    port.publish(Quotes(7, []))
    await until(lambda: len(gateway.received) == 2)

    assert gateway.resets == 0
