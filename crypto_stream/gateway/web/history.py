"""GET /history: bars and gaps of one instrument as JSON or CSV; the last hour of every instrument."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from flask import Blueprint, Response, request

from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.messages import GetHistory, GetSparks, HistoryPage, SparkParts
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.api import find
from crypto_stream.gateway.web.concurrency import ConcurrencyLimit, SingleFlight, busy
from crypto_stream.gateway.web.csv_body import CSV, csv_body
from crypto_stream.gateway.web.parameters import bad_parameter, parse_count, parse_time, query_parameters
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import Prebuilt, json_prebuilt, respond
from crypto_stream.market.bars import INTERVALS, Bar
from crypto_stream.market.index import series_name, symbol_of_series
from crypto_stream.wall_clock import wall_ms

_KNOWN = ("format", "from", "interval", "limit", "points", "to")
_Answer = TypeVar("_Answer", HistoryPage, SparkParts)
_FORMATS = ("json", "csv")
# Concurrent requests to the engine: each may make it read and aggregate thousands of bars.
_MAX_CONCURRENT = 64
_MAX_PER_ADDRESS = 32
# Seconds for which a response is reused: a chart sees by `seq` and `previous` if it has missed something,
_REUSE_BARS_S = 0.25
# and a board continues the lines itself, keeping what it has seen after their `seq`. They are not reused in
# the next minute, from which on a board that has just been opened cannot see how theirs ended.
_REUSE_SPARKS_S = 5.0
_MINUTE_MS = INTERVALS["1m"]
# Lines turned into JSON in one piece: about half a millisecond.
_LINES_AT_ONCE = 25


def history(mirror: Mirror, port: GatewayPort, counters: DeliveryMetrics) -> Blueprint:
    """Make the blueprint of the history; requests refused as busy are counted."""
    blueprint = Blueprint("history", __name__)
    limit = ConcurrencyLimit(_MAX_CONCURRENT, _MAX_PER_ADDRESS)
    shared, shared_sparks = SingleFlight(_REUSE_BARS_S), SingleFlight(_REUSE_SPARKS_S)

    def request_page(query: GetHistory | GetSparks, kind: type[_Answer]) -> _Answer:
        try:
            with limit.slot(request.remote_addr or ""):
                return _request_engine(port, query, kind)
        except ProblemError as problem:
            counters.history_refusals += problem.code == "busy"
            raise

    @blueprint.get("/history/<path:symbol>")
    def bars(symbol: str) -> Response:
        name = _series(mirror, symbol)
        parameters = query_parameters(_KNOWN)
        query = _parse(name, parameters)
        if parameters.get("format") == "csv":
            return respond(shared.get((query, "csv"), lambda: _as_csv(request_page(query, HistoryPage))))
        return respond(shared.get(query, lambda: json_prebuilt(request_page(query, HistoryPage))))

    @blueprint.get("/history")
    def sparks() -> Response:
        query_parameters()
        minute = wall_ms() // _MINUTE_MS
        return respond(
            shared_sparks.get(minute, lambda: _sparks_as_json(request_page(GetSparks(), SparkParts)))
        )

    return blueprint


def _series(mirror: Mirror, text: str) -> str:
    """Return the series that a path names: an instrument's bars, or those of its index (`index:btcusdt`)."""
    symbol = symbol_of_series(text.strip().casefold())
    return find(mirror, text).symbol if symbol is None else series_name(find(mirror, symbol).symbol)


def _parse(symbol: str, parameters: Mapping[str, str]) -> GetHistory:
    if parameters.get("format", "json") not in _FORMATS:
        raise bad_parameter("format", "format must be json or csv")
    counts = {name: parse_count(name, parameters[name]) for name in ("points", "limit") if name in parameters}
    times = {name: parse_time(name, parameters[name]) for name in ("from", "to") if name in parameters}
    return GetHistory(
        symbol,
        interval=parameters.get("interval"),
        points=counts.get("points"),
        from_ms=times.get("from"),
        to_ms=times.get("to"),
        limit=counts.get("limit"),
    )


def _request_engine(port: GatewayPort, query: GetHistory | GetSparks, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.msgpack.decode(port.request(query), type=kind)
    except BusError as error:
        raise ProblemError(503, "engine_unreachable", str(error)) from None
    except RefusedError as refused:
        if refused.code == "bad_parameter":
            raise bad_parameter(str(refused).partition(" ")[0], str(refused)) from None
        if refused.code == "busy":
            raise busy(str(refused)) from None
        if refused.code == "unknown_symbol":
            raise ProblemError(404, refused.code, str(refused)) from None
        raise ProblemError(503, refused.code, str(refused)) from None


def _sparks_as_json(sparks: SparkParts) -> Prebuilt:
    """Turn the lines into JSON, a few at a time, between which other green threads run."""
    lines = {}
    for count, (symbol, line) in enumerate(sparks.sparks.items(), 1):
        lines[symbol] = msgspec.Raw(msgspec.json.encode(msgspec.msgpack.decode(line)))
        if not count % _LINES_AT_ONCE:
            time.sleep(0)
    return json_prebuilt(msgspec.structs.replace(sparks, sparks=lines))


def _as_csv(page: HistoryPage) -> Prebuilt:
    return Prebuilt(csv_body(Bar.__struct_fields__, page.bars), CSV)
