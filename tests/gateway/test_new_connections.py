"""Connections that have not sent a request yet, on real sockets and a hub controlled by the test."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http.connections import ANSWER_S, Connections
from crypto_stream.gateway.http.new_connections import (
    HEAD_S,
    IDLE_S,
    NewConnection,
    NewConnections,
    RequestConnection,
)
from tests.gateway.websocket_pair import Hub

PEER = ("127.0.0.1", 4711)
GET = b"GET / HTTP/1.1\r\n\r\n"
JOIN = b"GET /join HTTP/1.1\r\n\r\n"
BEGUN = b"GET / HT"


class DeferringHub(Hub):
    """A hub whose green threads run only when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Callable[[], None]] = []

    def spawn(self, call: Callable[[], None]) -> None:
        self.spawned.append(call)

    def run(self) -> None:
        """Run the green threads, and those that they start."""
        while self.spawned:
            self.spawned.pop(0)()


class Harness:
    """New connections: those that send `JOIN` join, the others are served."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hub = DeferringHub()
        self.connections = Connections(10, DeliveryMetrics(), lambda: 0, lambda: self.now)
        self.new_connections = NewConnections(
            *(socket.AF_UNIX, self.hub, self.connections, self._join, self._serve), lambda: self.now
        )
        self.joined: list[socket.socket] = []
        self.served: list[tuple[bytes, object]] = []
        self.head_until: float | None = None
        self.clients: list[socket.socket] = []

    def connect(self, first: bytes = b"") -> socket.socket:
        """Connect, send `first`, and return the client's end."""
        ours, client = socket.socketpair()
        self.clients.append(client)
        client.settimeout(10)
        client.sendall(first)
        self.new_connections.take(ours.detach(), PEER)
        return client

    def turn(self) -> None:
        """Let the hub and all green threads do what there is to do."""
        self.hub.turn()
        self.hub.run()

    def _join(self, connection: NewConnection) -> bool:
        if connection.received != JOIN:
            return False
        self.joined.append(socket.socket(fileno=connection.detach_descriptor()))
        return True

    def _serve(self, request: RequestConnection) -> None:
        self.served.append((request.received, request.peer))
        self.head_until = request.head_until
        request.socket.sendall(b"served")
        request.entry.remove()


@pytest.fixture
def harness() -> Iterator[Harness]:
    made = Harness()
    yield made
    for each in (*made.new_connections.silent, *made.new_connections.unfinished):
        each.end()
    for one in (*made.clients, *made.joined):
        one.close()


@pytest.mark.parametrize("at_once", [True, False])
def test_connections_join_or_are_served(harness: Harness, at_once: bool) -> None:
    """Whether their first bytes have arrived when they are accepted, or arrive later."""
    said = (JOIN, GET)
    clients = [harness.connect(first if at_once else b"") for first in said]
    waited = harness.connections.open
    if not at_once:
        for client, first in zip(clients, said, strict=True):
            client.sendall(first)
        harness.hub.turn()
    harness.hub.run()
    harness.joined[0].sendall(b"joined")

    assert waited == 2
    assert [client.recv(10) for client in clients] == [b"joined", b"served"]
    assert clients[1].recv(10) == b""
    assert harness.served == [(said[1], PEER)]
    assert harness.connections.open == 0
    assert not harness.hub.watched(selectors.EVENT_READ)


def test_an_idle_connection_is_closed(harness: Harness) -> None:
    """A later one is not closed yet."""
    old = harness.connect()
    harness.now = 1.0
    new = harness.connect()

    harness.now = IDLE_S
    harness.new_connections.sweep()
    new.sendall(JOIN)
    harness.hub.turn()
    harness.hub.run()

    assert old.recv(10) == b""
    assert len(harness.joined) == 1
    assert harness.connections.open == 0


def test_a_client_that_hangs_up_at_once_is_removed(harness: Harness) -> None:
    """It neither joins nor is served."""
    harness.connect().close()
    harness.hub.turn()
    harness.hub.run()

    assert (harness.connections.open, harness.served, harness.joined) == (0, [], [])
    assert not harness.hub.watched(selectors.EVENT_READ)


def test_clients_that_hang_up_together_are_removed_round_robin(harness: Harness) -> None:
    """The hub only queues them: it would otherwise serve nobody else until the last one is closed."""
    for client in [harness.connect() for _ in range(5)]:
        client.close()

    harness.hub.turn()
    queued = harness.connections.open
    harness.hub.run()

    assert queued == 5
    assert harness.connections.open == 0


@pytest.mark.parametrize("at_once", [True, False])
def test_the_connection_that_has_waited_longest_makes_room(harness: Harness, at_once: bool) -> None:
    """Not one that has sent something and waits for us."""
    spoken = harness.connect(JOIN if at_once else b"")
    silent = harness.connect()
    if not at_once:
        spoken.sendall(JOIN)
        harness.hub.turn()

    harness.connections.make_room()
    harness.hub.run()

    assert silent.recv(10) == b""
    assert len(harness.joined) == 1
    assert spoken.fileno() >= 0


def test_one_that_hung_up_makes_room_before_one_that_waits(harness: Harness) -> None:
    """It is only not closed yet."""
    gone, waits = harness.connect(), harness.connect()
    gone.close()
    harness.hub.turn()

    harness.connections.make_room()
    harness.hub.run()
    waits.sendall(JOIN)
    harness.hub.turn()
    harness.hub.run()

    assert len(harness.joined) == 1
    assert harness.connections.open == 0


def test_a_connection_closed_before_it_is_processed_is_not_served(harness: Harness) -> None:
    """It was queued for too long."""
    client = harness.connect(GET)
    harness.now = ANSWER_S

    harness.connections.sweep()
    harness.hub.run()

    assert client.recv(10) == b""
    assert (harness.served, harness.connections.open) == ([], 0)


@pytest.mark.parametrize("rest", [GET.removeprefix(BEGUN), b"T", b"\0"], ids=["whole", "more", "invalid"])
def test_the_rest_of_a_head_is_waited_for_once(harness: Harness, rest: bytes) -> None:
    """Without a green thread; it must then arrive before the same deadline, however it drips."""
    client = harness.connect(BEGUN)
    harness.hub.run()
    waited = (harness.served.copy(), harness.connections.open)
    harness.now = 1.0
    client.sendall(rest)
    harness.turn()

    assert waited == ([], 1)
    assert harness.served == [(BEGUN + rest, PEER)]
    assert harness.head_until == HEAD_S
    assert client.recv(10) == b"served"


def test_a_handshake_in_two_parts_joins(harness: Harness) -> None:
    """As one that arrives whole."""
    client = harness.connect(JOIN[:2])
    harness.hub.run()
    client.sendall(JOIN[2:])
    harness.turn()

    assert len(harness.joined) == 1
    assert harness.connections.open == 0


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\n", b"\0", b"\r\n" * 5], ids=["line", "binary", "blank"])
def test_what_begins_no_head_is_not_waited_for(harness: Harness, first: bytes) -> None:
    """The server refuses it at once."""
    harness.connect(first)
    harness.hub.run()

    assert harness.served == [(first, PEER)]
    assert harness.head_until is None


def test_a_head_that_takes_too_long_is_left_to_the_server(harness: Harness) -> None:
    """Which says so; a silent connection may wait for longer."""
    silent, begun = harness.connect(), harness.connect(BEGUN)
    harness.hub.run()
    harness.now = HEAD_S

    harness.new_connections.sweep()
    harness.hub.run()

    assert harness.served == [(BEGUN, PEER)]
    assert harness.head_until == HEAD_S
    assert begun.recv(10) == b"served"
    assert harness.connections.open == 1
    assert silent.fileno() >= 0


def test_clients_that_hang_up_in_their_heads_are_removed_round_robin(harness: Harness) -> None:
    """None of them is served, and nothing is kept of them."""
    clients = [harness.connect(BEGUN) for _ in range(5)]
    harness.hub.run()
    for client in clients:
        client.close()

    harness.hub.turn()
    queued = harness.connections.open
    harness.hub.run()

    assert queued == 5
    assert (harness.connections.open, harness.served) == (0, [])
    assert not harness.hub.watched(selectors.EVENT_READ)
    assert not harness.new_connections.unfinished


def test_one_that_waits_for_the_rest_of_a_head_makes_room(harness: Harness) -> None:
    """It has sent something, but we wait for it."""
    begun = harness.connect(BEGUN)
    harness.hub.run()

    harness.connections.make_room()

    assert begun.recv(10) == b""
    assert (harness.connections.open, harness.served) == (0, [])


def test_beginnings_of_heads_are_bounded_in_sum(harness: Harness) -> None:
    """The oldest one is closed."""
    harness.connections = Connections(10, DeliveryMetrics(), lambda: 0, lambda: harness.now, 2 * len(BEGUN))
    harness.new_connections.connections = harness.connections
    clients = [harness.connect(BEGUN) for _ in range(3)]
    harness.hub.run()

    assert clients[0].recv(10) == b""
    assert harness.connections.open == 2


def test_at_shutdown_a_head_may_be_on_its_way(harness: Harness) -> None:
    """It was not served yet."""
    client = harness.connect(BEGUN)
    harness.hub.run()

    harness.connections.end_waiting()
    client.sendall(GET.removeprefix(BEGUN))
    harness.turn()

    assert harness.served == [(GET, PEER)]
