"""CacheConnection on a real TCP connection: what is answered on the hub, and what wakes the green thread."""

from __future__ import annotations

import re
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from crypto_stream.gateway.http_cache.connection import CacheConnection
from tests.gateway.websocket_pair import Hub

IDLE_S = 60.0
LINE = re.compile(rb"(\d+)\n")


def respond(received: bytes) -> tuple[int, bytes] | None:
    """Respond to a line with a number by that many bytes."""
    asked = LINE.match(received)
    if asked is None:
        return None
    if asked[1] == b"13":
        raise ArithmeticError(13)
    return len(asked[0]), b"." * int(asked[1])


class Pause:
    """A suspended green thread: runs the hub, and whenever nothing is ready, the client's next step."""

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
    """Connect a client to a non-blocking server socket."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as server,
    ):
        server.setblocking(False)
        yield client, server


class Green:
    """The server's socket as the green thread sees it: `sendall` waits until the client has read."""

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


def cache_connection(
    server: socket.socket, client: socket.socket, *steps: Callable[[], object] | None
) -> CacheConnection:
    hub, coming = Hub(), iter(steps)
    return CacheConnection(Green(server, client), server, respond, hub, lambda: Pause(hub, coming))


def read_all(client: socket.socket) -> bytes:
    """Read until the end."""
    with client.makefile("rb") as file:
        return file.read()


def test_cacheable_requests_do_not_wake_the_thread() -> None:
    with connected() as (client, server):
        waits: list[bytes] = []
        asked = [
            lambda: client.send(b"3\n"),
            lambda: waits.append(client.recv(99)),
            lambda: client.send(b"no"),
        ]

        left = cache_connection(server, client, *asked).serve(b"2\n1\n", IDLE_S)

        assert left == b"no"
        assert waits == [b"......"]


@pytest.mark.parametrize("received", [b"no", b"1\nno", b"1\n2", b"1\n" * 1000 + b"no"])
def test_received_bytes_are_answered_without_waiting(received: bytes) -> None:
    with connected() as (client, server):
        answers = received.count(b"1\n")
        assert cache_connection(server, client).serve(received, IDLE_S) == received[2 * answers :]
        server.close()
        assert read_all(client) == b"." * answers


def test_nothing_is_returned_at_the_end() -> None:
    with connected() as (client, server):
        assert (
            cache_connection(server, client, lambda: client.shutdown(socket.SHUT_WR)).serve(b"", IDLE_S)
            == b""
        )


def test_a_request_followed_by_the_end_is_answered() -> None:
    def last() -> None:
        client.send(b"5\n")
        client.shutdown(socket.SHUT_WR)

    with connected() as (client, server):
        assert cache_connection(server, client, last).serve(b"", IDLE_S) == b""
        assert client.recv(99) == b"....."


def test_the_green_thread_waits_for_a_client_that_does_not_read() -> None:
    size = 20_000_000
    with connected() as (client, server):
        first = cache_connection(
            server, client, lambda: client.send(b"%d\n" % size), lambda: client.send(b"no")
        )
        assert first.serve(b"", IDLE_S) == b"no"
        server.close()
        assert first._connection.client_read + len(read_all(client)) == size


def test_a_connection_times_out_only_after_a_full_idle_time() -> None:
    with connected() as (client, server):
        idle = cache_connection(
            server, client, lambda: client.send(b"1\n"), None, lambda: client.send(b"1\n"), None, None
        )
        with pytest.raises(TimeoutError):
            idle.serve(b"", IDLE_S)
        assert client.recv(99) == b".."


def test_a_reset_is_raised_in_the_green_thread() -> None:
    def reset() -> None:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()

    with connected() as (client, server), pytest.raises(ConnectionResetError):
        cache_connection(server, client, reset).serve(b"", IDLE_S)


def test_an_error_of_ours_is_raised_in_the_green_thread() -> None:
    with connected() as (client, server), pytest.raises(ArithmeticError):
        cache_connection(server, client, lambda: client.send(b"13\n")).serve(b"", IDLE_S)
