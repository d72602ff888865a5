"""The local bus: real Unix sockets, the blocking gateway end in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from crypto_stream.bus.codec import VERSION
from crypto_stream.bus.frames import encode_frame
from crypto_stream.bus.local_engine import LocalEnginePort
from crypto_stream.bus.local_gateway import LocalGatewayPort
from crypto_stream.bus.messages import (
    Beat,
    GetHistory,
    GetTopic,
    Pin,
    Quotes,
    RequestBody,
    Snapshot,
    ToGateway,
)
from crypto_stream.bus.orders import Attach, Cancel, Command, Failed, OrderCommands, OrderMessages
from crypto_stream.errors import BusError, RefusedError
from tests.waiting import DEADLINE_S, SCALE, until


class Engine:
    """A backend whose snapshot carries a counter and which answers every request in a known way."""

    def __init__(self) -> None:
        self.snapshots = 0
        self.gone: list[str] = []
        self.drained_gateways: list[str] = []
        self.commands: list[tuple[str, Command]] = []
        self.given_up = 0

    def snapshot(self) -> Snapshot:
        self.snapshots += 1
        return Snapshot("e1", self.snapshots, [], [], [], None, {})

    async def answer(self, gateway: str, ask: RequestBody) -> Any:
        if isinstance(ask, GetTopic):
            return {"symbol": ask.key}
        if isinstance(ask, Pin):
            raise RefusedError("unknown_source", f"no source {ask.source}")
        try:
            await asyncio.sleep(DEADLINE_S)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        return None

    def orders(self, gateway: str, commands: list[Command]) -> None:
        self.commands += [(gateway, command) for command in commands]

    def drained(self, gateway: str) -> None:
        self.drained_gateways.append(gateway)

    def left(self, gateway: str) -> None:
        self.gone.append(gateway)


class Gateway:
    """A gateway end that runs in a thread and keeps what it was given."""

    def __init__(self, path: Path, silence_s: float = DEADLINE_S) -> None:
        self.received: list[ToGateway] = []
        self.resets = 0
        self.port = LocalGatewayPort(path, silence_s)
        self._thread = threading.Thread(target=self.port.run, args=(self.received.extend, self._on_reset))
        self._thread.start()

    def _on_reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.port.close()
        self._thread.join(DEADLINE_S)
        assert not self._thread.is_alive()


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
    gateway = Gateway(tmp_path / "bus.sock")
    await until(lambda: len(gateway.received) == 1)
    yield gateway
    await asyncio.to_thread(gateway.close)


async def test_snapshot_comes_first_then_changes(port: LocalEnginePort, gateway: Gateway) -> None:
    """A gateway gets the whole state first, then each change in order."""
    for seq in range(10):
        port.publish(Quotes(seq, []))
    await until(lambda: len(gateway.received) == 11)

    assert isinstance(gateway.received[0], Snapshot)
    assert [message.seq for message in gateway.received[1:] if isinstance(message, Quotes)] == [*range(10)]


async def test_answers_and_refusals_come_back(gateway: Gateway) -> None:
    """A request is answered with its value, or with the code and reason of its refusal."""
    answer = await asyncio.to_thread(gateway.port.request, GetTopic("venues", "btcusdt"))
    with pytest.raises(RefusedError) as refusal:
        await asyncio.to_thread(gateway.port.request, Pin("nowhere"))

    assert msgspec.msgpack.decode(answer) == {"symbol": "btcusdt"}
    assert refusal.value.code == "unknown_source"
    assert str(refusal.value) == "no source nowhere"


async def test_orders_and_short_questions_overtake_slow_ones(
    port: LocalEnginePort, gateway: Gateway, engine: Engine
) -> None:
    """However much of the history is asked: an order arrives at once, what is too much is refused at once."""
    codes: list[str] = []

    def ask() -> None:
        try:
            gateway.port.request(GetHistory("btcusdt"), DEADLINE_S / 4)
        except RefusedError as refused:
            codes.append(refused.code)
        except BusError:
            codes.append("no answer")

    threads = [threading.Thread(target=ask) for _ in range(300)]
    for each in threads:
        each.start()
    await until(lambda: codes.count("busy") == 300 - 256)
    gateway.port.send(OrderCommands([Cancel(1, 1, "o")]))
    await until(lambda: engine.commands)
    answer = await asyncio.to_thread(gateway.port.request, GetTopic("venues", "btcusdt"))

    assert msgspec.msgpack.decode(answer) == {"symbol": "btcusdt"}
    assert len(codes) == 300 - 256
    for each in threads:
        await asyncio.to_thread(each.join, DEADLINE_S)
    assert len(codes) == 300
    assert set(codes) <= {"busy", "no answer"}  # the others, when their time was over: at either end first


async def test_what_nobody_waits_for_any_more_is_given_up(gateway: Gateway, engine: Engine) -> None:
    """A request carries its time; the engine's work on it ends with that, not later."""
    with pytest.raises(RefusedError, match="in time"):
        await asyncio.to_thread(gateway.port.request, GetHistory("btcusdt"), 2.0 * SCALE)

    assert engine.given_up == 1


async def test_order_commands_and_their_news_keep_their_order(
    port: LocalEnginePort, gateway: Gateway, engine: Engine
) -> None:
    """What sessions ask reaches the engine in its order, and what they are told that gateway alone."""
    asked: list[Command] = [Attach(1, "anna", anonymous=False), *(Cancel(1, ref, "o") for ref in range(9))]
    for command in asked:
        await asyncio.to_thread(gateway.port.send, OrderCommands([command]))
    await until(lambda: len(engine.commands) == 10)
    ((number, _), *_) = engine.commands
    news = [OrderMessages([Failed(1, ref, "unknown_order", "no such order")]) for ref in range(9)]
    for one in news:
        port.send_orders(number, one)
        port.send_orders(f"{number}0", one)
    await until(lambda: len(gateway.received) == 10)

    assert engine.commands == [(number, command) for command in asked]
    assert gateway.received[1:] == news


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


async def test_dead_engine_fails_requests_and_is_found_again(tmp_path: Path, engine: Engine) -> None:
    """When the engine goes away requests fail at once; a new engine is found by itself, with its snapshot."""
    gateway = Gateway(tmp_path / "bus.sock")
    async with LocalEnginePort(tmp_path / "bus.sock", engine):
        await until(lambda: len(gateway.received) == 1)
    resets_before = gateway.resets
    await until(lambda: gateway.resets > resets_before)
    with pytest.raises(BusError):
        await asyncio.to_thread(gateway.port.request, GetTopic("venues", "btcusdt"))
    async with LocalEnginePort(tmp_path / "bus.sock", engine):
        await until(lambda: len(gateway.received) == 2)
        await asyncio.to_thread(gateway.close)

    assert all(isinstance(message, Snapshot) for message in gateway.received)
    assert engine.gone


async def test_silent_engine_is_given_up(tmp_path: Path) -> None:
    """An engine that accepts but says nothing is left after the silence limit."""
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(str(tmp_path / "bus.sock"))
        silent.listen()
        gateway = Gateway(tmp_path / "bus.sock", silence_s=0.1)
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
