"""A WebSocket on a real TCP connection, on a hub that runs only when the test says so."""

from __future__ import annotations

import contextlib
import selectors
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from websockets.extensions import Extension
from websockets.frames import Frame as Received
from websockets.protocol import Protocol, Side, State

from crypto_stream.gateway.delivery.bounds import Bounds, PartialMessages
from crypto_stream.gateway.delivery.round_robin import RoundRobin
from crypto_stream.gateway.delivery.websocket import WebSocket

MAX_MESSAGE = 64 * 1024


def bounds(spawn: Callable[[Callable[[], None]], None] = lambda run: run()) -> Bounds:
    """Make bounds for one connection; queued tasks run at once, or when what `spawn` is given is called."""
    return Bounds(MAX_MESSAGE, PartialMessages(), RoundRobin(spawn, lambda: None))


class Hub:
    """A hub for one thread: `turn` runs the callbacks that are ready, `pass_time` the delayed ones."""

    def __init__(self) -> None:
        self._watched: dict[tuple[int, int], Callable[..., None]] = {}
        self._put_off: list[Callable[..., None]] = []

    def on_readable(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        return self._watch((descriptor, selectors.EVENT_READ), call)

    def on_writable(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        return self._watch((descriptor, selectors.EVENT_WRITE), call)

    def call_soon(self, call: Callable[..., None], *args: Any) -> None:
        call(*args)

    def call_later(self, seconds: float, call: Callable[..., None]) -> None:
        assert seconds > 0
        self._put_off.append(call)

    def spawn(self, call: Callable[[], None]) -> None:
        call()

    def yield_control(self) -> None:
        pass

    def watched(self, kind: int) -> bool:
        """Return whether any socket is watched for this event."""
        return any(key[1] == kind for key in self._watched)

    def turn(self) -> bool:
        """Run the callbacks that are ready now; False if there are none."""
        with selectors.DefaultSelector() as selector:
            for descriptor in {key[0] for key in self._watched}:
                kinds = [key[1] for key in self._watched if key[0] == descriptor]
                selector.register(descriptor, sum(kinds))
            ready = [(key.fd, events) for key, events in selector.select(0)]
        for descriptor, events in ready:
            for kind in (selectors.EVENT_READ, selectors.EVENT_WRITE):
                if events & kind and (call := self._watched.get((descriptor, kind))):
                    call()
        return bool(ready)

    def pass_time(self) -> None:
        """Run the delayed callbacks."""
        calls, self._put_off = self._put_off, []
        for call in calls:
            call()

    def _watch(self, key: tuple[int, int], call: Callable[..., None]) -> Callable[[], Any]:
        assert key not in self._watched
        self._watched[key] = call
        return lambda: self._watched.pop(key)


class RecordingWebSocket(WebSocket):
    """A WebSocket that records its messages and ends."""

    def __init__(self, descriptor: int, hub: Hub, extensions: list[Extension]) -> None:
        super().__init__(descriptor, hub, extensions, bounds())
        self.messages: list[str | bytes] = []
        self.ends = 0

    def received(self, message: str | bytes) -> None:
        assert not self.ends
        self.messages.append(message)

    def ended(self) -> None:
        self.ends += 1


class WebSocketPair:
    """Our WebSocket with its hub, and the client's socket with a client's protocol."""

    def __init__(self, ours: socket.socket, client: socket.socket, extensions: list[Extension]) -> None:
        self.hub = Hub()
        self.client = client
        self.protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self.websocket = RecordingWebSocket(ours.detach(), self.hub, extensions)
        self.websocket.start()

    def settle(self) -> None:
        """Run the hub until nothing is ready."""
        for _ in range(1000):
            if not self.hub.turn():
                return
        raise AssertionError("the hub never comes to rest")

    def send_bytes(self, data: bytes) -> None:
        """Send bytes from the client; if the WebSocket is closed, some may be lost."""
        with contextlib.suppress(ConnectionError):
            for at in range(0, len(data), 8192):
                self.client.sendall(data[at : at + 8192])
                self.settle()
        self.settle()

    def send(self, *frames: Received) -> None:
        """Send masked frames from the client."""
        self.send_bytes(b"".join(frame.serialize(mask=True) for frame in frames))

    def read(self) -> list[Received]:
        """Read everything that our side has sent; return its frames."""
        while True:
            self.settle()
            try:
                data = self.client.recv(1 << 16)
            except (BlockingIOError, ConnectionError):
                break
            if not data:
                break
            self.protocol.receive_data(data)
        return [frame for frame in self.protocol.events_received() if isinstance(frame, Received)]


@contextmanager
def connected(extensions: list[Extension] | None = None) -> Iterator[WebSocketPair]:
    """Connect a client and our WebSocket over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=10)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ours, _ = listener.accept()
    client.setblocking(False)
    with client:
        made = WebSocketPair(ours, client, extensions or [])
        try:
            yield made
        finally:
            made.websocket.cut()
