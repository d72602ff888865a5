"""The description of the HTTP interface (OpenAPI 3.1), served at /openapi.json."""

from __future__ import annotations

from typing import Any

import msgspec

import crypto_stream
from crypto_stream.bus.messages import ChangedInstruments, HistoryPage, Sparks
from crypto_stream.gateway.mirror import MAX_SWITCHES
from crypto_stream.gateway.verdict import Verdict
from crypto_stream.gateway.web.listing import Listing
from crypto_stream.gateway.web.openapi_parts import admin_post, get, json_answer, problem, query
from crypto_stream.market.bars import INTERVALS
from crypto_stream.market.best import Best
from crypto_stream.market.depth import Depth
from crypto_stream.market.index import Index
from crypto_stream.market.ladder import LEVELS
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
    (
        *(Quote, SourceStatus, Switch, Venues, Best, Index, Depth, HistoryPage, Sparks, Verdict),
        *(Start, Listing, ChangedInstruments),
    ),
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
_QUOTE, _SOURCE, _SWITCH, _VENUES, _BEST, _INDEX, _DEPTH, _PAGE, _SPARKS, _VERDICT, *_OTHERS = _SCHEMAS
_START, _LISTED, _CHANGED = _OTHERS
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
_HTML = {"text/html": {"schema": {"type": "string"}}}
_TEXT = {"text/plain": {"schema": {"type": "string"}}}
_UNKNOWN = {"404": problem("No such instrument; `near` lists similar ones.")}
_UNREACHABLE = {"503": problem("The engine cannot be reached.")}
_UNCHANGED = {"304": {"description": "Not modified: the client already has this version (If-None-Match)."}}
_NONE_NOW: dict[str, Any] = {**_UNCHANGED, **_UNKNOWN, **_UNREACHABLE}
_A_PAGE: dict[str, Any] = {"200": {"description": "A page.", "content": _HTML}, **_UNCHANGED}
_STATUS = {"type": "object", "properties": {"status": {"type": "string"}}}
_PINNED = {"type": ["string", "null"], "description": "The pinned source, null while none is."}
_COUNT = {"type": "integer", "minimum": 1, "maximum": 5000}
_MOMENT = {"type": "integer", "minimum": 0}
_LEVEL_COUNT = {"type": "integer", "minimum": 1, "maximum": LEVELS, "default": LEVELS}
_LEVELS = query("levels", "Levels of a side.", _LEVEL_COUNT)
_RANGE = [
    query("interval", "Length of a bar; 1m if neither it nor `points` is given.", {"enum": list(INTERVALS)}),
    query("points", "Instead of `interval`: pick the finest interval with at most this many bars.", _COUNT),
    query("from", "Only bars that begin at or after this time (ms); the oldest of them first.", _MOMENT),
    query("to", "Only bars that begin before this time (ms); without `from`, the newest of them.", _MOMENT),
    query(
        "limit", "Maximum number of bars, by default 500; `older` and `newer` lead to the next page.", _COUNT
    ),
    query("format", "csv: only the bars, as text/csv.", {"enum": ["json", "csv"]}),
]

_SYMBOLS = query(
    "symbols",
    "Only these, separated by commas, in any spelling; 503 while none of them is live.",
    {"type": "string", "examples": ["btcusdt,eth-usdt"]},
)
_CSV_TOO = {"text/csv": {"schema": {"type": "string"}}}
_WORDS = {"type": "array", "items": {"type": "string"}}
_CHANGE = admin_post(
    "Add and remove instruments.",
    {
        "add": {**_WORDS, "examples": [["SOL-USDT", "*-eur", "top:50-usdt"]]},
        "remove": {**_WORDS, "examples": [["xrpusdt"]]},
    },
    {
        "200": json_answer("Done; `left_out`: no venue has room for these.", _CHANGED),
        "400": problem("Nothing has changed: a word is wrong, no venue lists it, or it cannot be removed."),
        "503": problem("The engine cannot be reached, or no venue's list is known yet."),
    },
)
_PIN = admin_post(
    "Pin a source: only it serves; `auto` unpins.",
    {"source": {"type": "string", "examples": ["synthetic", "auto"]}},
    {
        "200": json_answer("Done.", {"type": "object", "properties": {"pinned": _PINNED}}),
        "400": problem("`source` is missing, not a string, or unknown."),
        **_UNREACHABLE,
    },
    required=("source",),
)

_PATHS: dict[str, Any] = {
    "/": get("The board: all quotes, live.", _A_PAGE),
    "/{symbol}": get(
        "The instrument's page, or its quote if the client prefers application/json.",
        {
            "200": {
                "description": "A page, or the quote.",
                "content": {**_HTML, "application/json": {"schema": _QUOTE}},
            },
            "308": {"description": "Redirect from another spelling to the canonical path."},
            **_NONE_NOW,
        },
        parameters=[_SYMBOL],
    ),
    "/courses": get(
        "All quotes, or some of them.",
        {
            "200": {
                "description": "The quotes.",
                "content": {"application/json": {"schema": _QUOTES}, **_CSV_TOO},
                "headers": _POSITION,
            },
            **_UNCHANGED,
            "400": problem("A parameter is wrong; `parameter` names it."),
            **_UNKNOWN,
            "503": json_answer(
                "No price is live: the last known quotes, all stale.", _QUOTES, headers=_POSITION
            ),
        },
        parameters=[_SYMBOLS, query("format", "csv: as text/csv.", {"enum": ["json", "csv"]})],
    ),
    "/instruments": {
        **get(
            "The instruments; for clients that prefer text/html the page that adds and removes them.",
            {
                "200": {
                    "description": "In their order, or a page.",
                    "content": {"application/json": {"schema": _LISTED}, **_HTML},
                },
                **_UNCHANGED,
            },
        ),
        "post": _CHANGE,
    },
    "/courses/{symbol}": get(
        "One quote.",
        {"200": json_answer("The quote.", _QUOTE, headers=_POSITION), **_NONE_NOW},
        parameters=[_SYMBOL],
    ),
    "/venues/{symbol}": get(
        "Every connected source's own quote, and the best bid and ask among the live ones.",
        {"200": json_answer("The rows.", _VENUES), **_NONE_NOW},
        parameters=[_SYMBOL],
    ),
    "/best/{symbol}": get(
        "The best bid and ask over all live sources: sizes, who has them, who was left out and why.",
        {"200": json_answer("The best prices.", _BEST), **_NONE_NOW},
        parameters=[_SYMBOL],
    ),
    "/index/{symbol}": get(
        "The index: a fair price out of several sources, its constituents, who was left out and why.",
        {"200": json_answer("The index.", _INDEX), **_NONE_NOW},
        parameters=[_SYMBOL],
    ),
    "/depth/{symbol}": get(
        "The books of all live sources: merged, and each one. Those that nobody watches are requested now.",
        {
            "200": json_answer("The books.", _DEPTH),
            "400": problem("levels is not a number from 1 to 20."),
            **_NONE_NOW,
        },
        parameters=[_SYMBOL, _LEVELS],
    ),
    "/history": get(
        "The last price of each minute of the last hour, for every instrument.",
        {"200": json_answer("The prices.", _SPARKS), **_UNCHANGED, **_UNREACHABLE},
    ),
    "/history/{symbol}": get(
        "Bars of one instrument, built from its trades, and the gaps; or those of its index: index:btcusdt.",
        {
            "200": {
                "description": "Bars, oldest first; the last one may be open.",
                "content": {"application/json": {"schema": _PAGE}, **_CSV_TOO},
            },
            **_UNCHANGED,
            "400": problem("A parameter is wrong; `parameter` names it."),
            **_UNKNOWN,
            "503": problem("The engine cannot be reached, or the history is unavailable."),
        },
        parameters=[_SYMBOL, *_RANGE],
    ),
    "/sources": get(
        "Sources and their states, whether prices are live, the engine, recent failovers and restarts.",
        {
            "200": json_answer(
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
    "/ws": get(
        "The order gateway: JSON over a WebSocket (docs/orders.md).",
        {
            "101": {"description": "Connected."},
            "400": problem("A parameter or the handshake is wrong."),
            "403": problem("Pages of this origin may not connect."),
            "426": problem("Not a WebSocket handshake."),
            "429": problem("Too many connections from this address or of this client_id."),
            "503": problem("This gateway has reached its limit of connections."),
        },
        parameters=[
            query(
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
            query("mode", "extended: more message types and fields.", {"enum": ["plain", "extended"]}),
        ],
    ),
    "/connect": get(
        "Whether pages of an origin may connect; says why a WebSocket was refused, which browsers hide.",
        {
            "200": json_answer("They may connect.", _STATUS),
            "403": problem("They may not; the detail says what to change."),
            "503": problem("They may, but the gateway is full."),
        },
        parameters=[query("origin", "The origin of the page.", {"type": "string"})],
    ),
    "/healthz": get("Liveness: the process responds.", {"200": json_answer("Alive.", _STATUS)}),
    "/readyz": get(
        "Readiness: prices are live (of a real pair, if there are any).",
        {"200": json_answer("Ready.", _STATUS), "503": problem("Not ready; `reasons` says why.")},
    ),
    "/metrics": get("Prometheus metrics.", {"200": {"description": "Text.", "content": _TEXT}}),
    "/openapi.json": get(
        "This description.", {"200": json_answer("OpenAPI.", {"type": "object"}), **_UNCHANGED}
    ),
    "/status": get("The status page: sources, switches between them, viewers and versions.", _A_PAGE),
    "/markets": get(
        "A page: the best bid and ask over all venues, the index, and the premium of each venue to it.",
        _A_PAGE,
    ),
    "/orders": get("A page to place and watch paper orders.", _A_PAGE),
    "/docs": get("The page that shows this description.", _A_PAGE),
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
            "candles, venues, best, index, depth, instruments, source, status)."
        ),
    },
    "paths": _PATHS,
    "components": {
        "schemas": {**_COMPONENTS, "Problem": _PROBLEM},
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
    },
}
