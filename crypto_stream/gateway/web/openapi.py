"""The description of the HTTP interface (OpenAPI 3.1), served at /openapi.json."""

from __future__ import annotations

from typing import Any

import msgspec

import crypto_stream
from crypto_stream.bus.messages import HistoryPage, Sparks
from crypto_stream.gateway.mirror import MOST_SWITCHES
from crypto_stream.gateway.verdict import Verdict
from crypto_stream.market.bars import INTERVALS
from crypto_stream.market.quotes import Quote
from crypto_stream.market.status import SourceStatus, Start, Switch, Venues

_SYMBOL = {
    "name": "symbol",
    "in": "path",
    "required": True,
    "description": "In any usual spelling: btcusdt, BTC-USDT, BTC/USDT, btc_usdt.",
    "schema": {"type": "string", "examples": ["btcusdt", "ticker_00"]},
}
_SCHEMAS, _COMPONENTS = msgspec.json.schema_components(
    (Quote, SourceStatus, Switch, Venues, HistoryPage, Sparks, Verdict, Start),
    ref_template="#/components/schemas/{name}",
)
_PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable: programs may rely on it."},
        "detail": {"type": "string"},
        "near": {"type": "array", "items": {"type": "string"}, "description": "Symbols that may be meant."},
        "parameter": {"type": "string", "description": "The parameter that was wrong."},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}
_QUOTE, _SOURCE, _SWITCH, _VENUES, _PAGE, _SPARKS, _VERDICT, _START = _SCHEMAS
_QUOTES = {"type": "array", "items": _QUOTE}
_POSITION = {
    "Stream-Epoch": {
        "description": "The installation: another one means other data.",
        "schema": {"type": "string"},
    },
    "Stream-Seq": {"description": "Newest published change.", "schema": {"type": "integer"}},
    "ETag": {"schema": {"type": "string"}},
}


def _problem(text: str) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/Problem"}
    return {"description": text, "content": {"application/problem+json": {"schema": schema}}}


def _json(text: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}, **more}


def _get(summary: str, answers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": answers, **more}}


_HTML = {"text/html": {"schema": {"type": "string"}}}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_UNKNOWN = {"404": _problem("No such instrument; `near` lists what may be meant.")}
_UNREACHABLE = {"503": _problem("The engine cannot be reached.")}
_UNCHANGED = {"304": {"description": "The client has it already (If-None-Match)."}}
_STATUS = {"type": "object", "properties": {"status": {"type": "string"}}}
_PINNED = {"type": ["string", "null"], "description": "The pinned source, null while none is."}


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


_COUNT = {"type": "integer", "minimum": 1, "maximum": 5000}
_MOMENT = {"type": "integer", "minimum": 0}
_RANGE = [
    _query("interval", "Length of a bar; without it and `points`: 1m.", {"enum": list(INTERVALS)}),
    _query("points", "Instead of `interval`: the finest with at most so many bars.", _COUNT),
    _query("from", "Bars that begin at or after this time (ms); the oldest ones are given.", _MOMENT),
    _query("to", "Bars that begin before this time (ms); without `from` the newest ones are given.", _MOMENT),
    _query(
        "limit", "Bars at most, usually 500; `older` or `newer` of the answer fetches the next ones.", _COUNT
    ),
    _query("format", "csv: only the bars, as text/csv.", {"enum": ["json", "csv"]}),
]

_PIN: dict[str, Any] = {
    "summary": "Pin a source: only it serves; `auto` unpins.",
    "description": "Needs the admin token: the setting, else the one that `token` prints on the machine.",
    "security": [{"token": []}],
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["source"],
                    "properties": {"source": {"type": "string", "examples": ["synthetic", "auto"]}},
                }
            }
        },
    },
    "responses": {
        "200": _json("Done.", {"type": "object", "properties": {"pinned": _PINNED}}),
        "400": _problem("`source` is missing, no text or unknown."),
        "401": _problem("The token is missing or wrong."),
        "413": _problem("The body is too large."),
        "415": _problem("The body is not application/json."),
        **_UNREACHABLE,
    },
}

_PATHS: dict[str, Any] = {
    "/": _get(
        "The board: all quotes, live.", {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED}
    ),
    "/{symbol}": _get(
        "The instrument's page; its quote where the client prefers application/json.",
        {
            "200": {
                "description": "A page, or the quote.",
                "content": {**_HTML, "application/json": {"schema": _QUOTE}},
            },
            "308": {"description": "Another spelling: to the canonical path."},
            **_UNCHANGED,
            **_UNKNOWN,
            **_UNREACHABLE,
        },
        parameters=[_SYMBOL],
    ),
    "/courses": _get(
        "All quotes.",
        {
            "200": _json("All quotes.", _QUOTES, headers=_POSITION),
            **_UNCHANGED,
            "503": _json("Nothing is fresh: the last known quotes, all stale.", _QUOTES, headers=_POSITION),
        },
    ),
    "/courses/{symbol}": _get(
        "One quote.",
        {"200": _json("The quote.", _QUOTE, headers=_POSITION), **_UNCHANGED, **_UNKNOWN, **_UNREACHABLE},
        parameters=[_SYMBOL],
    ),
    "/venues/{symbol}": _get(
        "Every connected source's own quote, and the best bid and ask among the live ones.",
        {"200": _json("The rows.", _VENUES), **_UNCHANGED, **_UNKNOWN, **_UNREACHABLE},
        parameters=[_SYMBOL],
    ),
    "/history": _get(
        "The last price of each minute of the last hour, of every instrument.",
        {"200": _json("The prices.", _SPARKS), **_UNCHANGED, **_UNREACHABLE},
    ),
    "/history/{symbol}": _get(
        "Bars of one instrument, built from its trades, and the gaps in which no source was live.",
        {
            "200": {
                "description": "Bars, oldest first; the last one may be open.",
                "content": {
                    "application/json": {"schema": _PAGE},
                    "text/csv": {"schema": {"type": "string"}},
                },
            },
            **_UNCHANGED,
            "400": _problem("A parameter is wrong; `parameter` names it."),
            **_UNKNOWN,
            "503": _problem("The engine cannot be reached, or the history cannot be read now."),
        },
        parameters=[_SYMBOL, *_RANGE],
    ),
    "/sources": _get(
        "Each source with its state, whether prices are live, the engine, the newest switches and starts.",
        {
            "200": _json(
                "The sources, best first; the switches and the starts of the engine, oldest first.",
                {
                    "type": "object",
                    "properties": {
                        "pinned": _PINNED,
                        "sources": {"type": "array", "items": _SOURCE},
                        "switches": {"type": "array", "items": _SWITCH, "maxItems": MOST_SWITCHES},
                        "switches_since": {**_MOMENT, "description": "When the engine began to note them."},
                        "starts": {"type": "array", "items": _START},
                        "verdict": _VERDICT,
                        "engine": {"type": "object"},
                        "time": _MOMENT,
                    },
                },
            ),
            **_UNCHANGED,
        },
    ),
    "/sources/active": {"post": _PIN},
    "/ws": _get(
        "The order gateway: a WebSocket that speaks JSON (docs/orders.md).",
        {
            "101": {"description": "Connected."},
            "400": _problem("A parameter or the handshake is wrong."),
            "403": _problem("Pages of this origin may not connect."),
            "426": _problem("This is no WebSocket handshake."),
            "429": _problem("As many connections of one address as are allowed."),
            "503": _problem("As many connections as this gateway takes."),
        },
        parameters=[
            _query(
                "client_id",
                "Owner of the orders; without it a fresh one.",
                {"type": "string", "format": "uuid"},
            ),
            {
                "name": "X-Client-Id",
                "in": "header",
                "description": "The same, and in no proxy's log.",
                "schema": {"type": "string", "format": "uuid"},
            },
            _query("mode", "extended: fields beyond the exercise's.", {"enum": ["plain", "extended"]}),
        ],
    ),
    "/connect": _get(
        "Whether pages of an origin may connect: why a WebSocket was refused, which no page can read there.",
        {
            "200": _json("They may.", _STATUS),
            "403": _problem("They may not; the detail says what to change."),
            "503": _problem("They may, but the gateway is full."),
        },
        parameters=[_query("origin", "The origin of the page.", {"type": "string"})],
    ),
    "/healthz": _get("The process is alive.", {"200": _json("It is.", _STATUS)}),
    "/readyz": _get(
        "Prices are live: of a real pair where there are any.",
        {"200": _json("They are.", _STATUS), "503": _problem("They are not; `reasons` says why.")},
    ),
    "/metrics": _get("Prometheus metrics.", {"200": {"description": "Text.", "content": _TEXT}}),
    "/openapi.json": _get("This description.", {"200": _json("OpenAPI.", {"type": "object"}), **_UNCHANGED}),
    "/status": _get(
        "A page about sources, switches between them, viewers and versions.",
        {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED},
    ),
    "/orders": _get(
        "A page to place and watch paper orders.",
        {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED},
    ),
    "/docs": _get(
        "A page that shows this description.",
        {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED},
    ),
}

DESCRIPTION: dict[str, Any] = {
    "openapi": "3.1.0",
    "servers": [{"url": ".", "description": "Relative to this description, also under a path of a proxy."}],
    "info": {
        "title": "Crypto Stream",
        "version": crypto_stream.__version__,
        "license": {"name": "MIT"},
        "description": (
            "Live prices from several exchanges with fail-over between them. Prices, sizes and volumes are "
            "decimal texts exactly as the venue gave them; times are ms since the epoch (UTC). The live "
            "stream is Socket.IO at /socket.io/ (events hello, subscribe, unsubscribe, snapshot, quotes, "
            "candles, venues, source, status)."
        ),
    },
    "paths": _PATHS,
    "components": {
        "schemas": {**_COMPONENTS, "Problem": _PROBLEM},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}
