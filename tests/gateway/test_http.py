"""Every HTTP path, over real sockets, on both servers."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urljoin

import httpx
import msgspec
import pytest

from crypto_stream.gateway.app import MAX_RECEIVED
from crypto_stream.market.quotes import Quote
from tests.gateway.engine import INSTRUMENTS, Engine
from tests.gateway.process import ADMIN, TOKEN, Gateway

pytestmark = pytest.mark.asyncio(loop_scope="module")

HTML = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
JSON = {"Accept": "application/json"}
PATHS = [
    "/",
    "/btcusdt",
    "/docs",
    "/instruments",
    "/markets",
    "/courses",
    "/courses/btcusdt",
    "/venues/btcusdt",
    "/sources",
    "/openapi.json",
]
EVERY = [
    *PATHS,
    "/healthz",
    "/readyz",
    "/metrics",
    "/nope",
    "/static/favicon.svg",
    "/socket.io/?EIO=9",
    "/%ff%fe",
]


async def test_courses_is_an_array_of_quotes_in_the_order_of_the_instruments(gateway: Gateway) -> None:
    """Every quote has the contract's fields in their order, numbers as strings."""
    answer = await gateway.http.get("/courses")

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/json"
    quotes = msgspec.json.decode(answer.content, type=list[Quote])
    assert [one.symbol for one in quotes] == [one.symbol for one in INSTRUMENTS]
    assert list(answer.json()[0]) == list(Quote.__struct_fields__)
    assert answer.headers["Stream-Epoch"] == "e1"
    assert int(answer.headers["Stream-Seq"]) >= 3


@pytest.mark.parametrize("spelling", ["btcusdt", "BTCUSDT", "BTC-USDT", "BTC/USDT", "btc_usdt", "BTC%2FUSDT"])
async def test_a_symbol_is_found_in_any_usual_spelling(gateway: Gateway, spelling: str) -> None:
    """APIs respond directly; the page redirects to the canonical path and keeps the query."""
    course = await gateway.http.get(f"/courses/{spelling}")
    venues = await gateway.http.get(f"/venues/{spelling}")
    page = await gateway.http.get(f"/{spelling}?a=1&b=%20", headers=HTML)

    assert course.json()["symbol"] == venues.json()["symbol"] == "btcusdt"
    if spelling == "btcusdt":
        assert page.status_code == 200
    else:
        assert page.status_code == 308
        assert urljoin(f"/{spelling}", page.headers["Location"]) == "/btcusdt?a=1&b=%20"


async def test_the_instrument_path_gives_the_page_or_the_quote_as_the_client_prefers(
    gateway: Gateway,
) -> None:
    """HTML for browsers and clients without a preference, JSON for those that prefer it; with `Vary`."""
    page = await gateway.http.get("/btcusdt", headers=HTML)
    anything = await gateway.http.get("/btcusdt", headers={"Accept": "*/*"})
    quote = await gateway.http.get("/btcusdt", headers=JSON)

    assert page.headers["Content-Type"] == anything.headers["Content-Type"] == "text/html; charset=utf-8"
    assert quote.json()["symbol"] == "btcusdt"
    assert all("Accept" in one.headers["Vary"].split(", ") for one in (page, quote))


async def test_instruments_are_a_list_or_for_browsers_a_page(gateway: Gateway) -> None:
    """JSON for programs and clients without a preference, HTML for browsers, with `Vary`; one address."""
    page = await gateway.http.get("/instruments?any=thing", headers=HTML)
    anything = await gateway.http.get("/instruments", headers={"Accept": "*/*"})
    listed = await gateway.http.get("/instruments", headers=JSON)
    moved = await gateway.http.get("/instruments/", headers=HTML)

    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert 'data-symbol="ethusdt"' in page.text
    assert [one["symbol"] for one in listed.json()["instruments"]] == [one.symbol for one in INSTRUMENTS]
    assert listed.json()["instruments"][0] == {
        "symbol": "btcusdt", "base": "BTC", "quote": "USDT", "synthetic": False, "coin": "Bitcoin"
    }  # fmt: skip
    assert anything.content == listed.content
    assert all("Accept" in one.headers["Vary"].split(", ") for one in (page, anything, listed))
    assert (moved.status_code, moved.headers["Location"]) == (308, "../instruments")


async def test_pages_carry_no_live_value(gateway: Gateway, engine: Engine) -> None:
    """A page is the same before and after a price changes."""
    before = await gateway.http.get("/btcusdt", headers=HTML)
    changed = engine.change(price="31337.31337")
    await _until_seq(gateway, changed.seq)

    after = await gateway.http.get("/btcusdt", headers=HTML)

    assert after.content == before.content
    assert b"31337" not in after.content


@pytest.mark.parametrize("path", PATHS)
async def test_cacheable_responses_have_an_etag_and_give_304(gateway: Gateway, path: str) -> None:
    """Uncompressed and compressed variants have their own tags; each gives 304 without a body."""
    for encoding in ("identity", "gzip"):
        first = await gateway.http.get(path, headers={"Accept-Encoding": encoding})
        tag = first.headers["ETag"]
        again = await gateway.http.get(path, headers={"Accept-Encoding": encoding, "If-None-Match": tag})

        if path not in {"/sources", "/venues/btcusdt"}:  # their ages differ each time
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["ETag"] == tag
        assert first.headers["Cache-Control"] in {"no-cache", "public, max-age=60"}
        assert first.headers.get("Content-Encoding", "identity") in {encoding, "identity"}


async def test_a_changed_quote_changes_the_etag(gateway: Gateway, engine: Engine) -> None:
    """A request with the old tag gets the new body."""
    first = await gateway.http.get("/courses/btcusdt")
    await _until_seq(gateway, engine.change(price="5.5").seq)

    second = await gateway.http.get("/courses/btcusdt", headers={"If-None-Match": first.headers["ETag"]})

    assert (second.status_code, second.json()["price"]) == (200, "5.5")


async def test_gzip_is_sent_to_clients_that_accept_it(gateway: Gateway) -> None:
    """`q=0` is a refusal."""
    plain = await gateway.http.get("/courses", headers={"Accept-Encoding": "gzip;q=0"})
    request = gateway.http.build_request("GET", "/courses", headers={"Accept-Encoding": "gzip"})
    answer = await gateway.http.send(request, stream=True)
    raw = b"".join([part async for part in answer.aiter_raw()])

    assert "Content-Encoding" not in plain.headers
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(raw) == plain.content
    assert "Accept-Encoding" in answer.headers["Vary"]


@pytest.mark.parametrize("path", ["/", "/courses", "/courses/btcusdt", "/healthz", "/metrics"])
async def test_head_is_get_without_the_body(gateway: Gateway, path: str) -> None:
    """Same status and length, nothing after the headers."""
    head = await gateway.http.head(path)
    get = await gateway.http.get(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    if path != "/metrics":
        assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("path", EVERY)
async def test_every_response_has_the_security_headers(gateway: Gateway, path: str) -> None:
    """Pages, files, problems and Socket.IO alike; no inline script, no foreign origin."""
    answer = await gateway.http.get(path)

    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "same-origin"
    assert answer.status_code < 500
    assert "Access-Control-Allow-Origin" not in answer.headers


async def test_no_page_has_an_inline_script_or_style(gateway: Gateway) -> None:
    """The policy forbids them, so they would not work."""
    for path in ("/", "/btcusdt", "/docs", "/nope"):
        text = (await gateway.http.get(path, headers=HTML)).text

        assert "<script>" not in text
        assert "<style" not in text
        assert 'style="' not in text
        assert "http://" not in text.replace("http://www.w3.org", "")


PROBLEMS: list[tuple[str, str, int, str]] = [
    ("GET", "/courses/btcusd", 404, "unknown_symbol"),
    ("GET", "/venues/btcusd", 404, "unknown_symbol"),
    ("GET", "/best/btcusd", 404, "unknown_symbol"),
    ("GET", "/index/btcusdt?levels=5", 400, "bad_parameter"),
    ("GET", "/depth/btcusdt?levels=0", 400, "bad_parameter"),
    ("GET", "/depth/btcusdt?levels=21", 400, "bad_parameter"),
    ("GET", "/depth/btcusdt?levels=-1", 400, "bad_parameter"),
    ("GET", "/depth/btcusdt?depth=5", 400, "bad_parameter"),
    ("GET", "/depth/btcusd", 404, "unknown_symbol"),
    ("GET", "/btcusd", 404, "unknown_symbol"),
    ("GET", "/courses/%00", 404, "unknown_symbol"),
    ("GET", "/courses/" + "x" * 2000, 404, "unknown_symbol"),
    ("GET", "/static/nothing.js", 404, "not_found"),
    ("GET", "/static/../pyproject.toml", 404, "unknown_symbol"),
    ("GET", "/static/%2e%2e/pyproject.toml", 404, "not_found"),
    ("POST", "/courses", 405, "method_not_allowed"),
    ("DELETE", "/btcusdt", 405, "method_not_allowed"),
    ("GET", "/sources/active", 405, "method_not_allowed"),
]


@pytest.mark.parametrize(("method", "path", "status", "code"), PROBLEMS)
async def test_errors_are_problems_with_a_stable_code(
    gateway: Gateway, method: str, path: str, status: int, code: str
) -> None:
    """Status in the line and in the body, `code`, a reason, and no traceback."""
    answer = await gateway.http.request(method, path)

    problem = answer.json()
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert (answer.status_code, problem["status"], problem["code"]) == (status, status, code)
    assert problem["detail"]
    assert "Traceback" not in answer.text
    if status == 405:
        assert "GET" in answer.headers["Allow"] or "POST" in answer.headers["Allow"]


async def test_an_unknown_symbol_names_near_matches(gateway: Gateway) -> None:
    """For programs in `near`, for browsers as links on a page."""
    problem = (await gateway.http.get("/courses/btcusd")).json()
    page = await gateway.http.get("/btcusd", headers=HTML)

    assert problem["near"][0] == "btcusdt"
    assert (page.status_code, page.headers["Content-Type"]) == (404, "text/html; charset=utf-8")
    assert 'href="./btcusdt"' in page.text


async def test_a_path_is_escaped_on_the_problem_page(gateway: Gateway) -> None:
    """A link cannot inject markup into our page."""
    page = await gateway.http.get("/<img src=x>", headers=HTML)

    assert page.status_code == 404
    assert "<img src=x" not in page.text


async def test_sources_are_listed_with_all_fields(gateway: Gateway) -> None:
    """All members of the contract, and which one is pinned."""
    answer = (await gateway.http.get("/sources")).json()

    assert answer["pinned"] is None
    binance = answer["sources"][0]
    assert (binance["name"], binance["state"], binance["reconnects"]) == ("binance", "live", 1)
    assert binance["last_error"] == "cut by a test"
    assert binance["age_ms"] >= 12
    assert binance["frames"] == {"ticker": 7}


async def test_venues_are_the_engines_response(gateway: Gateway) -> None:
    """Rows with state and age, and the best bid and ask among the live ones."""
    answer = (await gateway.http.get("/venues/btcusdt")).json()

    assert (answer["symbol"], answer["best_bid"], answer["best_ask_source"]) == (
        "btcusdt",
        "99.50",
        "binance",
    )
    assert answer["sources"][0]["age_ms"] == 5


@pytest.mark.parametrize("spelling", ["btcusdt", "BTC/USDT"])
async def test_the_books_are_the_engines_as_far_as_requested(gateway: Gateway, spelling: str) -> None:
    """All levels, or the first ones of each side, merged and by venue."""
    whole = (await gateway.http.get(f"/depth/{spelling}")).json()
    first = (await gateway.http.get(f"/depth/{spelling}?levels=1")).json()

    assert first == {
        "symbol": "btcusdt",
        "stale": False,
        "reason": None,
        "bids": [{"price": "99.5", "size": "1", "sources": {"binance": "1"}}],
        "asks": [{"price": "100.5", "size": "1", "sources": {"binance": "1"}}],
        "crossed": False,
        "venues": [
            {
                "source": "binance",
                "time": None,
                "age_ms": 5,
                "levels": 1,
                "bids": [["99.5", "1"]],
                "asks": [["100.5", "1"]],
            }
        ],
        "left_out": [{"source": "okx", "reason": "halted"}],
    }
    assert [each["price"] for each in whole["asks"]] == ["100.5", "101"]
    assert len(whole["venues"][0]["bids"]) == 2


@pytest.mark.parametrize("spelling", ["btcusdt", "BTC/USDT"])
async def test_best_and_index_are_the_engines_response(gateway: Gateway, spelling: str) -> None:
    """With everything that the engine says of them."""
    best = (await gateway.http.get(f"/best/{spelling}")).json()
    index = (await gateway.http.get(f"/index/{spelling}")).json()

    assert best == {
        "symbol": "btcusdt",
        "stale": False,
        "reason": None,
        "bid": {
            "price": "99.50",
            "size": "1.5",
            "sources": [{"source": "binance", "size": "1.5", "age_ms": 5}],
        },
        "ask": {
            "price": "100.50",
            "size": "1.5",
            "sources": [{"source": "binance", "size": "1.5", "age_ms": 5}],
        },
        "spread_bps": "100.00",
        "crossed": False,
        "sources": ["binance"],
        "left_out": [{"source": "okx", "reason": "halted"}],
    }
    assert (index["symbol"], index["price"], index["stale"], index["reason"]) == (
        "btcusdt",
        "100.00",
        False,
        None,
    )
    assert index["time"] > 1_700_000_000_000
    assert index["constituents"][0] == {
        "source": "binance", "price": "100", "by": "mid", "weight": "7.5", "age_ms": 5,
    }  # fmt: skip
    assert index["left_out"] == [{"source": "bybit", "reason": "halted"}]


async def test_health_and_readiness(gateway: Gateway) -> None:
    """Alive and ready, never cached."""
    for path in ("/healthz", "/readyz"):
        answer = await gateway.http.get(path)

        assert answer.status_code == 200
        assert answer.headers["Cache-Control"] == "no-store"


async def test_metrics_are_prometheus_text_about_sources_and_viewers(gateway: Gateway) -> None:
    """Everything an operator needs for alerts."""
    answer = await gateway.http.get("/metrics")

    assert answer.headers["Content-Type"].startswith("text/plain")
    for line in (
        "crypto_stream_engine_up 1.0",
        "crypto_stream_viewers 0.0",
        'crypto_stream_source_live{source="binance"} 1.0',
        'crypto_stream_source_lacking{source="binance"} 0.0',
        'crypto_stream_source_frames_total{channel="ticker",source="binance"} 7.0',
        'crypto_stream_source_dropped_total{channel="ticker",source="binance"} 1.0',
        "crypto_stream_skipped_total 0.0",
        "crypto_stream_disconnected_slow_total 0.0",
    ):
        assert line in answer.text.splitlines()
    assert 'crypto_stream_quote_age_seconds{symbol="btcusdt"}' in answer.text


PINS: list[tuple[dict[str, Any], int, str]] = [
    ({"content": b"{"}, 400, "bad_json"),
    ({"json": []}, 400, "bad_parameter"),
    ({"json": {}}, 400, "bad_parameter"),
    ({"json": {"source": 5}}, 400, "bad_parameter"),
    ({"json": {"source": ""}}, 400, "bad_parameter"),
    ({"json": {"source": "nobody"}}, 400, "unknown_source"),
    ({"json": {"source": "x" * MAX_RECEIVED}}, 413, "request_entity_too_large"),
    (
        {"json": {"source": "binance"}, "headers": {"Content-Type": "text/plain"}},
        415,
        "unsupported_media_type",
    ),
    ({"json": {"source": "binance"}, "headers": {"Authorization": ""}}, 401, "unauthorized"),
    ({"json": {"source": "binance"}, "headers": {"Authorization": "Bearer"}}, 401, "unauthorized"),
    ({"json": {"source": "binance"}, "headers": {"Authorization": "Bearer None"}}, 401, "unauthorized"),
    ({"json": {"source": "binance"}, "headers": {"Authorization": f"Basic {TOKEN}"}}, 401, "unauthorized"),
    ({"json": {"source": "x" * MAX_RECEIVED}, "headers": {"Authorization": ""}}, 401, "unauthorized"),
]


@pytest.mark.parametrize(("request_", "status", "code"), PINS)
async def test_an_invalid_pin_is_refused_and_changes_nothing(
    gateway: Gateway, engine: Engine, request_: dict[str, Any], status: int, code: str
) -> None:
    """The problem names an invalid parameter, or says who may pin."""
    headers = {"Content-Type": "application/json", **ADMIN, **request_.get("headers", {})}
    answer = await gateway.http.post("/sources/active", **{**request_, "headers": headers})

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    if status == 400 and code != "bad_json":
        assert answer.json()["parameter"] == "source"
    assert engine.pin is None


async def test_a_chunked_body_is_accepted(gateway: Gateway) -> None:
    """A pin sent with Transfer-Encoding: chunked is handled like one with a length."""

    async def chunks() -> AsyncIterator[bytes]:
        yield b'{"source":'
        yield b'"auto"}'

    json = {"Content-Type": "application/json", **ADMIN}
    answer = await gateway.http.post("/sources/active", content=chunks(), headers=json)
    after = await gateway.http.get("/healthz")

    assert (answer.status_code, after.status_code) == (200, 200)


async def test_pinning_needs_the_token(gateway: Gateway, engine: Engine) -> None:
    """A local address and our own page are not enough; `auto` unpins."""
    own = {"Origin": gateway.url, **ADMIN}
    local = await gateway.http.post(
        "/sources/active", json={"source": "synthetic"}, headers={"Origin": gateway.url}
    )
    assert (local.status_code, engine.pin) == (401, None)
    pinned = await gateway.http.post("/sources/active", json={"source": "synthetic"}, headers=own)
    pin = engine.pin
    unpinned = await gateway.http.post("/sources/active", json={"source": "auto"}, headers=ADMIN)

    assert (pinned.status_code, pinned.json()) == (200, {"pinned": "synthetic"})
    assert pin == "synthetic"
    assert (unpinned.status_code, engine.pin) == (200, None)


async def _until_seq(gateway: Gateway, seq: int) -> httpx.Response:
    """Wait until the gateway shows this change."""
    while True:  # until pytest's timeout
        answer = await gateway.http.get("/courses")
        if int(answer.headers["Stream-Seq"]) >= seq:
            return answer
