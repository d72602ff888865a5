"""Relays that die, hang, lose everything or come back empty; ends that are cut off or replaced.

Each is a real server; what stands between may cut, stall or lose. Nothing is asserted about times.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.messages import Beat, GetTopic, Quotes, Snapshot, TopicUpdate, Watch
from crypto_stream.bus.orders import Attach, Failed, OrderCommands, OrderMessages
from crypto_stream.bus.redis.engine import RedisEnginePort
from crypto_stream.bus.redis.envelope import Channels
from tests.bus.ends import Engine, Gateway, RedisBus, joined, serving
from tests.bus.wire import Wire
from tests.redis_server import RedisServer, url
from tests.waiting import DEADLINE_S, SCALE, until

pytestmark = pytest.mark.timeout(120 * SCALE)


class Ticking:
    """Publishes `Quotes` whose `seq` counts up, twenty times a second."""

    def __init__(self, port: RedisEnginePort) -> None:
        self.port = port
        self.seq = 0

    async def run(self) -> None:
        """Count for ever."""
        while True:
            self.seq += 1
            self.port.publish(Quotes(self.seq, []))
            await asyncio.sleep(0.05)


class Setup:
    """An engine that ticks, and a gateway."""

    def __init__(self, engine: Engine, ticking: Ticking, gateway: Gateway) -> None:
        self.engine = engine
        self.ticking = ticking
        self.gateway = gateway

    async def goes_on(self) -> None:
        """Wait until the gateway has what is published from now on, and is answered."""
        newest = self.ticking.seq
        await until(lambda: (seqs := self.gateway.seqs()) and seqs[-1] > newest, 3 * DEADLINE_S)
        await until(self._answered)

    def _answered(self) -> bool:
        return self.gateway.port.figures().relay is not None

    def gapless_since(self, count: int) -> bool:
        """Return whether the quotes received after the first `count` messages follow each other."""
        seqs = [message.seq for message in self.gateway.received[count:] if isinstance(message, Quotes)]
        return seqs == list(range(seqs[0], seqs[0] + len(seqs))) if seqs else True


def reasons(caplog: pytest.LogCaptureFixture) -> str:
    """Return all reasons that were logged."""
    return "\n".join(getattr(record, "reason", "") for record in caplog.records)


@asynccontextmanager
async def _setup(bus: RedisBus) -> AsyncIterator[Setup]:
    engine = Engine()
    async with serving(bus, engine) as port, joined(bus) as gateway, asyncio.TaskGroup() as tasks:
        assert isinstance(port, RedisEnginePort)
        ticking = Ticking(port)
        task = tasks.create_task(ticking.run())
        setup = Setup(engine, ticking, gateway)
        await until(lambda: len(gateway.seqs()) > 2)
        yield setup
        task.cancel()


@pytest.fixture
async def setup(server: RedisServer) -> AsyncIterator[Setup]:
    """Run over one relay."""
    async with _setup(RedisBus(server.url())) as setup:
        yield setup


@pytest.fixture
async def setup_of_two(server: RedisServer, other_server: RedisServer) -> AsyncIterator[Setup]:
    """Run over two relays; the gateway begins at the first."""
    async with _setup(RedisBus(f"{server.url()},{other_server.url()}")) as setup:
        await until(lambda: setup.gateway.port.figures().relays_up == 2)
        yield setup


async def test_a_relay_that_comes_back_empty_is_used_again(setup: Setup, server: RedisServer) -> None:
    """It knows nothing, and need not: everybody joins anew, and a snapshot brings what was missed."""
    before = len(setup.gateway.all(Snapshot))
    server.kill()
    await until(lambda: setup.gateway.losses)
    server.start()
    await setup.goes_on()

    assert len(setup.gateway.all(Snapshot)) > before
    assert setup.engine.gone


@pytest.fixture
async def used(setup_of_two: Setup, server: RedisServer, other_server: RedisServer) -> RedisServer:
    """Return the relay that the gateway uses."""
    relay = setup_of_two.gateway.port.figures().relay
    return server if relay == f"127.0.0.1:{server.port}" else other_server


async def test_a_dead_relay_is_replaced_by_the_other(setup_of_two: Setup, used: RedisServer) -> None:
    """The gateway goes there by itself; what it missed is in the snapshot; its figures say where it is."""
    setup, figures = setup_of_two, setup_of_two.gateway.port.figures
    first = figures().relay
    used.kill()
    await until(lambda: setup.gateway.losses)
    await setup.goes_on()
    await until(lambda: figures().relays_up == 1)
    answer = await asyncio.to_thread(setup.gateway.port.request, GetTopic("venues", "btcusdt"))

    assert answer
    assert figures().relay not in (None, first)
    assert figures().relays == 2


async def test_a_relay_that_hangs_is_replaced_by_the_other(setup_of_two: Setup, used: RedisServer) -> None:
    """Its connections stay open; silence gives it away."""
    first = setup_of_two.gateway.port.figures().relay
    used.pause()
    await until(lambda: setup_of_two.gateway.losses)
    await setup_of_two.goes_on()

    assert setup_of_two.gateway.port.figures().relay not in (None, first)
    used.resume()
    await until(lambda: setup_of_two.gateway.port.figures().relays_up == 2)


async def test_a_relay_that_pauses_loses_nothing(setup: Setup, server: RedisServer) -> None:
    """After a short pause everything comes at once: no reset, no snapshot, no hole."""
    server.pause()
    before = setup.ticking.seq
    await until(lambda: setup.ticking.seq > before + 5)
    server.resume()
    await setup.goes_on()

    assert setup.gapless_since(1)
    assert setup.gateway.losses == 0
    assert len(setup.gateway.all(Snapshot)) == 1


async def test_all_relays_dead_then_back(
    setup_of_two: Setup, server: RedisServer, other_server: RedisServer
) -> None:
    """Whichever comes back first is used; requests fail meanwhile instead of hanging."""
    server.kill()
    other_server.kill()
    await until(lambda: setup_of_two.gateway.port.figures().relay is None)
    other_server.start()
    await setup_of_two.goes_on()

    assert setup_of_two.gateway.port.figures().relay == f"127.0.0.1:{other_server.port}"


async def test_clients_that_the_relay_cuts_join_anew(setup: Setup, server: RedisServer) -> None:
    """As Redis does with those whose buffer is too long, engine and gateways alike."""
    server.command("CLIENT", "KILL", "TYPE", "pubsub")
    await until(lambda: setup.gateway.losses)
    await setup.goes_on()

    assert setup.engine.gone


@pytest.mark.parametrize("fault", ["cut", "lose"])
async def test_an_engine_cut_off_from_its_relay(server: RedisServer, fault: str) -> None:
    """The gateway, which still has its own connection, joins as soon as the engine is back."""
    async with Wire(server.port) as wire, _setup(RedisBus(url(wire.port), server.url())) as setup:
        getattr(wire, fault)()
        await until(lambda: setup.gateway.losses)
        wire.resume()
        await setup.goes_on()

        assert setup.engine.gone


@pytest.mark.parametrize("fault", ["cut", "lose"])
async def test_a_gateway_cut_off_from_one_relay_goes_to_the_other(
    server: RedisServer, other_server: RedisServer, fault: str
) -> None:
    """Half-open or cut: silence or the end of the connection tells."""
    async with Wire(server.port) as wire:
        engine_urls = f"{server.url()},{other_server.url()}"
        async with _setup(RedisBus(engine_urls, f"{url(wire.port)},{other_server.url()}")) as setup:
            getattr(wire, fault)()
            await until(lambda: setup.gateway.losses)
            await setup.goes_on()

            assert setup.gateway.port.figures().relay == f"127.0.0.1:{other_server.port}"


async def test_a_stalled_wire_loses_nothing(server: RedisServer) -> None:
    """What was sent meanwhile arrives, in its order."""
    async with Wire(server.port) as wire, _setup(RedisBus(server.url(), url(wire.port))) as setup:
        wire.stall()
        before = setup.ticking.seq
        await until(lambda: setup.ticking.seq > before + 5)
        wire.resume()
        await setup.goes_on()

        assert setup.gapless_since(1)
        assert setup.gateway.losses == 0


async def test_bytes_may_come_one_by_one(server: RedisServer) -> None:
    """However the network cuts what is sent, both ends understand it."""
    async with Wire(server.port, piece=1) as wire, _setup(RedisBus(url(wire.port))) as setup:
        await setup.goes_on()

        assert setup.gapless_since(1)


async def test_a_newer_engine_takes_over_and_the_older_one_is_silent(
    setup: Setup, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Two engines under one name: the one started later is heard, the other says so and publishes nothing.

    When that one ends, the older one is heard again.
    """
    newer = Engine()
    async with serving(RedisBus(server.url()), newer) as port:
        await until(lambda: newer.snapshots > 1)
        count = len(setup.gateway.received)
        port.publish(Quotes(-1, []))
        await until(lambda: -1 in setup.gateway.seqs())
        heard = [message for message in setup.gateway.received[count:] if isinstance(message, Quotes)]

        assert {message.seq for message in heard} == {-1}
        assert "another engine publishes under the same name" in caplog.text
    await setup.goes_on()

    assert "publishes again" in caplog.text


async def test_a_gateway_that_is_too_slow_drops_its_backlog(setup: Setup, server: RedisServer) -> None:
    """It joins anew, with a snapshot, rather than to show older and older prices; others do not wait."""
    slow = Gateway(RedisBus(server.url()).gateway(), pause=lambda: time.sleep(0.2))
    try:
        await until(lambda: len(slow.all(Snapshot)) > 1, 5 * DEADLINE_S)
        await setup.goes_on()

        assert slow.resets
        assert setup.gateway.losses == 0
        assert setup.gapless_since(1)
    finally:
        await asyncio.to_thread(slow.close)


async def test_a_relay_that_is_behind_gets_one_snapshot(server: RedisServer) -> None:
    """While it does not read, state and topics are skipped; when it has caught up the newest replace them."""
    bus, engine = RedisBus(server.url()), Engine()
    bulky = Beat(0, [], "x" * 1_000_000, 0.0)
    async with serving(bus, engine) as port, joined(bus) as gateway:
        await until(lambda: gateway.received)
        await asyncio.to_thread(gateway.port.request, Watch({"venues": ["btcusdt"]}))
        watching = list(engine.watching)
        port.send_topic(watching, _update(1))
        server.pause()
        for _ in range(40):
            port.publish(bulky)
        for version in (2, 3):
            port.send_topic(watching, _update(version))
        server.resume()
        await until(lambda: len(gateway.all(Snapshot)) == 2)
        port.publish(Quotes(1, []))
        port.send_topic(watching, _update(4))
        await until(lambda: gateway.seqs() == [1])
        await until(lambda: _versions(gateway)[-1:] == [4])

        assert len(gateway.all(Beat)) < 40
        assert _versions(gateway) == [1, 3, 4]
        assert gateway.port.figures().holes == 1
        assert gateway.losses == 0


def _update(version: int) -> TopicUpdate:
    return TopicUpdate("venues", "btcusdt", version, encode_value("x"))


def _versions(gateway: Gateway) -> list[int]:
    return [each.version for each in gateway.all(TopicUpdate)]


async def test_order_messages_wait_at_their_sender_while_the_relay_does_not_read(server: RedisServer) -> None:
    """Past the bound the bus says so, and says when to go on; nothing is lost."""
    bus, engine = RedisBus(server.url()), Engine()
    async with serving(bus, engine, max_unsent=100_000) as port, joined(bus) as gateway:
        await until(lambda: gateway.received)
        gateway.port.send(OrderCommands([Attach(7, "anna", anonymous=False)]))
        await until(lambda: engine.commands)
        ((name, _),) = engine.commands
        messages = OrderMessages([Failed(7, 0, "unknown_order", "x" * 50_000)])
        server.pause()
        sent = 1
        while port.send_orders(name, messages) and sent < 1_000:
            sent += 1
            await asyncio.sleep(0)
        waited = list(engine.drained_gateways)
        server.resume()
        await until(lambda: engine.drained_gateways)
        await until(lambda: len(gateway.all(OrderMessages)) == sent)

        assert sent < 1_000
        assert not waited
        assert engine.drained_gateways == [name]
        assert port.send_orders(name, messages)


async def test_invalid_messages_on_the_channels_harm_nobody(
    setup: Setup, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody who may publish sends what is no message of ours to the engine."""
    channels = Channels("test")
    for channel in (channels.engine, channels.term):
        for text in ("", "x", "x" * 33, "x" * 200):
            server.command("PUBLISH", channel.decode(), text)
    await setup.goes_on()

    assert setup.gateway.losses == 0
    assert setup.gapless_since(1)
    assert "invalid message on the bus" in caplog.text


async def test_another_server_on_the_port_is_no_relay(
    other_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """One that never answers, or with something else: the other relay is used, the log says why."""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await reader.read()
        writer.close()

    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        async with await asyncio.start_server(greet, "127.0.0.1", 0) as mail:
            ports = [silent.getsockname()[1], mail.sockets[0].getsockname()[1]]
            bus = RedisBus(",".join([*map(url, ports), other_server.url()]))
            async with _setup(bus) as setup:
                await setup.goes_on()
                await until(lambda: "this is no Redis server" in reasons(caplog))
                await until(lambda: "it does not answer" in reasons(caplog))


async def test_installations_on_one_relay_do_not_hear_each_other(server: RedisServer) -> None:
    """Each has its name."""
    one, two = RedisBus(server.url("one")), RedisBus(server.url("two"))
    engine, other = Engine(), Engine()
    async with (
        serving(one, engine) as port,
        serving(two, other),
        joined(one) as gateway,
        joined(two) as guest,
    ):
        await until(lambda: gateway.received and guest.received)
        port.publish(Quotes(1, []))
        await until(lambda: gateway.seqs() == [1])
        await asyncio.to_thread(guest.port.request, GetTopic("venues", "btcusdt"))

        assert guest.seqs() == []
