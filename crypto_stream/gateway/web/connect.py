"""GET /connect: why a page's WebSocket is refused. Browsers tell a page only that it failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flask import Blueprint, Response, request

from crypto_stream.gateway.web.origins import allowed, refusal
from crypto_stream.gateway.web.parameters import given
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import NEVER, json_answer

FULL = "This gateway has as many viewers as it takes (max_viewers); try again later."


def connect(origins: Sequence[str], full: Callable[[], bool]) -> Blueprint:
    """Make the blueprint of `/connect`, which judges an origin and the room as handshakes do."""
    blueprint = Blueprint("connect", __name__)

    @blueprint.get("/connect")
    def judge() -> Response:
        origin = given({"origin"}).get("origin")
        if not allowed(origins, origin, request.environ):
            raise ProblemError(403, "origin_not_allowed", refusal(origin, request.environ))
        if full():
            raise ProblemError(503, "too_many_viewers", FULL)
        return json_answer({"status": "ok"}, cache=NEVER)

    return blueprint
