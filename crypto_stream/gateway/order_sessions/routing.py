"""`/ws`: opens order sessions before requests reach Flask, which responds to refused ones."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence, Sized
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4 as new_uuid

from flask import Blueprint, Response, request

from crypto_stream.errors import RefusedError
from crypto_stream.gateway.delivery.handshake import HandshakeResponse
from crypto_stream.gateway.delivery.upgrades import Upgrades
from crypto_stream.gateway.order_sessions.limits import Client
from crypto_stream.gateway.order_sessions.session import OrderSession
from crypto_stream.gateway.order_sessions.sessions import OrderSessions
from crypto_stream.gateway.refusals import Refusals
from crypto_stream.gateway.web.headers import Wsgi
from crypto_stream.gateway.web.origins import allowed, refusal
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.orders.wire.fields import uuid

log = logging.getLogger(__name__)

_PATHS = frozenset({"/ws", "/ws/"})
_HEADER = "HTTP_X_CLIENT_ID"
_MODES = ("plain", "extended")
# Key of a WSGI environ: why the handshake was refused.
_REFUSED = "crypto_stream.refused"
_TOO_MANY_CONNECTIONS = "too_many_connections"
# Seconds before an owner with too many sessions is refused another one: many clients retry without a pause.
_REFUSED_AFTER_S = 1.0
_CODES = {400: "bad_handshake", 426: "websocket_only", 429: _TOO_MANY_CONNECTIONS}


def order_gateway() -> Blueprint:
    """Make the blueprint of `/ws`, which responds to ordinary requests and to refused handshakes."""
    blueprint = Blueprint("order_gateway", __name__)

    @blueprint.get("/ws")
    def ws() -> Response:
        problem: ProblemError | None = request.environ.get(_REFUSED)
        if problem is None:
            text = "This is a WebSocket endpoint: connect to it with a WebSocket client."
            problem = ProblemError(426, "websocket_only", text)
            problem.headers = {"Upgrade": "websocket"}
        raise problem

    return blueprint


class OrderRouting:
    """WSGI middleware: open a session for each WebSocket handshake at `/ws`; pass all else to `app`."""

    def __init__(
        self,
        app: Wsgi,
        upgrades: Upgrades,
        sessions: OrderSessions,
        origins: Sequence[str],
        max_connections: int,
        viewers: Sized,
        refusals: Refusals,
    ) -> None:
        """Allow at most `max_connections` sessions and `viewers` together."""
        self._app = app
        self._upgrades = upgrades
        self._sessions = sessions
        self._origins = origins
        self._max_connections = max_connections
        self._viewers = viewers
        self._refusals = refusals

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        is_handshake = "websocket" in environ.get("HTTP_UPGRADE", "").lower()
        if environ["PATH_INFO"] in _PATHS and is_handshake:
            try:
                self._open_session(environ)
            except ProblemError as problem:
                if problem.code != _TOO_MANY_CONNECTIONS:  # `upgrades` has noted that one
                    self._refusals.note(problem.code, problem.detail, environ.get("REMOTE_ADDR"))
                problem.__context__ = None  # like a traceback, it would keep the request alive
                environ[_REFUSED] = problem.with_traceback(None)
                del environ["HTTP_UPGRADE"]  # with it, Flask would not match the route
            else:
                return []
        return self._app(environ, start_response)

    def _open_session(self, environ: dict[str, Any]) -> None:
        origin = environ.get("HTTP_ORIGIN")
        if not allowed(self._origins, origin, environ):
            raise ProblemError(403, "origin_not_allowed", refusal(origin, environ))
        client = _client(environ)
        try:
            self._sessions.check(client.owner)
        except RefusedError as refused:
            time.sleep(_REFUSED_AFTER_S)
            raise ProblemError(429, refused.code, f"{refused}.") from None
        if len(self._sessions) + len(self._viewers) >= self._max_connections:
            text = "This gateway has reached its limit of connections; try again later."
            raise _with(ProblemError(503, "too_many_viewers", text), ("Retry-After", "5"))
        answer = self._upgrades.respond(environ, compression=False, counted=False)
        if answer.status != HTTPStatus.SWITCHING_PROTOCOLS:
            raise _handshake_problem(answer)

        def make(descriptor: int, on_close: Callable[[], None]) -> OrderSession:
            return self._sessions.open(descriptor, self._upgrades.bounds, client, on_close)

        session = self._upgrades.upgrade(environ, answer, make, counted=False)
        # The client_id is a secret (whoever knows it trades as its owner), so it is never logged.
        log.info(
            "client connected",
            extra={
                "client": session.name,
                "address": environ.get("REMOTE_ADDR"),
                "extended": client.extended,
            },
        )


def _client(environ: dict[str, Any]) -> Client:
    """Read the client_id and the mode of a handshake; other parameters are ignored."""
    given = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    named = environ.get(_HEADER)
    owners = [*given.get("client_id", []), *([] if named is None else [named])]
    if len(owners) > 1:
        text = "client_id may be given only once, in the URL or as the header X-Client-Id."
        raise ProblemError(400, "bad_parameter", text, parameter="client_id")
    try:
        owner = uuid(owners[0], "client_id") if owners else None
    except RefusedError as refused:
        raise ProblemError(400, "bad_parameter", f"{refused}.", parameter="client_id") from None
    modes = given.get("mode", ["plain"])
    if len(modes) > 1 or modes[0] not in _MODES:
        text = f"mode must be one of {', '.join(_MODES)}."
        raise ProblemError(400, "bad_parameter", text, parameter="mode")
    address = str(environ.get("REMOTE_ADDR", ""))
    return Client(owner or str(new_uuid()), owner is None, modes[0] == "extended", address)


def _handshake_problem(answer: HandshakeResponse) -> ProblemError:
    text = answer.body.decode().strip() or answer.phrase
    problem = ProblemError(answer.status, _CODES.get(answer.status, "bad_handshake"), text)
    kept = {"upgrade", "sec-websocket-version"}
    return _with(problem, *((name, value) for name, value in answer.headers if name.lower() in kept))


def _with(problem: ProblemError, *headers: tuple[str, str]) -> ProblemError:
    problem.headers = dict(headers)
    return problem
