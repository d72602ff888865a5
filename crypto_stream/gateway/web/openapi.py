"""The description of the HTTP interface (OpenAPI 3.1), served at /openapi.json."""

from __future__ import annotations

from typing import Any

import msgspec

import crypto_stream
from crypto_stream.bus.messages import HistoryPage, Sparks
from crypto_stream.gateway.mirror import MAX_SWITCHES
from crypto_stream.gateway.verdict import Verdict
from crypto_stream.market.bars import INTERVALS
from crypto_stream.market.best import Best
from crypto_stream.market.index import Index
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
    (Quote, SourceStatus, Switch, Venues, Best, Index, HistoryPage, Sparks, Verdict, Start),
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
        "near": {"type": "array", "items": {"type": "string"}, "description": "Similar known symbols."},
        "parameter": {"type": "string", "description": "The parameter that was wrong."},
        "reasons": {"type": "array", "items": {"type": "string"}},
    },
}
_QUOTE, _SOURCE, _SWITCH, _VENUES, _BEST, _INDEX, _PAGE, _SPARKS, _VERDICT, _START = _SCHEMAS
_QUOTES = {"type": "array", "items": _QUOTE}
_POSITION = {
    "Stream-Epoch": {
        "description": "Identity of the data set; a different value means different data.",
        "schema": {"type": "string"},
    },
    "Stream-Seq": {
        "description": "Sequence number of the newest published change.",
        "schema": {"type": "integer"},
    },
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
_UNKNOWN = {"404": _problem("No such instrument; `near` lists similar ones.")}
_UNREACHABLE = {"503": _problem("The engine cannot be reached.")}
_UNCHANGED = {"304": {"description": "Not modified: the client already has this version (If-None-Match)."}}
_STATUS = {"type": "object", "properties": {"status": {"type": "string"}}}
_PINNED = {"type": ["string", "null"], "description": "The pinned source, null while none is."}


def _query(name: str, text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "query", "required": False, "description": text, "schema": schema}


_COUNT = {"type": "integer", "minimum": 1, "maximum": 5000}
_MOMENT = {"type": "integer", "minimum": 0}
_RANGE = [
    _query("interval", "Length of a bar; 1m if neither it nor `points` is given.", {"enum": list(INTERVALS)}),
    _query("points", "Instead of `interval`: pick the finest interval with at most this many bars.", _COUNT),
    _query("from", "Only bars that begin at or after this time (ms); the oldest of them first.", _MOMENT),
    _query("to", "Only bars that begin before this time (ms); without `from`, the newest of them.", _MOMENT),
    _query(
        "limit", "Maximum number of bars, by default 500; `older` and `newer` lead to the next page.", _COUNT
    ),
    _query("format", "csv: only the bars, as text/csv.", {"enum": ["json", "csv"]}),
]

_PIN: dict[str, Any] = {
    "summary": "Pin a source: only it serves; `auto` unpins.",
    "description": "Needs the admin token: the setting admin_token, or what the command `token` prints.",
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
        "400": _problem("`source` is missing, not a string, or unknown."),
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
        "The instrument's page, or its quote if the client prefers application/json.",
        {
            "200": {
                "description": "A page, or the quote.",
                "content": {**_HTML, "application/json": {"schema": _QUOTE}},
            },
            "308": {"description": "Redirect from another spelling to the canonical path."},
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
            "503": _json("No price is live: the last known quotes, all stale.", _QUOTES, headers=_POSITION),
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
    "/best/{symbol}": _get(
        "The best bid and ask over all live sources: sizes, who has them, who was left out and why.",
        {"200": _json("The best prices.", _BEST), **_UNCHANGED, **_UNKNOWN, **_UNREACHABLE},
        parameters=[_SYMBOL],
    ),
    "/index/{symbol}": _get(
        "The index: a fair price out of several sources, its constituents, who was left out and why.",
        {"200": _json("The index.", _INDEX), **_UNCHANGED, **_UNKNOWN, **_UNREACHABLE},
        parameters=[_SYMBOL],
    ),
    "/history": _get(
        "The last price of each minute of the last hour, for every instrument.",
        {"200": _json("The prices.", _SPARKS), **_UNCHANGED, **_UNREACHABLE},
    ),
    "/history/{symbol}": _get(
        "Bars of one instrument, built from its trades, and the gaps; or those of its index: index:btcusdt.",
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
            "503": _problem("The engine cannot be reached, or the history is unavailable."),
        },
        parameters=[_SYMBOL, *_RANGE],
    ),
    "/sources": _get(
        "Sources and their states, whether prices are live, the engine, recent failovers and restarts.",
        {
            "200": _json(
                "Sources in order of preference; failovers and engine starts, oldest first.",
                {
                    "type": "object",
                    "properties": {
                        "pinned": _PINNED,
                        "sources": {"type": "array", "items": _SOURCE},
                        "switches": {"type": "array", "items": _SWITCH, "maxItems": MAX_SWITCHES},
                        "switches_since": {**_MOMENT, "description": "When recording of switches began."},
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
        "The order gateway: JSON over a WebSocket (docs/orders.md).",
        {
            "101": {"description": "Connected."},
            "400": _problem("A parameter or the handshake is wrong."),
            "403": _problem("Pages of this origin may not connect."),
            "426": _problem("Not a WebSocket handshake."),
            "429": _problem("Too many connections from this address or of this client_id."),
            "503": _problem("This gateway has reached its limit of connections."),
        },
        parameters=[
            _query(
                "client_id",
                "Owner of the orders; a new one if omitted.",
                {"type": "string", "format": "uuid"},
            ),
            {
                "name": "X-Client-Id",
                "in": "header",
                "description": "The same as client_id, but kept out of proxies' access logs.",
                "schema": {"type": "string", "format": "uuid"},
            },
            _query("mode", "extended: more message types and fields.", {"enum": ["plain", "extended"]}),
        ],
    ),
    "/connect": _get(
        "Whether pages of an origin may connect; says why a WebSocket was refused, which browsers hide.",
        {
            "200": _json("They may connect.", _STATUS),
            "403": _problem("They may not; the detail says what to change."),
            "503": _problem("They may, but the gateway is full."),
        },
        parameters=[_query("origin", "The origin of the page.", {"type": "string"})],
    ),
    "/healthz": _get("Liveness: the process responds.", {"200": _json("Alive.", _STATUS)}),
    "/readyz": _get(
        "Readiness: prices are live (of a real pair, if there are any).",
        {"200": _json("Ready.", _STATUS), "503": _problem("Not ready; `reasons` says why.")},
    ),
    "/metrics": _get("Prometheus metrics.", {"200": {"description": "Text.", "content": _TEXT}}),
    "/openapi.json": _get("This description.", {"200": _json("OpenAPI.", {"type": "object"}), **_UNCHANGED}),
    "/status": _get(
        "The status page: sources, switches between them, viewers and versions.",
        {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED},
    ),
    "/markets": _get(
        "A page: the best bid and ask over all venues, the index, and the premium of each venue to it.",
        {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED},
    ),
    "/orders": _get(
        "A page to place and watch paper orders.",
        {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED},
    ),
    "/docs": _get(
        "The page that shows this description.",
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
            "Live prices from several exchanges with failover between them. Prices, sizes and volumes are "
            "decimal strings exactly as the venue sent them; times are ms since the Unix epoch. The live "
            "stream is Socket.IO at /socket.io/ (events hello, subscribe, unsubscribe, snapshot, quotes, "
            "candles, venues, best, index, source, status)."
        ),
    },
    "paths": _PATHS,
    "components": {
        "schemas": {**_COMPONENTS, "Problem": _PROBLEM},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}
