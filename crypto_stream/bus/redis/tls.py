"""TLS of connections to relays. Without I/O, so that threads and green threads can share a connection."""

from __future__ import annotations

import contextlib
import ssl
import threading

from crypto_stream.bus.redis.relays import Relay
from crypto_stream.errors import SettingError

_READ_BYTES = 256 * 1024


def make_context(relay: Relay) -> ssl.SSLContext | None:
    """Return the context for a relay with TLS, None without; the server's name is always checked.

    Raises SettingError if a file cannot be used.
    """
    if not relay.tls:
        return None
    try:
        context = ssl.create_default_context(cafile=relay.ca)
        if relay.cert:
            context.load_cert_chain(relay.cert, relay.key)
    except (OSError, ssl.SSLError) as error:
        files = ", ".join(filter(None, (relay.ca, relay.cert, relay.key)))
        raise SettingError(f"bus: TLS files of {relay.address} cannot be used ({files}): {error}") from None
    return context


class TlsLayer:
    """The TLS of one connection: encrypted bytes in, plain bytes out, and the other way round.

    OpenSSL allows no two calls on one connection at once, so a lock, never held during I/O, guards each.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._lock = threading.Lock()
        self.open = False

    def handshake(self, data: bytes = b"") -> bytes:
        """Continue the handshake with what was received; return what to send. Then see `open`."""
        with self._lock:
            self._incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError):
                self._object.do_handshake()
                self.open = True
            return self._outgoing.read()

    def encrypt(self, data: bytes) -> bytes:
        """Return what to send for plain bytes."""
        with self._lock:
            self._object.write(data)
            return self._outgoing.read()

    def decrypt(self, data: bytes) -> bytes:
        """Return the plain bytes that received bytes complete, perhaps none."""
        plain: list[bytes] = []
        with self._lock:
            self._incoming.write(data)
            with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                while part := self._object.read(_READ_BYTES):
                    plain.append(part)
        return b"".join(plain)
