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
from crypto_stream.gateway.web.answers import answer, json_answer
from crypto_stream.gateway.web.api import find
from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.market.bars import Bar

_NUMBERS = ("points", "from", "to", "limit")
_KNOWN = {*_NUMBERS, "interval", "format"}
_Answer = TypeVar("_Answer", HistoryPage, Sparks)
_FORMATS = ("json", "csv")
_LONGEST = 19  # digits of a number that any parameter could need


def history(mirror: Mirror, port: GatewayPort) -> Blueprint:
    """Make the blueprint of the history."""
    blueprint = Blueprint("history", __name__)

    @blueprint.get("/history/<path:symbol>")
    def bars(symbol: str) -> Response:
        found = find(mirror, symbol)
        given = request.args
        asked = _read(found.symbol, {name: given[name] for name in given})
        page = _answered(port, asked, HistoryPage)
        if given.get("format") == "csv":
            return answer(_csv(page.bars), "text/csv; charset=utf-8")
        return json_answer(page)

    @blueprint.get("/history")
    def sparks() -> Response:
        return json_answer(_answered(port, GetSparks(), Sparks))

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
        raise ProblemError(503, refused.code, str(refused)) from None


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
