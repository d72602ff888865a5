"""Refuse engine.io requests that must not open a session: bad origins, old clients, a full gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qs

from crypto_stream.gateway.delivery.address_limit import AddressLimit
from crypto_stream.gateway.delivery.handshake import HandshakeResponse
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.web.connect import FULL
from crypto_stream.gateway.web.headers import SECURITY, Wsgi
from crypto_stream.gateway.web.origins import allowed, refusal

_PATH = "/socket.io"


class _Refusal(NamedTuple):
    status: str
    headers: list[tuple[str, str]]
    body: bytes
    code: str
    detail: str

    def serialized(self) -> bytes:
        """Write the answer to a handshake as it goes over the wire, as the last one of its connection."""
        status, _, phrase = self.status.partition(" ")
        headers = [*self.headers, *SECURITY, ("Connection", "close")]
        return HandshakeResponse(int(status), phrase, headers, self.body, ()).serialized()


def _refusal(status: HTTPStatus, code: str, detail: str, *headers: tuple[str, str]) -> _Refusal:
    title = status.phrase
    about = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    body = json.dumps(about).encode()
    fixed = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    return _Refusal(f"{status} {title}", [*fixed, *headers], body, code, detail)


_GATEWAY_FULL = _refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_viewers",
    FULL,
    ("Retry-After", "5"),
)
_ADDRESS_FULL = _refusal(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too_many_connections",
    "Your address has reached its limit of connections (max_per_address); close some and try again.",
    ("Retry-After", "5"),
)
_WEBSOCKET_ONLY = _refusal(
    HTTPStatus.BAD_REQUEST,
    "websocket_only",
    "Several gateways share this port, so polling cannot work: clients must use transports: ['websocket'].",
)
_OLD_CLIENT = _refusal(
    HTTPStatus.BAD_REQUEST,
    "old_client",
    "The client is using an unsupported version of the Socket.IO or Engine.IO protocols: this server speaks"
    " Engine.IO 4 (?EIO=4), as socket.io-client 3 and 4 do.",
)
_JSONP = _refusal(
    HTTPStatus.BAD_REQUEST,
    "jsonp_not_served",
    "JSONP polling (the parameter j) is not supported: it sends no Origin, so any page could read the data."
    " Use a WebSocket or ordinary polling, as socket.io-client does by default.",
)


class AdmissionRules(NamedTuple):
    """How many engine.io sessions may be open, in total and per address, and whether they may poll.

    `full` says whether the gateway has reached `max_viewers`.
    """

    max_sessions: int
    address_limit: AddressLimit
    counters: DeliveryMetrics
    full: Callable[[], bool]
    polling: bool = True


class OpenSessions(Protocol):
    """The open engine.io sessions."""

    def __len__(self) -> int:
        """Count them."""

    def full(self, address: str) -> bool:
        """Return whether this address has reached its limit."""

    def begin_poll(self, sid: str) -> None:
        """Note that a poll begins."""

    def end_poll(self, sid: str) -> None:
        """Note that a poll was answered."""


class Admission:
    """WSGI middleware that refuses some engine.io requests; each refusal is counted by its code.

    400 for forbidden origins, clients of another protocol version, JSONP, and polling where several gateways
    share the port (successive polls would reach different ones). 503 when the gateway is full and 429 when
    the address is: both are decided before there is a session, because one that never joins a namespace
    would still cost memory. Default clients retry after these statuses; a refusal by Socket.IO itself would
    be final for them.
    """

    def __init__(
        self, app: Wsgi, sessions: OpenSessions, rules: AdmissionRules, origins: Sequence[str]
    ) -> None:
        self._app = app
        self._origins = origins
        self._sessions = sessions
        self._rules = rules
        self._counters = rules.counters

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        path = environ["PATH_INFO"]
        if path != _PATH and not path.startswith(f"{_PATH}/"):
            return self._app(environ, start_response)
        if path == _PATH:
            environ["PATH_INFO"] = f"{_PATH}/"  # engine.io matches only this form
        query = parse_qs(environ.get("QUERY_STRING", ""))
        address = str(environ.get("REMOTE_ADDR", ""))
        refused = self._refuse(environ, query, address)
        if refused is not None:
            self._counters.refusals.note(refused.code, refused.detail, address)
            start_response(refused.status, refused.headers)
            return [refused.body]
        is_poll = "sid" in query and environ["REQUEST_METHOD"] == "GET" and "HTTP_UPGRADE" not in environ
        if not is_poll:
            return self._app(environ, start_response)
        sid = query["sid"][0]
        self._sessions.begin_poll(sid)
        try:
            return self._app(environ, start_response)
        finally:
            self._sessions.end_poll(sid)

    def refused(self, address: str) -> bytes | None:
        """Return the complete response that refuses a new session of this address; None if it may begin."""
        refused = self._refuse_if_full(address)
        if refused is None:
            return None
        self._counters.refusals.note(refused.code, refused.detail, address)
        return refused.serialized()

    def _refuse(self, environ: dict[str, Any], query: dict[str, list[str]], address: str) -> _Refusal | None:
        origin = environ.get("HTTP_ORIGIN")
        if not allowed(self._origins, origin, environ):
            return _refusal(HTTPStatus.BAD_REQUEST, "origin_not_allowed", refusal(origin, environ))
        if environ["REQUEST_METHOD"] == "OPTIONS":
            return None
        if "j" in query:
            return _JSONP
        if "sid" not in query and query.get("EIO") != ["4"]:
            return _OLD_CLIENT
        if not self._rules.polling and query.get("transport") != ["websocket"]:
            return _WEBSOCKET_ONLY
        return None if "sid" in query else self._refuse_if_full(address)

    def _refuse_if_full(self, address: str) -> _Refusal | None:
        refused = None
        if self._rules.full() or len(self._sessions) >= self._rules.max_sessions:
            refused = _GATEWAY_FULL
        elif self._sessions.full(address):
            refused = _ADDRESS_FULL
        self._counters.refused += refused is not None
        return refused
