"""A gateway's connection to a relay: a blocking socket, with TLS if the relay has it."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time

from crypto_stream.bus.redis.relays import Relay
from crypto_stream.bus.redis.tls import TlsLayer

_CONNECT_S = 2.0
_SEND_S = 2.0
_READ_BYTES = 256 * 1024
# The kernel would else hide seconds of messages from a gateway that reads too slowly.
_RECEIVE_BUFFER = 256 * 1024


class Connection:
    """One open connection. One thread receives; any may send, and `close` wakes all."""

    def __init__(self, relay: Relay, context: ssl.SSLContext | None) -> None:
        """Connect, with TLS if there is a `context`; raise OSError if that is impossible."""
        self._socket = _connect(relay)
        try:
            self._tls = TlsLayer(context, relay.host) if context else None
            if self._tls:
                _shake_hands(self._socket, self._tls)
            # Sending has a timeout of its own; a second descriptor also lets two green threads wait at once.
            self._sender = self._socket.dup()
        except BaseException:
            self._socket.close()
            raise
        self._socket.settimeout(None)
        self._sender.settimeout(_SEND_S)

    def set_patience(self, seconds: float | None) -> None:
        """Let `receive` wait for so long at most; without this, or with None, for as long as it takes."""
        self._socket.settimeout(seconds)

    def receive(self) -> bytes | None:
        """Return some bytes, empty if none came in time; None once the connection has been closed."""
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            return b""
        if not data:
            return None
        return self._tls.decrypt(data) if self._tls else data

    def send(self, data: bytes) -> None:
        """Send everything; raise OSError, after which nothing may follow, if that is impossible in time.

        The caller prevents that two threads send at once.
        """
        try:
            self._sender.sendall(self._tls.encrypt(data) if self._tls else data)
        except OSError:
            self.shut_down()
            raise

    def shut_down(self) -> None:
        """End the connection and wake the thread that receives, which must then call `close`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the descriptors."""
        self.shut_down()
        self._sender.close()
        self._socket.close()


def _connect(relay: Relay) -> socket.socket:
    error: OSError = OSError("its name has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        relay.host, relay.port, type=socket.SOCK_STREAM
    ):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER)
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connected.settimeout(_CONNECT_S)
            connected.connect(address)
        except OSError as failed:
            connected.close()
            error = failed
        else:
            return connected
    raise error


def _shake_hands(connected: socket.socket, tls: TlsLayer) -> None:
    """Raise OSError if that is not done in time, however many bytes arrive."""
    deadline_s = time.monotonic() + _CONNECT_S
    data = b""
    while True:
        if out := tls.handshake(data):
            connected.sendall(out)
        if tls.open:
            return
        if (left_s := deadline_s - time.monotonic()) <= 0:
            raise TimeoutError("the TLS handshake takes too long")
        connected.settimeout(left_s)
        data = connected.recv(_READ_BYTES)
        if not data:
            raise ConnectionError("the relay ended the TLS handshake")
