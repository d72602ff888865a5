"""What we rely on inside engine.io, and the heartbeat that stands in its place."""

from __future__ import annotations

import inspect
from typing import Any

import engineio
import pytest
import socketio
from engineio.packet import MESSAGE, NOOP, OPEN, PING, PONG, UPGRADE, Packet
from engineio.socket import Socket
from flask import Flask
from flask_socketio import SocketIO
from socketio.packet import EVENT
from socketio.packet import Packet as SocketioPacket

from crypto_stream.gateway.delivery.frames import Frame
from crypto_stream.gateway.delivery.heartbeat import Heartbeat
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.session import ViewerSession
from crypto_stream.gateway.engineio_parts import fit, open_session, take_pings
from crypto_stream.gateway.viewer_server import ViewerPacket, ViewerServer


class Clock:
    """A clock set by the test."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class House:
    """A real engine.io server with a heartbeat, and its sessions."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.engine = engineio.Server(async_mode="threading", ping_interval=25, ping_timeout=20)
        self.heartbeat = Heartbeat(self.engine, self.clock)
        take_pings(self.engine, self.heartbeat.schedule)
        self.gone: list[tuple[str, str]] = []
        self.engine.on("disconnect", lambda sid, reason: self.gone.append((sid, reason)))

    def session(self, sid: str = "a") -> Any:
        """Open a session as engine.io does."""
        made = Socket(self.engine, sid)
        self.engine.sockets[sid] = made
        made.connected = True
        made.schedule_ping()
        return made

    def after(self, seconds: float) -> None:
        """Let time pass and beat."""
        self.clock.now += seconds
        self.heartbeat.beat()


def kinds(session: Any) -> list[int]:
    """Take what waits for the client, as packet types."""
    return [session.queue.get(block=False).packet_type for _ in range(session.queue.qsize())]


def test_the_slot_and_the_internals_are_as_we_know_them() -> None:
    """A new engine.io that changes any of this must be read again before it is used."""
    source = inspect.getsource(Socket)
    connect = inspect.getsource(engineio.Server._handle_connect)
    request = inspect.getsource(engineio.Server.handle_request)
    made = vars(Socket(engineio.Server(async_mode="threading"), "x"))

    assert engineio.Server(async_mode="threading")._async.keys() >= {"websocket", "thread", "queue"}
    assert "self.server._async['websocket'](\n            self._websocket_handler, self.server)" in source
    assert "self.server.start_background_task(self._send_ping)" in source
    assert "self.queue.put(pkt)" in source
    assert "self.queue.put(None)" in source
    assert "s.schedule_ping()" in connect
    assert "if self.start_service_task:" in connect
    assert "if isinstance(packets, list):" in request
    assert made.keys() >= {"queue", "last_ping", "connected", "upgrading", "upgraded", "closing", "closed"}
    assert (OPEN, PING, PONG, MESSAGE, UPGRADE, NOOP) == (0, 2, 3, 4, 5, 6)


def test_a_session_opens_as_engineio_opens_it() -> None:
    """The same handlers are called, the same is left behind, and the client is told the same."""
    house = House()
    told: list[dict[str, Any]] = []
    house.engine.on("connect", lambda _, environ: told.append(environ))
    sockets = house.engine.sockets
    theirs: Any = house.engine
    slot: list[Any] = []
    fit(house.engine, lambda handler, _: lambda *_: slot.append(handler.__self__))

    theirs._handle_connect(
        {"REMOTE_ADDR": "::1", "HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"}, None, "websocket"
    )
    ours, opened = open_session(house.engine, "::1")
    (stock,) = slot
    packet = stock.queue.get(block=False)

    assert list(sockets.values()) == [stock, ours]
    assert [environ["REMOTE_ADDR"] for environ in told] == ["::1", "::1"]
    assert ours.queue.qsize() == 0
    differing = {"sid", "queue"}
    assert {name: value for name, value in vars(ours).items() if name not in differing} == {
        name: value for name, value in vars(stock).items() if name not in differing
    }
    assert opened.decode() == packet.encode().replace(stock.sid, ours.sid)
    house.after(25.1)
    assert (kinds(stock), kinds(ours)) == ([PING], [PING])


def test_a_session_that_may_not_open_leaves_nothing() -> None:
    """A handler that fails is our fault, and told where it was called."""
    house = House()
    house.engine.on("connect", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        open_session(house.engine, "::1")

    assert house.engine.sockets == {}


def test_packets_are_written_by_msgspec_and_those_of_clients_as_ever() -> None:
    """The parameter `json` of Socket.IO would change both, where a server and a client share a process."""
    server = ViewerServer(Flask(__name__), async_mode="threading", serializer=ViewerPacket).server

    written = server.packet_class(EVENT, data=["say", {"a": [1.5, None, "\u00e9"]}]).encode()

    assert written == '2["say",{"a":[1.5,null,"\u00e9"]}]'
    assert SocketioPacket.json is engineio.json


def test_a_request_lives_where_we_trim_it() -> None:
    """python-socketio keeps the environ by engine.io's id, and hands it to who connects."""
    server = SocketIO(Flask(__name__), async_mode="threading").server

    server._handle_eio_connect("a", {"REMOTE_ADDR": "::1"})

    assert server.environ == {"a": {"REMOTE_ADDR": "::1"}}
    assert isinstance(server, socketio.Server)


def test_handlers_are_told_the_viewer() -> None:
    """They are called where Flask-SocketIO would make a request for them; what they raise is answered."""
    socketio = ViewerServer(Flask(__name__), async_mode="threading")
    told: list[tuple[object, ...]] = []

    def fail(*given: object) -> None:
        told.append(given)
        raise ValueError("broken")

    for name in ("connect", "ask", "disconnect"):
        socketio.on_event(name, lambda *given: told.append(given))
    socketio.on_event("fail", fail)
    socketio.on_error_default(str)
    trigger = socketio.server._trigger_event
    trigger("connect", "/", "a", {"REMOTE_ADDR": "::1"}, None)
    trigger("ask", "/", "a", 1, 2)
    answer = trigger("fail", "/", "a")
    trigger("disconnect", "/", "a", "client disconnect")

    assert told == [("a",), ("a", 1, 2), ("a",), ("a", "client disconnect")]
    assert answer == "broken"
    assert "return self._handle_event(handler, message, real_ns, sid," in inspect.getsource(SocketIO.on)


def test_a_frame_is_an_engineio_packet() -> None:
    """A polling viewer gets the same text."""
    frame = Frame('2["hello",1]')

    decoded = Packet(encoded_packet=frame.encode())

    assert (decoded.packet_type, decoded.data) == (MESSAGE, '2["hello",1]')
    assert frame.uncompressed[2:] == b'42["hello",1]'


def test_a_session_is_pinged_after_each_interval_it_answered() -> None:
    """No thread is started for it; an answer in time begins the next interval."""
    house = House()
    session = house.session()

    house.after(24.9)
    early = kinds(session)
    house.after(0.2)
    first = kinds(session)
    session.receive(Packet(PONG))
    session.receive(Packet(PONG))
    house.after(24)
    between = kinds(session)
    house.after(2)
    second = kinds(session)

    assert (early, first, between, second) == ([], [PING], [], [PING])
    assert house.gone == []
    assert house.engine.service_task_handle is None


def test_a_session_that_does_not_answer_is_ended() -> None:
    """After the ping's time-out, and it is forgotten."""
    house = House()
    house.session()

    house.after(25)
    house.after(19.9)
    before = list(house.gone)
    house.after(0.2)

    assert before == []
    assert house.gone == [("a", "ping timeout")]
    assert house.engine.sockets == {}


def test_a_session_that_ended_otherwise_is_forgotten_quietly() -> None:
    """Whether before its ping or after."""
    house = House()
    first, second = house.session("a"), house.session("b")

    first.close(wait=False)
    house.after(25)
    second.close(wait=False)
    house.after(20)

    assert [reason for _, reason in house.gone] == ["server disconnect"] * 2
    assert house.engine.sockets == {}


def test_who_is_behind_is_excused_twice() -> None:
    """Its ping waits with the rest; how long it may not read is told by the patience, not by the ping."""
    house = House()
    session = house.session()
    session.upgraded = True

    house.after(25)
    excused = []
    for _ in range(3):
        house.after(20)
        excused.append(list(house.gone))

    assert excused == [[], [], [("a", "ping timeout")]]


def test_other_tasks_of_the_engine_still_run() -> None:
    """Only the waiting for a ping is ours."""
    house = House()
    ran: list[int] = []

    house.engine.start_background_task(ran.append, 1).join()

    assert ran == [1]


@pytest.mark.parametrize(
    "name", ["put", "qsize", "join", "offer", "waiting", "polling", "pause_offers", "drop"]
)
def test_a_session_has_what_a_queue_and_a_pipe_need(name: str) -> None:
    """The parts of both that are used."""
    assert hasattr(ViewerSession, name)


def test_histograms_count_cumulatively() -> None:
    """As Prometheus wants them: each bucket holds all below."""
    counters = DeliveryMetrics()

    for seconds in (0.0005, 0.001, 0.3, 99.0):
        counters.latency(0, seconds)

    rows = dict(counters.latency_s[0].buckets())
    assert (rows["0.001"], rows["0.2"], rows["0.5"], rows["5.0"], rows["+Inf"]) == (2, 2, 3, 3, 4)
