"""A forwarding process in between two ends of TCP connections, which can stall them at any message."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from tests.waiting import DEADLINE_S

_READ = 1 << 16


class Forwarder:
    """Forwards connections to a port on this machine until it is stalled; then nothing passes either way.

    A message is what one read of a client's socket delivers: on a loopback, what the client sent at once.
    """

    def __init__(self, target: int) -> None:
        """Forward to the port `target`."""
        self.stalled = threading.Event()
        self._target = target
        self._requests, self._answers = threading.Event(), threading.Event()
        self._requests.set()
        self._answers.set()
        self._delivered = False
        self._left: int | None = None
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def stall_at(self, message: int, *, delivered: bool) -> None:
        """Stall everything at that message, counted from 1 and from now on, of all clients together.

        It is delivered, and not answered, or not even delivered.
        """
        with self._lock:
            self._left, self._delivered = message, delivered

    def resume(self) -> None:
        """Let everything pass again, what was held back first."""
        with self._lock:
            self._left = None
        self.stalled.clear()
        self._requests.set()
        self._answers.set()

    def close(self) -> None:
        """Cut all connections."""
        self.resume()
        self._listener.close()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._target), DEADLINE_S)
                server.settimeout(None)
                self._sockets += [client, server]
                for forward in (self._forward_requests, self._forward_answers):
                    threading.Thread(target=forward, args=(client, server), daemon=True).start()

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(_READ):
                if not self._stalls():
                    self._requests.wait()
                server.sendall(data)
            server.shutdown(socket.SHUT_WR)

    def _forward_answers(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := server.recv(_READ):
                self._answers.wait()
                client.sendall(data)
            client.shutdown(socket.SHUT_WR)

    def _stalls(self) -> bool:
        """Count a message, and stall if it is its turn; return whether it is the last one delivered."""
        with self._lock:
            if self._left is None:
                return False
            self._left -= 1
            if self._left:
                return False
            self._left = None
            self._answers.clear()
            self._requests.clear()
            self.stalled.set()
            return self._delivered
