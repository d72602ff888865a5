"""The JSON API: quotes, venues, sources, health, metrics and their OpenAPI description."""

from __future__ import annotations

import time
from functools import partial

import msgspec
from flask import Blueprint, Response, request
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.messages import GetTopic
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.degraded import degraded
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.topics import OF_SYMBOLS
from crypto_stream.gateway.verdict import UNREACHABLE
from crypto_stream.gateway.web.parameters import bad_parameter, parse_count, query_parameters
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.responses import NEVER, body_response, json_response, respond
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.ladder import LEVELS
from crypto_stream.wall_clock import wall_ms

_LEVELS = "levels"


def find(mirror: Mirror, text: str) -> Instrument:
    """Find the instrument that a path names; ProblemError 404 or 503 if there is none."""
    found = mirror.catalogue.find(text)
    if found is not None:
        return found
    if mirror.epoch is None:
        raise ProblemError(503, "engine_unreachable", f"{UNREACHABLE}: no instrument is known yet")
    raise ProblemError(
        404, "unknown_symbol", f"There is no instrument {text[:80]!r}.", mirror.catalogue.near(text)
    )


def quote_response(responses: ResponseCache, instrument: Instrument, by_accept: bool = False) -> Response:
    """Respond with one quote; `by_accept` if the Accept header chose it over the page."""
    quote = responses.course(instrument.symbol, by_accept)
    if quote is None:
        raise ProblemError(503, "no_quote", f"The engine has sent no quote for {instrument.symbol} yet.")
    return respond(quote)


def _check_parameters() -> None:
    """Refuse parameters rather than ignore them: only topics with levels take any."""
    served = OF_SYMBOLS.get(request.path.split("/")[1])
    query_parameters((_LEVELS,) if served and served.shortened else ())


def _levels() -> int:
    """Return how many levels of a side are requested."""
    text = request.args.get(_LEVELS, str(LEVELS))
    count = parse_count(_LEVELS, text)
    if not 0 < count <= LEVELS:
        raise bad_parameter(_LEVELS, f"levels must be 1 to {LEVELS}, not {count}")
    return count


def api(
    mirror: Mirror, port: GatewayPort, registry: CollectorRegistry, responses: ResponseCache
) -> Blueprint:
    """Make the blueprint of all that responds with JSON or metrics."""
    blueprint = Blueprint("api", __name__)

    blueprint.before_request(_check_parameters)

    for topic in OF_SYMBOLS:
        blueprint.add_url_rule(f"/{topic}/<path:symbol>", topic, partial(_current, mirror, port, topic))

    @blueprint.get("/sources")
    def sources() -> Response:
        timeline = mirror.timeline
        return json_response(
            {
                "time": wall_ms(),
                "verdict": mirror.verdict(),
                "engine": _engine(mirror),
                "pinned": mirror.pin,
                "sources": mirror.sources(time.monotonic()),
                "switches": list(mirror.switches),
                "switches_since": timeline.since,
                "starts": timeline.starts,
            }
        )

    @blueprint.get("/healthz")
    def healthz() -> Response:
        return json_response({"status": "ok"}, cache=NEVER)

    @blueprint.get("/readyz")
    def readyz() -> Response:
        reasons = mirror.troubles(time.monotonic())
        if reasons:
            raise ProblemError(503, "not_ready", "; ".join(reasons), reasons=reasons)
        found = degraded(mirror, port.figures())
        sentences = [sentence for part in found.values() for sentence in part]
        return json_response({"status": "ready", "degraded": sentences}, cache=NEVER)

    @blueprint.get("/metrics")
    def metrics() -> Response:
        return body_response(generate_latest(registry), CONTENT_TYPE_LATEST, cache=NEVER)

    @blueprint.get("/openapi.json")
    def openapi() -> Response:
        return respond(responses.openapi())

    return blueprint


def _engine(mirror: Mirror) -> dict[str, object]:
    """Return the engine's own figures, as of the same moment as the verdict; None where unknown."""
    quotes = mirror.quotes.values()
    return {
        "reachable": mirror.alive,
        "epoch": mirror.epoch,
        "seq": mirror.seq,
        "lag_ms": mirror.lag_ms if mirror.alive else None,
        "quotes": len(quotes),
        "quotes_live": sum(not quote.stale for quote in quotes),
        "history_trouble": mirror.history_trouble,
        "orders_trouble": mirror.orders_trouble,
    }


def _current(mirror: Mirror, port: GatewayPort, topic: str, symbol: str) -> Response:
    """Respond with the current state of a topic of an instrument."""
    try:
        served = OF_SYMBOLS[topic]
        levels = _levels() if served.shortened else 0
        answer = port.request(GetTopic(topic, find(mirror, symbol).symbol))
        payload = msgspec.msgpack.decode(answer, type=served.payload)
        return json_response(served.shortened(payload, levels) if served.shortened else payload)
    except BusError as error:
        raise ProblemError(503, "engine_unreachable", str(error)) from None
    except RefusedError as refused:
        raise ProblemError(503, refused.code, str(refused)) from None
