"""GET /connect: why a page's WebSocket is refused. Browsers tell a page only that it failed."""

from __future__ import annotations

from collections.abc import Sequence

from flask import Blueprint, Response, request

from crypto_stream.gateway.web.answers import NEVER, json_answer
from crypto_stream.gateway.web.origins import allowed, refusal
from crypto_stream.gateway.web.parameters import given
from crypto_stream.gateway.web.problems import ProblemError


def connect(origins: Sequence[str]) -> Blueprint:
    """Make the blueprint of `/connect`, which judges an origin as the handshakes do."""
    blueprint = Blueprint("connect", __name__)

    @blueprint.get("/connect")
    def judge() -> Response:
        origin = given({"origin"}).get("origin")
        if not allowed(origins, origin, request.environ):
            raise ProblemError(403, "origin_not_allowed", refusal(origin, request.environ))
        return json_answer({"status": "ok"}, cache=NEVER)

    return blueprint
