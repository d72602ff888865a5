"""GET /connect says why a WebSocket would be refused; to a page, the browser reports only that it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Response, request

from crypto_stream.gateway.web.origins import allowed, refusal
from crypto_stream.gateway.web.parameters import query_parameters
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import NEVER, json_response

FULL = "This gateway has reached its limit of viewers (max_viewers); try again later."


def connect(origins: Sequence[str], full: Callable[[], bool]) -> Blueprint:
    """Make the blueprint of `/connect`, which applies the same checks as a handshake."""
    blueprint = Blueprint("connect", __name__)

    @blueprint.get("/connect")
    def check() -> Response:
        origin = query_parameters({"origin"}).get("origin")
        if not allowed(origins, origin, request.environ):
            raise ProblemError(403, "origin_not_allowed", refusal(origin, request.environ))
        if full():
            raise ProblemError(503, "too_many_viewers", FULL)
        return json_response({"status": "ok"}, cache=NEVER)

    return blueprint
