"""The requests that change something: pinning a source, adding and removing instruments."""

from __future__ import annotations

import hmac
import logging
from typing import Any

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from crypto_stream import layout
from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.messages import ChangedInstruments, ChangeInstruments, Pin, RequestBody
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import NEVER, json_response
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_TOKEN_NEEDED = (
    "{} needs the admin token, sent as Authorization: Bearer TOKEN."
    f" `{layout.COMMAND} token` prints it on the server's machine."
)
# Volumes may have to be fetched from a venue, and the bars of many instruments read. Proxies wait for 60 s
# (docs/scale.md), and must not give up before we do.
CHANGE_TIMEOUT_S = 50.0
_MAX_WORDS = 1_000  # names and patterns in one request
# What the engine refuses because of its own state, not because of the request.
_UNAVAILABLE = frozenset({"no_list", "starting"})


class _Change(msgspec.Struct, forbid_unknown_fields=True):
    add: list[str] = []
    remove: list[str] = []


def admin(mirror: Mirror, port: GatewayPort, token: str | None) -> Blueprint:
    """Make the blueprint of what requires `token` even of local clients."""
    blueprint = Blueprint("admin", __name__)
    throttle = LogThrottle()

    def authorize(what: str, refused_line: str) -> None:
        try:
            _authorize(token, what)
        except ProblemError as refused:
            address = request.remote_addr or ""
            if throttle.due(address):  # somebody guessing tokens must not fill the log
                log.warning(refused_line, extra={"address": address, "code": refused.code})
            raise

    @blueprint.post("/sources/active")
    def pin() -> Response:
        authorize("Pinning", "pin refused")
        source = _source()
        try:
            _request(port, Pin(source))
        except RefusedError as refused:
            known = ["auto", *mirror.states()]
            raise ProblemError(400, refused.code, str(refused), parameter="source", allowed=known) from None
        return json_response({"pinned": None if source == "auto" else source}, cache=NEVER)

    @blueprint.get("/sources/active")
    def post_only() -> Response:
        """Answer 405: without this route `sources/active` would be read as a symbol written with a slash."""
        raise MethodNotAllowed(["POST"])

    @blueprint.post("/instruments")
    def change() -> Response:
        authorize("Changing instruments", "change of instruments refused")
        wanted = _wanted()
        try:
            answer = _request(port, ChangeInstruments(wanted.add, wanted.remove), CHANGE_TIMEOUT_S)
        except RefusedError as refused:
            status = 503 if refused.code in _UNAVAILABLE else 400
            raise ProblemError(status, refused.code, str(refused)) from None
        return json_response(msgspec.msgpack.decode(answer, type=ChangedInstruments), cache=NEVER)

    return blueprint


def _request(port: GatewayPort, body: RequestBody, timeout_s: float = 5.0) -> bytes:
    try:
        return port.request(body, timeout_s)
    except BusError as error:
        raise ProblemError(503, "engine_unreachable", str(error)) from None


def _authorize(token: str | None, what: str) -> None:
    """Raise ProblemError 401 unless the request carries `token`.

    A local client address proves nothing: behind a proxy on this machine every client has one.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    known = token is not None and hmac.compare_digest(
        given.strip().encode("latin-1", "replace"), token.encode()
    )
    if scheme.lower() != "bearer" or not known:
        problem = ProblemError(401, "unauthorized", _TOKEN_NEEDED.format(what))
        problem.headers = {"WWW-Authenticate": 'Bearer realm="crypto-stream"'}
        raise problem


def _body() -> Any:
    if request.mimetype != "application/json":
        raise ProblemError(415, "unsupported_media_type", "Send application/json.")
    try:
        return msgspec.json.decode(request.get_data())
    except msgspec.DecodeError as error:
        raise ProblemError(400, "bad_json", f"The body is not JSON: {error}.") from None


def _source() -> str:
    body = _body()
    source = body.get("source") if isinstance(body, dict) else None
    if not isinstance(source, str) or not source:
        text = 'source must be a string, as in {"source": "synthetic"} or {"source": "auto"}.'
        raise ProblemError(400, "bad_parameter", text, parameter="source")
    return source


def _wanted() -> _Change:
    try:
        wanted = msgspec.convert(_body(), _Change)
    except msgspec.ValidationError as error:
        text = f'Send {{"add": ["SOL-USDT"], "remove": ["xrpusdt"]}}, either or both: {error}.'
        raise ProblemError(400, "bad_parameter", text) from None
    if not 0 < len(wanted.add) + len(wanted.remove) <= _MAX_WORDS:
        raise ProblemError(400, "bad_parameter", f"Add or remove 1 to {_MAX_WORDS} names or patterns.")
    return wanted
