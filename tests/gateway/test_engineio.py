"""What we rely on in engine.io's internals, and the heartbeat that replaces its own."""

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
from crypto_stream.gateway.engineio_parts import open_session, patch, take_pings
from crypto_stream.gateway.viewer_server import ViewerPacket, ViewerServer


class Clock:
    """A clock that the test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Harness:
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
        """Advance the clock and beat."""
        self.clock.now += seconds
        self.heartbeat.beat()


def kinds(session: Any) -> list[int]:
    """Take the queued packets; return their types."""
    return [session.queue.get(block=False).packet_type for _ in range(session.queue.qsize())]


def test_the_internals_are_unchanged() -> None:
    """If a new engine.io changes any of this, read its code before using it."""
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
    """The same handlers are called; the resulting session and the client's first packet are the same."""
    harness = Harness()
    told: list[dict[str, Any]] = []
    harness.engine.on("connect", lambda _, environ: told.append(environ))
    sockets = harness.engine.sockets
    theirs: Any = harness.engine
    slot: list[Any] = []
    patch(harness.engine, lambda handler, _: lambda *_: slot.append(handler.__self__))

    theirs._handle_connect(
        {"REMOTE_ADDR": "::1", "HTTP_CONNECTION": "Upgrade", "HTTP_UPGRADE": "websocket"}, None, "websocket"
    )
    ours, opened = open_session(harness.engine, "::1")
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
    harness.after(25.1)
    assert (kinds(stock), kinds(ours)) == ([PING], [PING])


def test_a_session_that_fails_to_open_leaves_nothing() -> None:
    """A failing handler is a bug of ours, and raised."""
    harness = Harness()
    harness.engine.on("connect", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        open_session(harness.engine, "::1")

    assert harness.engine.sockets == {}


def test_only_the_servers_packets_are_encoded_by_msgspec() -> None:
    """The parameter `json` of Socket.IO would change those of clients in the same process, too."""
    server = ViewerServer(Flask(__name__), async_mode="threading", serializer=ViewerPacket).server

    written = server.packet_class(EVENT, data=["say", {"a": [1.5, None, "\u00e9"]}]).encode()

    assert written == '2["say",{"a":[1.5,null,"\u00e9"]}]'
    assert SocketioPacket.json is engineio.json


def test_the_environ_is_kept_where_we_trim_it() -> None:
    """python-socketio stores it by engine.io's session id, and passes it to the `connect` handler."""
    server = SocketIO(Flask(__name__), async_mode="threading").server

    server._handle_eio_connect("a", {"REMOTE_ADDR": "::1"})

    assert server.environ == {"a": {"REMOTE_ADDR": "::1"}}
    assert isinstance(server, socketio.Server)


def test_handlers_are_called_with_the_viewer() -> None:
    """They are called where Flask-SocketIO would create a request; exceptions go to the error handler."""
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


def test_a_session_is_pinged_after_each_interval() -> None:
    """No thread is started for it; a pong in time starts the next interval."""
    harness = Harness()
    session = harness.session()

    harness.after(24.9)
    early = kinds(session)
    harness.after(0.2)
    first = kinds(session)
    session.receive(Packet(PONG))
    session.receive(Packet(PONG))
    harness.after(24)
    between = kinds(session)
    harness.after(2)
    second = kinds(session)

    assert (early, first, between, second) == ([], [PING], [], [PING])
    assert harness.gone == []
    assert harness.engine.service_task_handle is None


def test_a_session_that_does_not_answer_is_closed() -> None:
    """After the ping timeout; then it is removed."""
    harness = Harness()
    harness.session()

    harness.after(25)
    harness.after(19.9)
    before = list(harness.gone)
    harness.after(0.2)

    assert before == []
    assert harness.gone == [("a", "ping timeout")]
    assert harness.engine.sockets == {}


def test_a_session_that_was_closed_otherwise_is_removed() -> None:
    """Whether before its ping or after."""
    harness = Harness()
    first, second = harness.session("a"), harness.session("b")

    first.close(wait=False)
    harness.after(25)
    second.close(wait=False)
    harness.after(20)

    assert [reason for _, reason in harness.gone] == ["server disconnect"] * 2
    assert harness.engine.sockets == {}


def test_a_slow_session_is_exempt_twice() -> None:
    """Its ping is queued behind other frames; how long it may be slow is limited elsewhere."""
    harness = Harness()
    session = harness.session()
    session.upgraded = True

    harness.after(25)
    excused = []
    for _ in range(3):
        harness.after(20)
        excused.append(list(harness.gone))

    assert excused == [[], [], [("a", "ping timeout")]]


def test_other_tasks_of_the_engine_still_run() -> None:
    """Only the ping threads are replaced."""
    harness = Harness()
    ran: list[int] = []

    harness.engine.start_background_task(ran.append, 1).join()

    assert ran == [1]


@pytest.mark.parametrize(
    "name", ["put", "qsize", "join", "offer", "waiting", "polling", "pause_offers", "drop"]
)
def test_a_session_has_what_a_queue_and_a_pipe_need(name: str) -> None:
    """Those of their methods that are used."""
    assert hasattr(ViewerSession, name)


def test_histograms_count_cumulatively() -> None:
    """As Prometheus expects: each bucket includes all smaller ones."""
    counters = DeliveryMetrics()

    for seconds in (0.0005, 0.001, 0.3, 99.0):
        counters.latency(0, seconds)

    rows = dict(counters.latency_s[0].buckets())
    assert (rows["0.001"], rows["0.2"], rows["0.5"], rows["5.0"], rows["+Inf"]) == (2, 2, 3, 3, 4)
