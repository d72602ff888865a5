"""What a viewer may send as an event, and the names reserved by Socket.IO."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import socketio
from engineio.socket import Socket
from socketio.packet import Packet

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.packets import PacketError
from crypto_stream.gateway.events import Events, check_event
from crypto_stream.log_throttle import LogThrottle
from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, running
from tests.gateway.raw import Raw, raw, text

KNOWN = ("subscribe", "unsubscribe")
RESERVED = [
    "connect",
    "disconnect",
    "connect_error",
    "hello",
    "error",
    "message",
    "*",
    "__disconnect_final",
    "",
]
NAMELESS: list[Any] = [None, {}, [], [1, 2], [None], [["subscribe"]], [{"a": 1}], [True], "subscribe"]
TRANSPORTS = pytest.mark.parametrize("transport", ["websocket", "polling"])
pytestmark = pytest.mark.asyncio(loop_scope="module")


class WebSocketClient:
    """A viewer on a WebSocket that sends packets as they are written here."""

    def __init__(self, client: Raw) -> None:
        self._wire = client

    async def say(self, *messages: str) -> None:
        """Send engine.io messages."""
        await self._wire.send(b"".join(text(one) for one in messages))

    async def until(self, start: str) -> str:
        """Read messages until one starts like this."""
        return await self._wire.until(start)


class PollingClient:
    """The same by polling."""

    def __init__(self, http: httpx.AsyncClient, path: str) -> None:
        self._http = http
        self._path = path
        self._come: list[str] = []

    async def say(self, *messages: str) -> None:
        """Send engine.io messages."""
        answer = await self._http.post(self._path, content="\x1e".join(messages))
        assert answer.status_code == 200

    async def until(self, start: str) -> str:
        """Read messages until one begins so."""
        while True:
            while not self._come:
                self._come = (await self._http.get(self._path)).text.split("\x1e")
            message = self._come.pop(0)
            if message.startswith(start):
                return message


@asynccontextmanager
async def joined(gateway: Gateway, transport: str) -> AsyncIterator[WebSocketClient | PollingClient]:
    """Join the default namespace over a transport, and read until `hello`."""
    async with raw(gateway.url) as client:
        viewer: WebSocketClient | PollingClient
        if transport == "websocket":
            await client.open()
            viewer = WebSocketClient(client)
        else:
            path = "/socket.io/?EIO=4&transport=polling"
            opened = json.loads((await gateway.http.get(path)).text[1:])
            viewer = PollingClient(gateway.http, f"{path}&sid={opened['sid']}")
        await viewer.say("40")
        await viewer.until('42["hello"')
        yield viewer
        await viewer.say("1")


async def acknowledged(viewer: WebSocketClient | PollingClient, data: object) -> Any:
    """Send an event that requests an acknowledgement, and return that."""
    await viewer.say("427" + json.dumps(data))
    return json.loads((await viewer.until("437["))[3:])[0]


@TRANSPORTS
async def test_a_name_reserved_by_socketio_is_an_unknown_event(gateway: Gateway, transport: str) -> None:
    """Whatever handler the server has under it: the viewer stays connected."""
    async with joined(gateway, transport) as viewer:
        for name in RESERVED:
            await viewer.say(f"42{json.dumps([name])}")
        answers = [await acknowledged(viewer, [name, {}]) for name in RESERVED]
        subscribed = await acknowledged(viewer, ["subscribe", {"symbols": "all"}])

    assert {(one["ok"], one["code"]) for one in answers} == {(False, "unknown_event")}
    assert subscribed["ok"]


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_pretending_to_leave_makes_no_room_for_more_viewers(bus: Path, server: str) -> None:
    """The limit holds however many reserved events the viewers send."""
    async with Engine(bus), running(bus, server=server, max_viewers=1) as gateway:
        await gateway.ready()
        async with joined(gateway, "websocket") as first, raw(gateway.url) as second:
            for name in RESERVED:
                await first.say(f"42{json.dumps([name])}")
            subscribed = await acknowledged(first, ["subscribe", {"symbols": "all"}])
            viewers = await gateway.metric("crypto_stream_viewers")
            refused = await second.open(text("40"))

    assert subscribed["ok"]
    assert viewers == 1
    assert refused.startswith("HTTP/1.1 503 ")


@TRANSPORTS
async def test_an_event_without_a_name_is_a_bad_payload(gateway: Gateway, transport: str) -> None:
    """It is the client's error, reported if it requests an acknowledgement, and its connection stays."""
    async with joined(gateway, transport) as viewer:
        for data in NAMELESS:
            await viewer.say("42" + json.dumps(data))
        answers = [await acknowledged(viewer, data) for data in NAMELESS]
        subscribed = await acknowledged(viewer, ["subscribe", {"symbols": "all"}])

    assert {(one["ok"], one["code"]) for one in answers} == {(False, "bad_payload")}
    assert subscribed["ok"]


@pytest.mark.parametrize(
    ("data", "code"),
    [
        *((data, "bad_payload") for data in NAMELESS),
        *(([name, {}], "unknown_event") for name in (*RESERVED, "\ud800", "x" * 60000)),
        (["subscribe"], None),
        (["unsubscribe", 1, 2], None),
    ],
)
async def test_only_known_events_are_accepted(data: object, code: str | None) -> None:
    """Everything else has a code and a short reason."""
    refused = check_event(KNOWN, data)

    assert (refused and refused["code"]) == code
    assert refused is None or (refused["ok"] is False and 0 < len(refused["reason"]) < 300)


class Server:
    """A real Socket.IO server with our events, without a network; it records what it sends."""

    def __init__(self, *, rate: int = 1_000, takes: bool = True) -> None:
        self.called: list[tuple[Any, ...]] = []
        self.sent: list[Packet] = []
        self.now = 0.0
        self.counters = DeliveryMetrics()
        self.server = socketio.Server(async_mode="threading", async_handlers=False)
        self.server.on("subscribe", lambda *given: self.called.append(given[1:]))
        self.server.on("disconnect", lambda *given: self.called.append(("left", *given)))
        Events(
            *(self.server, KNOWN, self.counters),
            rate=rate,
            takes=lambda _viewer: takes,
            admits=lambda _session: True,
            joined=lambda _viewer: None,
            clock=lambda: self.now,
        )
        self.server.eio.send = self._send
        self.connection: Any = Socket(self.server.eio, "a")
        self.server.eio.sockets["a"] = self.connection
        self.server.eio.handlers["connect"]("a", {})
        self.connection.sender.take("0")
        self.sent.clear()

    def _send(self, _session: str, message: Any) -> None:
        self.sent.append(Packet(encoded_packet=message))


@pytest.mark.parametrize("takes", [True, False])
async def test_every_event_packet_is_checked(takes: bool) -> None:
    """Only known events reach a handler of python-socketio."""
    made = Server(takes=takes)
    for message in ('21["disconnect"]', '2["subscribe",5]', '22["connect",{}]', "23[", '2["*"]'):
        made.connection.sender.take(message)

    assert made.called == [(5,)]
    assert [(one.id, one.data[0]["code"]) for one in made.sent] == [
        (1, "unknown_event"),
        (2, "unknown_event"),
        (3, "bad_payload"),
    ] * takes


async def test_events_are_rate_limited_by_number_and_by_size() -> None:
    """A second's worth at once; then each one is refused until there is room again."""
    made = Server(rate=10)
    sender = made.connection.sender
    ask = '27["subscribe",{}]'

    first = [sender.admits(ask, busy=False) for _ in range(12)]
    made.now += 0.15
    again = [sender.admits(ask, busy=False) for _ in range(2)]
    made.now += 1.0
    large = [sender.admits(ask + "x" * 9 * 1024, busy=False) for _ in range(2)]
    made.now += 1.0
    busy = sender.admits(ask, busy=True)

    assert first == [True] * 10 + [False] * 2
    assert (again, large, busy) == ([True, False], [True, False], False)
    assert {(one.id, one.data[0]["code"]) for one in made.sent} == {(7, "rate_limited")}
    assert len(made.sent) == made.counters.refused_events["rate_limited"] == 5


async def test_a_client_that_exceeds_the_rate_for_long_is_disconnected() -> None:
    """After a thousand refusals within ten seconds."""
    sender = Server(rate=1).connection.sender
    for _ in range(1_000):
        sender.admits("2[]", busy=False)

    with pytest.raises(PacketError) as ended:
        sender.admits("2[]", busy=False)

    assert ended.value.close_code == 1008


async def test_each_kind_of_trouble_is_logged_once_a_minute() -> None:
    """However often a viewer causes it; the number of remembered kinds is bounded."""
    now = [5.0]
    throttle = LogThrottle(60.0, lambda: now[0])

    first = [throttle.due(kind) for kind in ("a", "a", "b", "a")]
    now[0] += 59.9
    early = throttle.due("a")
    now[0] += 0.2
    later = [throttle.due("a"), throttle.due("a")]
    many = sum(throttle.due(str(number)) for number in range(5000))

    assert (first, early, later, many) == ([True, False, True, False], False, [True, False], 5000)
    assert len(throttle._next) <= 1000
