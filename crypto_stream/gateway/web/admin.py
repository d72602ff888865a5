"""The one request that changes anything: pinning a source."""

from __future__ import annotations

import hmac
import logging

import msgspec
from flask import Blueprint, Response, request
from werkzeug.exceptions import MethodNotAllowed

from crypto_stream import layout
from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.messages import Pin
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import NEVER, json_response
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_TOKEN_NEEDED = (
    "Pinning needs the admin token, sent as Authorization: Bearer TOKEN."
    f" `{layout.COMMAND} token` prints it on the server's machine."
)


def admin(mirror: Mirror, port: GatewayPort, token: str | None) -> Blueprint:
    """Make the blueprint of `POST /sources/active`, which requires `token` even of local clients."""
    blueprint = Blueprint("admin", __name__)
    throttle = LogThrottle()

    @blueprint.post("/sources/active")
    def pin() -> Response:
        try:
            _authorize(token)
        except ProblemError as refused:
            address = request.remote_addr or ""
            if throttle.due(address):  # somebody guessing tokens must not fill the log
                log.warning("pin refused", extra={"address": address, "code": refused.code})
            raise
        source = _source()
        try:
            port.request(Pin(source))
        except RefusedError as refused:
            known = ["auto", *(one.name for one in mirror.sources(0.0))]
            raise ProblemError(400, refused.code, str(refused), parameter="source", allowed=known) from None
        except BusError as error:
            raise ProblemError(503, "engine_unreachable", str(error)) from None
        return json_response({"pinned": None if source == "auto" else source}, cache=NEVER)

    @blueprint.get("/sources/active")
    def post_only() -> Response:
        """Answer 405: without this route `sources/active` would be read as a symbol written with a slash."""
        raise MethodNotAllowed(["POST"])

    return blueprint


def _authorize(token: str | None) -> None:
    """Raise ProblemError 401 unless the request carries `token`.

    A local client address proves nothing: behind a proxy on this machine every client has one.
    """
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    known = token is not None and hmac.compare_digest(
        given.strip().encode("latin-1", "replace"), token.encode()
    )
    if scheme.lower() != "bearer" or not known:
        problem = ProblemError(401, "unauthorized", _TOKEN_NEEDED)
        problem.headers = {"WWW-Authenticate": 'Bearer realm="crypto-stream"'}
        raise problem


def _source() -> str:
    if request.mimetype != "application/json":
        raise ProblemError(415, "unsupported_media_type", "Send application/json.")
    try:
        body = msgspec.json.decode(request.get_data())
    except msgspec.DecodeError as error:
        raise ProblemError(400, "bad_json", f"The body is not JSON: {error}.") from None
    source = body.get("source") if isinstance(body, dict) else None
    if not isinstance(source, str) or not source:
        text = 'source must be a string, as in {"source": "synthetic"} or {"source": "auto"}.'
        raise ProblemError(400, "bad_parameter", text, parameter="source")
    return source
