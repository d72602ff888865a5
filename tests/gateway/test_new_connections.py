"""Connections that have not asked anything yet, on real sockets and a hub that runs when the test says so."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Callable, Iterator

import pytest

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http.connections import ANSWER_S, Connections
from crypto_stream.gateway.http.new_connections import (
    IDLE_S,
    NewConnection,
    NewConnections,
    RequestConnection,
)
from tests.gateway.wired import Hub

PEER = ("127.0.0.1", 4711)


class LateHub(Hub):
    """A hub whose green threads run when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.spawned: list[Callable[[], None]] = []

    def spawn(self, call: Callable[[], None]) -> None:
        self.spawned.append(call)

    def run(self) -> None:
        """Run what was spawned, and what that spawns."""
        while self.spawned:
            self.spawned.pop(0)()


class House:
    """NewConnections of which those join that say so; the others are served."""

    def __init__(self) -> None:
        self.now = 0.0
        self.hub = LateHub()
        self.connections = Connections(10, DeliveryMetrics(), lambda: 0, lambda: self.now)
        self.new_connections = NewConnections(
            *(socket.AF_UNIX, self.hub, self.connections, self._join, self._serve), lambda: self.now
        )
        self.joined: list[socket.socket] = []
        self.served: list[tuple[bytes, object]] = []
        self.clients: list[socket.socket] = []

    def come(self, first: bytes = b"") -> socket.socket:
        """Connect, and perhaps say something at once; return the client's end."""
        ours, client = socket.socketpair()
        self.clients.append(client)
        client.settimeout(10)
        client.sendall(first)
        self.new_connections.take(ours.detach(), PEER)
        return client

    def _join(self, connection: NewConnection) -> bool:
        if connection.received != b"join":
            return False
        self.joined.append(socket.socket(fileno=connection.detach_descriptor()))
        return True

    def _serve(self, request: RequestConnection) -> None:
        self.served.append((request.received, request.peer))
        request.socket.sendall(b"served")
        request.entry.remove()


@pytest.fixture
def house() -> Iterator[House]:
    made = House()
    yield made
    for one in (*made.clients, *made.joined):
        one.close()


@pytest.mark.parametrize("at_once", [True, False])
def test_who_joins_keeps_its_connection_and_all_others_are_served(house: House, at_once: bool) -> None:
    """Whether their first bytes are here when they are accepted, or come later."""
    said = (b"join", b"GET / HTTP/1.1\r\n")
    clients = [house.come(first if at_once else b"") for first in said]
    waited = house.connections.open
    if not at_once:
        for client, first in zip(clients, said, strict=True):
            client.sendall(first)
        house.hub.turn()
    house.hub.run()
    house.joined[0].sendall(b"joined")

    assert waited == 2
    assert [client.recv(10) for client in clients] == [b"joined", b"served"]
    assert clients[1].recv(10) == b""
    assert house.served == [(said[1], PEER)]
    assert house.connections.open == 0
    assert not house.hub.watched(selectors.EVENT_READ)


def test_who_asks_nothing_is_ended_after_its_time(house: House) -> None:
    """The others, who came later, are not yet."""
    old = house.come()
    house.now = 1.0
    new = house.come()

    house.now = IDLE_S
    house.new_connections.sweep()
    new.sendall(b"join")
    house.hub.turn()
    house.hub.run()

    assert old.recv(10) == b""
    assert len(house.joined) == 1
    assert house.connections.open == 0


def test_who_hangs_up_before_it_asks_is_gone(house: House) -> None:
    """Nobody is asked to serve it."""
    house.come().close()
    house.hub.turn()
    house.hub.run()

    assert (house.connections.open, house.served, house.joined) == (0, [], [])
    assert not house.hub.watched(selectors.EVENT_READ)


def test_who_waits_longest_without_a_word_makes_room(house: House) -> None:
    """Not who has spoken and waits for its turn."""
    spoken = house.come(b"join")
    silent = house.come()

    house.connections.make_room()
    house.hub.run()

    assert silent.recv(10) == b""
    assert len(house.joined) == 1
    assert spoken.fileno() >= 0


def test_who_was_ended_before_its_turn_came_is_not_served(house: House) -> None:
    """Its time was over, while others had theirs."""
    client = house.come(b"GET / HTTP/1.1\r\n")
    house.now = ANSWER_S

    house.connections.sweep()
    house.hub.run()

    assert client.recv(10) == b""
    assert (house.served, house.connections.open) == ([], 0)
