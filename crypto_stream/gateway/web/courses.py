"""GET /courses: the newest quotes, all or some of them, as JSON or CSV."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, Response

from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.api import find, quote_response
from crypto_stream.gateway.web.parameters import bad_parameter, query_parameters
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.responses import respond

_KNOWN = ("format", "symbols")
_FORMATS = ("json", "csv")
_MAX_SYMBOLS = 1_000


def courses(mirror: Mirror, responses: ResponseCache) -> Blueprint:
    """Make the blueprint of quotes."""
    blueprint = Blueprint("courses", __name__)

    @blueprint.get("/courses")
    def quotes() -> Response:
        parameters = query_parameters(_KNOWN)
        return _some_quotes(mirror, responses, parameters) if parameters else respond(responses.courses())

    @blueprint.get("/courses/<path:symbol>")
    def quote(symbol: str) -> Response:
        query_parameters()
        return quote_response(responses, find(mirror, symbol))

    return blueprint


def _some_quotes(mirror: Mirror, responses: ResponseCache, parameters: Mapping[str, str]) -> Response:
    """Respond with the quotes that the parameters choose, in the format that they choose."""
    form = parameters.get("format", "json")
    if form not in _FORMATS:
        raise bad_parameter("format", "format must be json or csv")
    if "symbols" not in parameters:
        return respond(responses.courses_csv() if form == "csv" else responses.courses())
    words = [word for word in parameters["symbols"].split(",") if word.strip()]
    if not words or len(words) > _MAX_SYMBOLS:
        raise bad_parameter("symbols", f"symbols must be 1 to {_MAX_SYMBOLS} symbols, separated by commas")
    found = dict.fromkeys(find(mirror, word).symbol for word in words)
    quotes = [mirror.quotes[symbol] for symbol in found if symbol in mirror.quotes]
    live = any(not quote.stale for quote in quotes)
    return respond(responses.quotes(quotes, live=live, as_csv=form == "csv"))
