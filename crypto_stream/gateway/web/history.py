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
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.answers import Prebuilt, json_prebuilt, reply
from crypto_stream.gateway.web.api import find
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.turns import Shared, Turns, busy
from crypto_stream.market.bars import Bar

_NUMBERS = ("points", "from", "to", "limit")
_KNOWN = {*_NUMBERS, "interval", "format"}
_Answer = TypeVar("_Answer", HistoryPage, Sparks)
_FORMATS = ("json", "csv")
# Questions to the engine at once: each may make it read and fold thousands of bars.
_AT_ONCE = 64
_OF_ONE_ADDRESS = 32
_LONGEST = 19  # digits of a number that any parameter could need


def history(mirror: Mirror, port: GatewayPort) -> Blueprint:
    """Make the blueprint of the history."""
    blueprint = Blueprint("history", __name__)
    turns, shared = Turns(_AT_ONCE, _OF_ONE_ADDRESS), Shared()

    def ask(asked: GetHistory | GetSparks, kind: type[_Answer]) -> _Answer:
        with turns.turn(request.remote_addr or ""):
            return _answered(port, asked, kind)

    @blueprint.get("/history/<path:symbol>")
    def bars(symbol: str) -> Response:
        found = find(mirror, symbol)
        given = request.args
        asked = _read(found.symbol, {name: given[name] for name in given})
        if given.get("format") == "csv":
            return reply(shared.get((asked, "csv"), lambda: _table(ask(asked, HistoryPage))))
        return reply(shared.get(asked, lambda: json_prebuilt(ask(asked, HistoryPage))))

    @blueprint.get("/history")
    def sparks() -> Response:
        return reply(shared.get("sparks", lambda: json_prebuilt(ask(GetSparks(), Sparks))))

    return blueprint


def _read(symbol: str, given: Mapping[str, str]) -> GetHistory:
    for name in given:
        if name not in _KNOWN:
            raise _wrong(name, f"{name[:40]} is no parameter here; known: {', '.join(sorted(_KNOWN))}")
    if given.get("format", "json") not in _FORMATS:
        raise _wrong("format", "format is one of json, csv")
    numbers = {name: _number(name, given[name]) for name in _NUMBERS if name in given}
    return GetHistory(
        symbol,
        given.get("interval"),
        numbers.get("points"),
        numbers.get("from"),
        numbers.get("to"),
        numbers.get("limit"),
    )


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) <= _LONGEST):
        raise _wrong(name, f"{name} is a whole number without a sign, not {text[:40]!r}")
    return int(text)


def _answered(port: GatewayPort, asked: GetHistory | GetSparks, kind: type[_Answer]) -> _Answer:
    try:
        return msgspec.msgpack.decode(port.ask(asked), type=kind)
    except BusError as error:
        raise ProblemError(503, "engine_unreachable", str(error)) from None
    except RefusedError as refused:
        if refused.code == "bad_parameter":
            raise _wrong(str(refused).partition(" ")[0], str(refused)) from None
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


def _wrong(name: str, text: str) -> ProblemError:
    return ProblemError(400, "bad_parameter", text, parameter=name)
