"""GET /history: bars and gaps of one instrument, as JSON or CSV; the last hour of all of them."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from flask import Blueprint, Response, request

from crypto_stream.bus.interface import GatewayPort
from crypto_stream.bus.messages import GetHistory, GetSparks, HistoryPage, Sparks
from crypto_stream.errors import BusError, RefusedError
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.api import find
from crypto_stream.gateway.web.parameters import given, moment, number, wrong
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import Prebuilt, json_prebuilt, reply
from crypto_stream.gateway.web.turns import Shared, Turns, busy
from crypto_stream.market.bars import Bar

_KNOWN = ("format", "from", "interval", "limit", "points", "to")
_Answer = TypeVar("_Answer", HistoryPage, Sparks)
_FORMATS = ("json", "csv")
# Questions to the engine at once: each may make it read and fold thousands of bars.
_AT_ONCE = 64
_OF_ONE_ADDRESS = 32


def history(mirror: Mirror, port: GatewayPort, counters: DeliveryMetrics) -> Blueprint:
    """Make the blueprint of the history; questions refused as too many are counted."""
    blueprint = Blueprint("history", __name__)
    turns, shared = Turns(_AT_ONCE, _OF_ONE_ADDRESS), Shared()

    def ask(asked: GetHistory | GetSparks, kind: type[_Answer]) -> _Answer:
        try:
            with turns.turn(request.remote_addr or ""):
                return _answered(port, asked, kind)
        except ProblemError as problem:
            counters.history_refusals += problem.code == "busy"
            raise

    @blueprint.get("/history/<path:symbol>")
    def bars(symbol: str) -> Response:
        found = find(mirror, symbol)
        told = given(_KNOWN)
        asked = _read(found.symbol, told)
        if told.get("format") == "csv":
            return reply(shared.get((asked, "csv"), lambda: _table(ask(asked, HistoryPage))))
        return reply(shared.get(asked, lambda: json_prebuilt(ask(asked, HistoryPage))))

    @blueprint.get("/history")
    def sparks() -> Response:
        given()
        return reply(shared.get("sparks", lambda: json_prebuilt(ask(GetSparks(), Sparks))))

    return blueprint


def _read(symbol: str, told: Mapping[str, str]) -> GetHistory:
    if told.get("format", "json") not in _FORMATS:
        raise wrong("format", "format is one of json, csv")
    counts = {name: number(name, told[name]) for name in ("points", "limit") if name in told}
    times = {name: moment(name, told[name]) for name in ("from", "to") if name in told}
    return GetHistory(
        *(symbol, told.get("interval"), counts.get("points")),
        *(times.get("from"), times.get("to"), counts.get("limit")),
    )


def _answered(port: GatewayPort, asked: GetHistory | GetSparks, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.msgpack.decode(port.request(asked), type=kind)
    except BusError as error:
        raise ProblemError(503, "engine_unreachable", str(error)) from None
    except RefusedError as refused:
        if refused.code == "bad_parameter":
            raise wrong(str(refused).partition(" ")[0], str(refused)) from None
        if refused.code == "busy":
            raise busy(str(refused)) from None
        raise ProblemError(503, refused.code, str(refused)) from None


def _table(page: HistoryPage) -> Prebuilt:
    return Prebuilt(_csv(page.bars), "text/csv; charset=utf-8")


def _csv(bars: list[Bar]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Bar.__struct_fields__)
    for bar in bars:
        *values, closed = msgspec.structs.astuple(bar)
        writer.writerow([*values, "true" if closed else "false"])
    return text.getvalue().encode()
