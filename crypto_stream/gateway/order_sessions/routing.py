"""Where order sessions come in: `/ws`, judged before Flask, which tells the refusals."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence, Sized
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs
from uuid import uuid4 as new_uuid

from flask import Blueprint, Response, request

from crypto_stream.errors import RefusedError
from crypto_stream.gateway.delivery.handshake import Answer
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
# Key of a WSGI environ: why a handshake was refused.
_REFUSED = "crypto_stream.refused"
_CROWDED = 429
_CODES = {400: "bad_handshake", 426: "websocket_only", _CROWDED: "too_many_connections"}


def order_gateway() -> Blueprint:
    """Make the blueprint of `/ws`, which answers what is no WebSocket handshake, or a refused one."""
    blueprint = Blueprint("order_gateway", __name__)

    @blueprint.get("/ws")
    def ws() -> Response:
        problem: ProblemError | None = request.environ.get(_REFUSED)
        if problem is None:
            text = "This address is a WebSocket: connect to it with a WebSocket client."
            problem = ProblemError(426, "websocket_only", text)
            problem.headers = {"Upgrade": "websocket"}
        raise problem

    return blueprint


class OrderRouting:
    """Let WebSockets in at `/ws`; everything else, and whom it refuses, goes on to `app`."""

    def __init__(
        self,
        app: Wsgi,
        entrance: Upgrades,
        sessions: OrderSessions,
        origins: Sequence[str],
        most: int,
        viewers: Sized,
        refusals: Refusals,
    ) -> None:
        """Wrap `app`; sessions and `viewers` together are at most `most`."""
        self._app = app
        self._entrance = entrance
        self._sessions = sessions
        self._origins = origins
        self._most = most
        self._viewers = viewers
        self._refusals = refusals

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        asks = "websocket" in environ.get("HTTP_UPGRADE", "").lower()
        if environ["PATH_INFO"] in _PATHS and asks:
            try:
                self._enter(environ)
            except ProblemError as problem:
                if problem.code != _CODES[_CROWDED]:  # which the entrance has noted
                    self._refusals.note(problem.code, problem.detail, environ.get("REMOTE_ADDR"))
                problem.__context__ = None  # frames in it and in the trace would hold the request for long
                environ[_REFUSED] = problem.with_traceback(None)
                del environ["HTTP_UPGRADE"]  # Flask would not find the route of a WebSocket
            else:
                return []
        return self._app(environ, start_response)

    def _enter(self, environ: dict[str, Any]) -> None:
        origin = environ.get("HTTP_ORIGIN")
        if not allowed(self._origins, origin, environ):
            raise ProblemError(403, "origin_not_allowed", refusal(origin, environ))
        client = _asked(environ)
        try:
            self._sessions.check(client.owner)
        except RefusedError as refused:
            raise ProblemError(429, refused.code, f"{refused}.") from None
        if len(self._sessions) + len(self._viewers) >= self._most:
            text = "This gateway has as many connections as it takes; try again later."
            raise _with(ProblemError(503, "too_many_viewers", text), ("Retry-After", "5"))
        made = self._entrance.judge(environ, compression=False, counted=False)
        if made.status != HTTPStatus.SWITCHING_PROTOCOLS:
            raise _of_handshake(made)

        def make(descriptor: int, left: Callable[[], None]) -> OrderSession:
            return self._sessions.open(descriptor, self._entrance.bounds, client, left)

        session = self._entrance.enter(environ, made, make, counted=False)
        # Who knows a client_id trades as that owner: it is in no log.
        log.info(
            "client connected",
            extra={
                "client": session.name,
                "address": environ.get("REMOTE_ADDR"),
                "extended": client.extended,
            },
        )


def _asked(environ: dict[str, Any]) -> Client:
    """Read who comes back, and whether in the extended mode; other parameters mean nothing here."""
    given = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
    named = environ.get(_HEADER)
    owners = [*given.get("client_id", []), *([] if named is None else [named])]
    if len(owners) > 1:
        text = "client_id may be given once, in the address or as the header X-Client-Id."
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


def _of_handshake(made: Answer) -> ProblemError:
    text = made.body.decode().strip() or made.phrase
    problem = ProblemError(made.status, _CODES.get(made.status, "bad_handshake"), text)
    kept = {"upgrade", "sec-websocket-version"}
    return _with(problem, *((name, value) for name, value in made.headers if name.lower() in kept))


def _with(problem: ProblemError, *headers: tuple[str, str]) -> ProblemError:
    problem.headers = dict(headers)
    return problem
