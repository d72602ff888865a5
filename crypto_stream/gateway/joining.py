"""The fast path for viewers: from the bytes of a WebSocket handshake directly to an open session.

Anything that is not certainly a valid handshake goes through the server, Flask and engine.io, which open the
same session, or respond with what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from copy import copy
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from websockets.extensions import Extension
from websockets.utils import accept_key

from crypto_stream.gateway.delivery.handshake import respond
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.session import ViewerSession
from crypto_stream.gateway.delivery.upgrades import Upgrades
from crypto_stream.gateway.engineio_parts import may_upgrade, open_session
from crypto_stream.gateway.http.new_connections import NewConnection
from crypto_stream.gateway.http_cache.request import HEAD_END, MAX_HEAD, simple_fields
from crypto_stream.gateway.web.forwarded import Network, client
from crypto_stream.gateway.web.origins import FORWARDED, allowed
from crypto_stream.gateway.web.root_path import strip_root_path

_LINE = re.compile(r"GET (/[!-~]*) HTTP/1\.1")
_KEY = re.compile(rb"\r\n[Ss]ec-[Ww]eb[Ss]ocket-[Kk]ey: ?([A-Za-z0-9+/]{22}==)(?=\r\n)")
_ANY_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# Header fields of requests with a body, or that need the full parser.
_EXCLUDED = {"content-length", "transfer-encoding", "expect", "sec-websocket-key"}
# What the response depends on, besides the key and whether a proxy forwards the request.
_RELEVANT = ("host", "origin", "connection", "upgrade", "sec-websocket-version", "sec-websocket-extensions")
# Response headers not in the template: the key's is added, and 101 needs no date (RFC 9110, 6.6.1).
_OMITTED = {"Sec-WebSocket-Accept", "Date"}
_FORWARDED = {name.removeprefix("HTTP_").replace("_", "-").lower() for name in FORWARDED}
# Parsed heads that are cached, 4 kB each at most: clients of one kind all send the same one.
_MAX_HEADS = 1000


class _Handshake(NamedTuple):
    """A parsed head, apart from the key; without an `acceptance` it is left to the server.

    `forwarded` is the client as named by a proxy; `sid` the polling session to upgrade, "" for a new session.
    """

    acceptance: _Acceptance | None = None
    forwarded: str | None = None
    sid: str = ""


class _Acceptance(NamedTuple):
    """The 101 response up to the value of Sec-WebSocket-Accept, and the extensions agreed on."""

    response: bytes
    extensions: Sequence[Extension]


class Joining:
    """Opens sessions as engine.io would; call it with each new connection."""

    def __init__(
        self,
        engine: Any,
        upgrades: Upgrades,
        counters: DeliveryMetrics,
        refused: Callable[[str], bytes | None],
        *,
        origins: Sequence[str],
        trusted: Sequence[Network],
        root_path: str,
        compression: bool,
    ) -> None:
        """`engine` is an `engineio.Server`; `refused(address)` is the response if there is no room for it."""
        self._engine = engine
        self._upgrades = upgrades
        self._counters = counters
        self._refused = refused
        self._origins = origins
        self._trusted = trusted
        self._root_path = root_path
        self._compression = compression
        self._handshakes: dict[bytes, _Handshake] = {}
        self._acceptance = lru_cache(_MAX_HEADS)(self._find_acceptance)

    def __call__(self, connection: NewConnection) -> bool:
        """Open or upgrade a session, or refuse it for lack of room; False if the server must decide."""
        received, address = connection.received, str(connection.peer[0])
        end = received.find(HEAD_END, 0, MAX_HEAD) + len(HEAD_END)
        key = _KEY.search(received, 0, end) if end >= len(HEAD_END) else None
        if key is None:
            return False
        head = received[: key.start()] + received[key.end() : end]
        handshake = self._handshakes.get(head) or self._parse(head)
        acceptance = handshake.acceptance
        if acceptance is None:
            return False
        response = b"%s%s\r\n\r\n" % (acceptance.response, accept_key(key[1].decode()).encode())
        if handshake.sid:
            return self._upgrade(acceptance, handshake.sid, response, connection, end)
        if handshake.forwarded and self._trusted:
            address = client(address, handshake.forwarded, self._trusted)
        if (refusal := self._refused(address)) is not None:
            connection.respond(refusal)
            return True
        engineio_socket, opened = open_session(self._engine, address)
        session = self._session(acceptance, engineio_socket, connection)
        session.open(response, opened)
        session.start(received[end:])
        return True

    def _upgrade(
        self, acceptance: _Acceptance, sid: str, response: bytes, connection: NewConnection, end: int
    ) -> bool:
        """Upgrade a polling session, if engine.io would."""
        engineio_socket = self._engine.sockets.get(sid)
        if engineio_socket is None or not may_upgrade(engineio_socket):
            return False
        session = self._session(acceptance, engineio_socket, connection)
        session.begin(response)
        session.start(connection.received[end:])
        return True

    def _session(
        self, acceptance: _Acceptance, engineio_socket: Any, connection: NewConnection
    ) -> ViewerSession:
        return ViewerSession(
            connection.detach_descriptor(),
            self._upgrades.hub,
            [copy(one) for one in acceptance.extensions],  # each has the state of its connection
            self._upgrades.bounds,
            engineio_socket,
            self._counters,
            self._upgrades.count_open(),
        )

    def _parse(self, head: bytes) -> _Handshake:
        """Parse a head without its key; those of new sessions are cached."""
        handshake = self._parse_uncached(head)
        if not handshake.sid:
            if len(self._handshakes) >= _MAX_HEADS:
                self._handshakes.clear()
            self._handshakes[head] = handshake
        return handshake

    def _parse_uncached(self, head: bytes) -> _Handshake:
        if not head.isascii():
            return _Handshake()
        first, *lines = head[: -len(HEAD_END)].decode("ascii").split("\r\n")
        line, fields = _LINE.fullmatch(first), simple_fields(lines)
        if line is None or fields is None or fields.keys() & _EXCLUDED:
            return _Handshake()
        sid = self._session_of(line[1])
        if sid is None:
            return _Handshake()
        relevant = (fields.get(name) for name in _RELEVANT)
        acceptance = self._acceptance(not _FORWARDED.isdisjoint(fields), *relevant)
        return _Handshake(acceptance, fields.get("x-forwarded-for"), sid)

    def _find_acceptance(self, proxied: bool, *relevant: str | None) -> _Acceptance | None:
        """Accept a handshake with these header fields; None if it may have to be refused."""
        environ = {
            f"HTTP_{name.upper().replace('-', '_')}": text
            for name, text in zip(_RELEVANT, relevant, strict=True)
            if text is not None
        }
        if proxied:
            environ["HTTP_FORWARDED"] = ""  # only its presence matters
        if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            return None
        if not allowed(self._origins, environ.get("HTTP_ORIGIN"), environ):
            return None
        response = respond({**environ, "HTTP_SEC_WEBSOCKET_KEY": _ANY_KEY}, compression=self._compression)
        if response.status != 101:
            return None
        kept = [f"{name}: {value}\r\n" for name, value in response.headers if name not in _OMITTED]
        template = f"HTTP/1.1 101 {response.phrase}\r\n{''.join(kept)}Sec-WebSocket-Accept: "
        return _Acceptance(template.encode(), response.extensions)

    def _session_of(self, target: str) -> str | None:
        """Return the session id in the URL of a WebSocket, "" for a new session; None for any other URL."""
        path, _, query = target.partition("?")
        given = parse_qs(query)
        if strip_root_path(self._root_path, path) != "/socket.io/" or given.get("transport") != ["websocket"]:
            return None
        if "j" in given or ("sid" not in given and given.get("EIO") != ["4"]):
            return None
        return given.get("sid", [""])[0]
