"""What engine.io is not asked: foreign pages, old clients, polling where it cannot work, a full house."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.presence import Presence
from crypto_stream.gateway.web.connect import FULL
from crypto_stream.gateway.web.headers import SECURITY, Wsgi
from crypto_stream.gateway.web.origins import allowed, refusal

_PATH = "/socket.io"


class _Answer(NamedTuple):
    line: str
    headers: list[tuple[str, str]]
    body: bytes
    code: str
    detail: str

    def whole(self) -> bytes:
        """Write the answer as it goes over the wire, as the last one of its connection."""
        fields = [*self.headers, *SECURITY, ("Connection", "close")]
        lines = "".join(f"{name}: {text}\r\n" for name, text in fields)
        return f"HTTP/1.1 {self.line}\r\n{lines}\r\n".encode() + self.body


def _problem(status: HTTPStatus, code: str, detail: str, *headers: tuple[str, str]) -> _Answer:
    title = status.phrase
    about = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    body = json.dumps(about).encode()
    fixed = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    return _Answer(f"{status} {title}", [*fixed, *headers], body, code, detail)


_FULL = _problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_viewers",
    FULL,
    ("Retry-After", "5"),
)
_CROWDED = _problem(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_connections",
    "This address has as many connections as one may have (max_per_address); close some.",
    ("Retry-After", "5"),
)
_POLLING = _problem(
    HTTPStatus.BAD_REQUEST,
    "websocket_only",
    "Several gateways share this port, so polling cannot work: clients must use transports: ['websocket'].",
)
_OLD = _problem(
    HTTPStatus.BAD_REQUEST,
    "old_client",
    "The client is using an unsupported version of the Socket.IO or Engine.IO protocols: this server speaks"
    " Engine.IO 4 (?EIO=4), as socket.io-client 3 and 4 do.",
)
_SCRIPT = _problem(
    HTTPStatus.BAD_REQUEST,
    "jsonp_not_served",
    "Polling by script (JSONP, the parameter j) is not served: it tells no origin, so any page could read."
    " Use a WebSocket or usual polling, as socket.io-client does by itself.",
)


class AdmissionRules(NamedTuple):
    """How many engine.io sessions may be open, in all and of one address, and whether they may poll.

    `full` says that there is no room for one more viewer.
    """

    most: int
    presence: Presence
    counters: DeliveryMetrics
    full: Callable[[], bool]
    polling: bool = True


class Known(Protocol):
    """What is known of engine.io's sessions."""

    def __len__(self) -> int:
        """Count them."""

    def full(self, address: str) -> bool:
        """Say whether this address may have no more."""

    def begin_poll(self, sid: str) -> None:
        """Note that a poll begins."""

    def end_poll(self, sid: str) -> None:
        """Note that a poll was answered."""


class Admission:
    """Answer for engine.io where it must not begin a session; each refusal is counted by its code.

    400 to pages that may not connect, to clients of another protocol, to polling by script, and to polling
    where several gateways share the port: each poll would come to another of them. 503 beyond the limit and
    429 beyond that of an address: who never joins would cost memory unseen. Default clients try again after
    these; a refusal by Socket.IO itself would be final for them.
    """

    def __init__(self, app: Wsgi, sessions: Known, admission: AdmissionRules, origins: Sequence[str]) -> None:
        """Wrap `app`."""
        self._app = app
        self._origins = origins
        self._sessions = sessions
        self._most = admission.most
        self._full = admission.full
        self._polling = admission.polling
        self._counters = admission.counters

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        path = environ["PATH_INFO"]
        if path != _PATH and not path.startswith(f"{_PATH}/"):
            return self._app(environ, start_response)
        if path == _PATH:
            environ["PATH_INFO"] = f"{_PATH}/"  # engine.io knows only this one
        query = parse_qs(environ.get("QUERY_STRING", ""))
        address = str(environ.get("REMOTE_ADDR", ""))
        refused = self._refusal(environ, query, address)
        if refused is not None:
            self._counters.refusals.note(refused.code, refused.detail, address)
            start_response(refused.line, refused.headers)
            return [refused.body]
        polls = "sid" in query and environ["REQUEST_METHOD"] == "GET" and "HTTP_UPGRADE" not in environ
        if not polls:
            return self._app(environ, start_response)
        sid = query["sid"][0]
        self._sessions.begin_poll(sid)
        try:
            return self._app(environ, start_response)
        finally:
            self._sessions.end_poll(sid)

    def refused(self, address: str) -> bytes | None:
        """Refuse one more session of this address: the whole answer; None where it may begin."""
        refused = self._no_room(address)
        if refused is None:
            return None
        self._counters.refusals.note(refused.code, refused.detail, address)
        return refused.whole()

    def _refusal(self, environ: dict[str, Any], query: dict[str, list[str]], address: str) -> _Answer | None:
        origin = environ.get("HTTP_ORIGIN")
        if not allowed(self._origins, origin, environ):
            return _problem(HTTPStatus.BAD_REQUEST, "origin_not_allowed", refusal(origin, environ))
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return None
        if "j" in query or ("sid" not in query and query.get("EIO") != ["4"]):
            return _SCRIPT if "j" in query else _OLD
        if not self._polling and query.get("transport") != ["websocket"]:
            return _POLLING
        return None if "sid" in query else self._no_room(address)

    def _no_room(self, address: str) -> _Answer | None:
        refused = _FULL if self._full() or len(self._sessions) >= self._most else None
        if refused is None and self._sessions.full(address):
            refused = _CROWDED
        self._counters.refused += refused is not None
        return refused
