"""What holds of every bus: real sockets, real servers, the blocking gateway end in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import msgspec
import pytest

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.interface import EnginePort
from crypto_stream.bus.messages import GetHistory, GetTopic, Pin, Quotes, Snapshot, TopicUpdate, Watch
from crypto_stream.bus.orders import Attach, Cancel, Command, Failed, OrderCommands, OrderMessages
from crypto_stream.errors import BusError, RefusedError
from tests.bus.ends import Bus, Engine, Gateway, joined, serving
from tests.waiting import DEADLINE_S, SCALE, until


@pytest.fixture
async def engine() -> Engine:
    return Engine()


@pytest.fixture
async def port(bus: Bus, engine: Engine) -> AsyncIterator[EnginePort]:
    async with serving(bus, engine) as port:
        yield port


@pytest.fixture
async def gateway(bus: Bus, port: EnginePort) -> AsyncIterator[Gateway]:
    async with joined(bus) as gateway:
        await until(lambda: gateway.received)
        yield gateway


async def test_snapshot_comes_first_then_changes(port: EnginePort, gateway: Gateway) -> None:
    """A gateway gets the whole state first, then each change in order."""
    for seq in range(10):
        port.publish(Quotes(seq, []))
    await until(lambda: len(gateway.received) == 11)

    assert isinstance(gateway.received[0], Snapshot)
    assert gateway.seqs() == [*range(10)]


async def test_who_misses_nothing_is_sent_no_second_snapshot(
    bus: Bus, port: EnginePort, gateway: Gateway
) -> None:
    """Another gateway that joins gets the state; those that have it go on."""
    async with joined(bus) as other:
        await until(lambda: other.received)
        port.publish(Quotes(1, []))
        await until(lambda: other.seqs() == gateway.seqs() == [1])

    assert len(gateway.all(Snapshot)) == 1


async def test_answers_and_refusals_come_back(gateway: Gateway) -> None:
    """A request is answered with its value, or with the code and reason of its refusal."""
    answer = await asyncio.to_thread(gateway.port.request, GetTopic("venues", "btcusdt"))
    with pytest.raises(RefusedError) as refusal:
        await asyncio.to_thread(gateway.port.request, Pin("nowhere"))

    assert msgspec.msgpack.decode(answer) == {"symbol": "btcusdt"}
    assert refusal.value.code == "unknown_source"
    assert str(refusal.value) == "no source nowhere"


async def test_orders_and_short_questions_overtake_slow_ones(gateway: Gateway, engine: Engine) -> None:
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
        await asyncio.to_thread(gateway.port.request, GetHistory("btcusdt"), 2.0)

    assert engine.given_up == 1


async def test_order_commands_and_messages_keep_their_order(
    port: EnginePort, gateway: Gateway, engine: Engine
) -> None:
    """What sessions ask reaches the engine in its order, and what they are told that gateway alone."""
    asked: list[Command] = [Attach(1, "anna", anonymous=False), *(Cancel(1, ref, "o") for ref in range(9))]
    for command in asked:
        await asyncio.to_thread(gateway.port.send, OrderCommands([command]))
    await until(lambda: len(engine.commands) == 10)
    ((number, _), *_) = engine.commands
    messages = [OrderMessages([Failed(1, ref, "unknown_order", "no such order")]) for ref in range(9)]
    for one in messages:
        port.send_orders(number, one)
        port.send_orders(f"{number}0", one)
    await until(lambda: len(gateway.received) == 10)

    assert engine.commands == [(number, command) for command in asked]
    assert gateway.received[1:] == messages


async def test_topics_reach_the_gateways_that_watch_them(
    bus: Bus, port: EnginePort, gateway: Gateway, engine: Engine
) -> None:
    """An update goes to those that the engine names, which asked for the key; not any more afterwards."""

    def update(version: int, key: str) -> TopicUpdate:
        return TopicUpdate("venues", key, version, encode_value("x"))

    async with joined(bus) as other:
        await until(lambda: other.received)
        await asyncio.to_thread(gateway.port.request, Watch({"venues": ["btcusdt", "ethusdt"]}))
        (name,) = engine.watching
        await asyncio.to_thread(other.port.request, Watch({"venues": ["ethusdt"]}))
        (name_of_other,) = engine.watching.keys() - {name}
        port.send_topic([name], update(1, "btcusdt"))
        port.send_topic([name, name_of_other, "somebody who has left"], update(2, "ethusdt"))
        await until(lambda: len(gateway.all(TopicUpdate)) == 2)
        await asyncio.to_thread(gateway.port.request, Watch({}))
        port.send_topic([name_of_other], update(3, "ethusdt"))
        port.publish(Quotes(1, []))
        await until(lambda: other.seqs() == gateway.seqs() == [1])

        assert [each.version for each in gateway.all(TopicUpdate)] == [1, 2]
        assert [each.version for each in other.all(TopicUpdate)] == [2, 3]


async def test_a_gateway_that_leaves_is_forgotten(
    bus: Bus, port: EnginePort, gateway: Gateway, engine: Engine
) -> None:
    """The engine is told which one it was, and others are not affected."""
    async with joined(bus) as other:
        await until(lambda: other.received)
        other.port.send(OrderCommands([Attach(1, "anna", anonymous=False)]))
        await until(lambda: engine.commands)
    ((name, _),) = engine.commands
    await until(lambda: name in engine.gone)
    port.publish(Quotes(1, []))
    await until(lambda: gateway.seqs() == [1])

    assert engine.gone == [name]
    assert gateway.losses == 0


async def test_dead_engine_fails_requests_and_is_found_again(bus: Bus, engine: Engine) -> None:
    """When the engine goes away requests fail at once; a new engine is found by itself, with its snapshot."""
    async with joined(bus) as gateway:
        async with serving(bus, engine):
            await until(lambda: len(gateway.received) == 1)
        resets_before = gateway.resets
        await until(lambda: gateway.resets > resets_before)
        with pytest.raises(BusError):
            await asyncio.to_thread(gateway.port.request, GetTopic("venues", "btcusdt"))
        async with serving(bus, engine):
            await until(lambda: len(gateway.received) == 2)

        assert all(isinstance(message, Snapshot) for message in gateway.received)
        assert engine.gone


async def test_a_request_that_fails_harms_no_other_gateway(
    bus: Bus, port: EnginePort, gateway: Gateway, caplog: pytest.LogCaptureFixture
) -> None:
    """An error in the engine ends the connection of the gateway that asked; the engine goes on."""
    async with joined(bus) as other:
        await until(lambda: other.received)
        resets_before = other.resets
        with pytest.raises(BusError):
            await asyncio.to_thread(other.port.request, GetTopic("venues", "broken"), 1.0 * SCALE)
        await until(lambda: other.resets > resets_before)
        await until(lambda: len(other.all(Snapshot)) == 2)
        port.publish(Quotes(1, []))
        await until(lambda: gateway.seqs() == other.seqs() == [1])

    assert gateway.losses == 0
    assert "ZeroDivisionError" in caplog.text


async def test_a_gateway_says_how_it_is_connected(gateway: Gateway) -> None:
    """Its figures name what it is connected through, and count; the engine is connected to all relays."""
    figures = gateway.port.figures
    await until(lambda: figures().relays == figures().relays_up)

    assert figures().relay is not None
    assert (figures().joins, figures().holes) == (1, 0)
