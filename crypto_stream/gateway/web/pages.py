"""Pages: they carry no live value, so each is the same until the instruments change."""

from __future__ import annotations

from flask import Blueprint, Response, redirect, render_template, request
from werkzeug.wrappers import Response as Redirect

import crypto_stream
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.answers import HTML, LIVE, PAGE, answer
from crypto_stream.gateway.web.api import find, quote_answer
from crypto_stream.gateway.web.problems import prefers_json


def pages(mirror: Mirror) -> Blueprint:
    """Make the blueprint of `/`, `/docs` and `/<symbol>`."""
    blueprint = Blueprint("pages", __name__)

    def page(template: str, **context: object) -> Response:
        text = render_template(template, version=crypto_stream.__version__, **context)
        cache = PAGE if mirror.epoch else LIVE  # before the engine came the list of instruments is empty
        return answer(text.encode(), HTML, cache=cache)

    @blueprint.get("/")
    def board() -> Response:
        return page("board.html", instruments=list(mirror.catalogue))

    @blueprint.get("/docs")
    def docs() -> Response:
        return page("docs.html")

    @blueprint.get("/<path:symbol>")
    def instrument(symbol: str) -> Response | Redirect:
        found = find(mirror, symbol)
        if symbol != found.symbol:
            query = request.query_string.decode("latin-1")
            return redirect(f"/{found.symbol}{'?' if query else ''}{query}", 308)
        if prefers_json():
            response = quote_answer(mirror, found)
            response.vary.add("Accept")
            return response
        return page("instrument.html", instrument=found, instruments=list(mirror.catalogue))

    return blueprint
