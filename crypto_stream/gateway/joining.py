"""The short way in for viewers: from the bytes of a WebSocket handshake straight to an open session.

What is not certainly such a handshake, or may not come in, takes the ordinary road through the server, Flask
and engine.io, which gives the same session, or says what is wrong.
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

from crypto_stream.gateway.delivery.handshake import answer
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.session import Session
from crypto_stream.gateway.delivery.upgrades import Upgrades
from crypto_stream.gateway.engineio_parts import may_upgrade, open_session
from crypto_stream.gateway.http.arrivals import Arrival
from crypto_stream.gateway.http_cache.request import END, MOST, simple_fields
from crypto_stream.gateway.web.forwarded import Network, client
from crypto_stream.gateway.web.origins import FORWARDED, allowed
from crypto_stream.gateway.web.root_path import strip_root_path

_LINE = re.compile(r"GET (/[!-~]*) HTTP/1\.1")
_KEY = re.compile(rb"\r\n[Ss]ec-[Ww]eb[Ss]ocket-[Kk]ey: ?([A-Za-z0-9+/]{22}==)(?=\r\n)")
_ANY_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
# With one of these there is a body, or a parser has more to say.
_ELSEWHERE = {"content-length", "transfer-encoding", "expect", "sec-websocket-key"}
# What the answer depends on, besides the key and whether a proxy stands between.
_TELLING = ("host", "origin", "connection", "upgrade", "sec-websocket-version", "sec-websocket-extensions")
# Of the answer's headers: the key's is each one's own, and a date is not needed with 101 (RFC 9110, 6.6.1).
_OWN = {"Sec-WebSocket-Accept", "Date"}
_FORWARDED = {name.removeprefix("HTTP_").replace("_", "-").lower() for name in FORWARDED}
# Different heads whose reading is remembered, 4 kB each at most: clients of one kind send the same one.
_HEADS = 1000


class _Head(NamedTuple):
    """What one head says, besides the key: how it is answered (None: not here), and for whom.

    `forwarded` is whom a proxy names, `sid` the polling session that is to be upgraded, "" for a new one.
    """

    way: _Way | None = None
    forwarded: str | None = None
    sid: str = ""


class _Way(NamedTuple):
    """How a handshake is answered, whoever sends it: the answer without its last value."""

    response: bytes
    extensions: Sequence[Extension]


class Joining:
    """Let in who begins as a WebSocket, as engine.io would; call it with the first bytes of a connection."""

    def __init__(
        self,
        engine: Any,
        entrance: Upgrades,
        counters: DeliveryMetrics,
        refused: Callable[[str], bytes | None],
        *,
        origins: Sequence[str],
        trusted: Sequence[Network],
        root_path: str,
        compression: bool,
    ) -> None:
        """Open sessions of an `engineio.Server`; `refused(address)` is the answer where there is no room."""
        self._engine = engine
        self._entrance = entrance
        self._counters = counters
        self._refused = refused
        self._origins = origins
        self._trusted = trusted
        self._root_path = root_path
        self._compression = compression
        self._heads: dict[bytes, _Head] = {}
        self._way = lru_cache(_HEADS)(self._find_way)

    def __call__(self, arrival: Arrival) -> bool:
        """Let this client in, or tell it that there is no room; False when the ordinary road must decide."""
        came, address = arrival.came, str(arrival.peer[0])
        end = came.find(END, 0, MOST) + len(END)
        key = _KEY.search(came, 0, end) if end >= len(END) else None
        if key is None:
            return False
        text = came[: key.start()] + came[key.end() : end]
        head = self._heads.get(text) or self._read(text)
        if head.way is None:
            return False
        response = b"%s%s\r\n\r\n" % (head.way.response, accept_key(key[1].decode()).encode())
        if head.sid:
            return self._upgrade(head.way, head.sid, response, arrival, end)
        if head.forwarded and self._trusted:
            address = client(address, head.forwarded, self._trusted)
        if (refusal := self._refused(address)) is not None:
            arrival.answer(refusal)
            return True
        connection, opened = open_session(self._engine, address)
        session = self._session(head.way, connection, arrival)
        session.open(response, opened)
        session.start(came[end:])
        return True

    def _upgrade(self, way: _Way, sid: str, response: bytes, arrival: Arrival, end: int) -> bool:
        """Take a polling session's WebSocket, where engine.io would."""
        connection = self._engine.sockets.get(sid)
        if connection is None or not may_upgrade(connection):
            return False
        session = self._session(way, connection, arrival)
        session.begin(response)
        session.start(arrival.came[end:])
        return True

    def _session(self, way: _Way, connection: Any, arrival: Arrival) -> Session:
        return Session(
            arrival.leave(),
            self._entrance.hub,
            [copy(one) for one in way.extensions],  # each keeps the state of its connection
            self._entrance.bounds,
            connection,
            self._counters,
            self._entrance.opened(),
        )

    def _read(self, text: bytes) -> _Head:
        """Read a head without its key; those of new sessions are remembered."""
        head = self._judge(text)
        if not head.sid:
            if len(self._heads) >= _HEADS:
                self._heads.clear()
            self._heads[text] = head
        return head

    def _judge(self, text: bytes) -> _Head:
        if not text.isascii():
            return _Head()
        first, *lines = text[: -len(END)].decode("ascii").split("\r\n")
        asked, fields = _LINE.fullmatch(first), simple_fields(lines)
        if asked is None or fields is None or fields.keys() & _ELSEWHERE:
            return _Head()
        sid = self._session_asked(asked[1])
        if sid is None:
            return _Head()
        telling = (fields.get(name) for name in _TELLING)
        way = self._way(not _FORWARDED.isdisjoint(fields), *telling)
        return _Head(way, fields.get("x-forwarded-for"), sid)

    def _find_way(self, proxied: bool, *telling: str | None) -> _Way | None:
        """Judge a handshake; None where anything but letting it in may have to be done."""
        environ = {
            f"HTTP_{name.upper().replace('-', '_')}": text
            for name, text in zip(_TELLING, telling, strict=True)
            if text is not None
        }
        if proxied:
            environ["HTTP_FORWARDED"] = ""  # whichever it was, and whatever it said
        if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            return None
        if not allowed(self._origins, environ.get("HTTP_ORIGIN"), environ):
            return None
        made = answer({**environ, "HTTP_SEC_WEBSOCKET_KEY": _ANY_KEY}, compression=self._compression)
        if made.status != 101:
            return None
        kept = [f"{name}: {value}\r\n" for name, value in made.headers if name not in _OWN]
        response = f"HTTP/1.1 101 {made.phrase}\r\n{''.join(kept)}Sec-WebSocket-Accept: "
        return _Way(response.encode(), made.extensions)

    def _session_asked(self, target: str) -> str | None:
        """Tell the session that a WebSocket is asked for, "" for a new one; None for whatever else."""
        path, _, query = target.partition("?")
        given = parse_qs(query)
        if strip_root_path(self._root_path, path) != "/socket.io/" or given.get("transport") != ["websocket"]:
            return None
        if "j" in given or ("sid" not in given and given.get("EIO") != ["4"]):
            return None
        return given.get("sid", [""])[0]
