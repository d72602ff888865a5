"""The desk on a real TCP connection: what is answered on the hub, and what wakes the green thread."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from crypto_stream.gateway.http_cache.connection import CacheConnection
from tests.gateway.wired import Hub

IDLE_S = 60.0
ASKED = re.compile(rb"(\d+)\n")


def road(received: bytes) -> tuple[int, bytes] | None:
    """Answer a line of digits with that many bytes."""
    asked = ASKED.match(received)
    if asked is None:
        return None
    if asked[1] == b"13":
        raise ArithmeticError(13)
    return len(asked[0]), b"." * int(asked[1])


class Pause:
    """A green thread's wait: turns the hub; each time nothing is ready, the next step of the client comes."""

    def __init__(self, hub: Hub, steps: Iterator[Callable[[], object] | None]) -> None:
        self._hub = hub
        self._steps = steps
        self._ended = False

    def wait(self, seconds: float) -> bool:
        assert seconds == IDLE_S
        while not self._ended:
            if not self._hub.turn():
                step = next(self._steps)
                if step is None:  # the time is up
                    return False
                step()
        return True

    def resume(self) -> None:
        assert not self._ended
        self._ended = True


@contextmanager
def connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Connect a client with a server's non-blocking socket."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as server,
    ):
        server.setblocking(False)
        yield client, server


class Green:
    """The server's socket as its green thread sees it: sending waits until the client has read."""

    def __init__(self, server: socket.socket, client: socket.socket) -> None:
        self._server = server
        self._client = client
        self.client_read = 0

    def sendall(self, data: bytes) -> None:
        while data:
            try:
                data = data[self._server.send(data) :]
            except BlockingIOError:
                self.client_read += len(self._client.recv(1 << 20))


def desk(
    server: socket.socket, client: socket.socket, *steps: Callable[[], object] | None
) -> CacheConnection:
    hub, coming = Hub(), iter(steps)
    return CacheConnection(Green(server, client), server, road, hub, lambda: Pause(hub, coming))


def everything(client: socket.socket) -> bytes:
    """Read to the end."""
    with client.makefile("rb") as file:
        return file.read()


def test_requests_are_answered_without_waking_the_thread_until_one_is_not_simple() -> None:
    with connected() as (client, server):
        waits: list[bytes] = []
        asked = [
            lambda: client.send(b"3\n"),
            lambda: waits.append(client.recv(99)),
            lambda: client.send(b"no"),
        ]

        left = desk(server, client, *asked).serve(b"2\n1\n", IDLE_S)

        assert left == b"no"
        assert waits == [b"......"]


@pytest.mark.parametrize("received", [b"no", b"1\nno", b"1\n2", b"1\n" * 1000 + b"no"])
def test_what_came_already_needs_no_waiting(received: bytes) -> None:
    with connected() as (client, server):
        answers = received.count(b"1\n")
        assert desk(server, client).serve(received, IDLE_S) == received[2 * answers :]
        server.close()
        assert everything(client) == b"." * answers


def test_the_end_is_nothing_left() -> None:
    with connected() as (client, server):
        assert desk(server, client, lambda: client.shutdown(socket.SHUT_WR)).serve(b"", IDLE_S) == b""


def test_an_end_right_behind_a_request_loses_no_answer() -> None:
    def last() -> None:
        client.send(b"5\n")
        client.shutdown(socket.SHUT_WR)

    with connected() as (client, server):
        assert desk(server, client, last).serve(b"", IDLE_S) == b""
        assert client.recv(99) == b"....."


def test_a_client_that_does_not_take_its_answer_is_waited_for_by_its_own_thread() -> None:
    size = 20_000_000
    with connected() as (client, server):
        first = desk(server, client, lambda: client.send(b"%d\n" % size), lambda: client.send(b"no"))
        assert first.serve(b"", IDLE_S) == b"no"
        server.close()
        assert first._connection.client_read + len(everything(client)) == size


def test_a_connection_is_given_up_only_after_a_whole_time_without_a_request() -> None:
    with connected() as (client, server):
        idle = desk(
            server, client, lambda: client.send(b"1\n"), None, lambda: client.send(b"1\n"), None, None
        )
        with pytest.raises(TimeoutError):
            idle.serve(b"", IDLE_S)
        assert client.recv(99) == b".."


def test_a_reset_is_the_threads_error() -> None:
    def reset() -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    with connected() as (client, server), pytest.raises(ConnectionResetError):
        desk(server, client, reset).serve(b"", IDLE_S)


def test_a_fault_of_ours_is_the_threads_error_and_not_the_hubs() -> None:
    with connected() as (client, server), pytest.raises(ArithmeticError):
        desk(server, client, lambda: client.send(b"13\n")).serve(b"", IDLE_S)
