"""Cached responses are built once and never older than the mirror; no server, no Flask."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from crypto_stream.bus.messages import Quotes, Snapshot
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http_cache.responder import Responder
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.market.instruments import Catalogue, Instrument
from crypto_stream.market.quotes import Quote
from tests.gateway.engine import INSTRUMENTS, quote
from tests.gateway.test_cacheable_request import SIMPLE, with_fields

FILE = "js/live.js"
SAYING = "a saying of sixty letters that comes again and again, and yet again; "


@pytest.fixture
def mirror() -> Mirror:
    """Make a mirror that has received a snapshot."""
    made = Mirror()
    made.receive(snapshot(), 0.0)
    return made


@pytest.fixture
def cache(mirror: Mirror, tmp_path: Path) -> ResponseCache:
    """Make a cache whose pages consist of the template's name and the instruments, with two static files."""
    (tmp_path / "js").mkdir()
    (tmp_path / FILE).write_text(SAYING * 20)
    (tmp_path / "js" / "large.js").write_text(SAYING * 1000)
    return ResponseCache(
        mirror, lambda name, **context: f"{name} {context.get('instruments')} {SAYING * 20}", tmp_path
    )


def snapshot(number: int = 3, epoch: str = "e1") -> Snapshot:
    """Make a snapshot of the first instruments."""
    known = INSTRUMENTS[:number]
    quotes = [quote(one, at) for at, one in enumerate(known, 1)]
    return Snapshot(epoch, 3, known, quotes, [], None, {})


def symbols(body: bytes) -> list[str]:
    """List the symbols in a /courses response."""
    return [one.symbol for one in msgspec.json.decode(body, type=list[Quote])]


PATHS = ["/courses", "/courses/btcusdt", "/btcusdt", "/", "/docs", "/openapi.json", f"/static/{FILE}"]


@pytest.mark.parametrize("path", PATHS)
def test_a_response_is_built_once_while_nothing_changes(cache: ResponseCache, path: str) -> None:
    """The very same object, with and without a preference for JSON."""
    for prefers_json in (True, False):
        first = cache.find(path, prefers_json)

        assert first is not None
        assert cache.find(path, prefers_json) is first


def test_a_changed_quote_rebuilds_quotes_but_not_pages(cache: ResponseCache, mirror: Mirror) -> None:
    """Only responses that contain quotes are rebuilt."""
    before = [cache.find(path, False) for path in PATHS]
    mirror.receive(Quotes(4, [quote(INSTRUMENTS[0], 4, "7.5")], {}), 0.0)

    after = [cache.find(path, False) for path in PATHS]

    assert [new is old for old, new in zip(before, after, strict=True)] == [False, False, *[True] * 5]
    assert after[1] is not None
    assert b'"price":"7.5"' in after[1].body(zipped=False)
    assert ("Stream-Seq", "4") in after[1].headers(False, "")


def test_an_instrument_missing_in_a_snapshot_disappears(cache: ResponseCache, mirror: Mirror) -> None:
    """From /courses, its own paths and the pages that list it, though no other quote has changed."""
    for path in PATHS:
        cache.find(path, False)
    mirror.receive(snapshot(2), 0.0)

    courses = cache.find("/courses", False)
    board = cache.find("/", False)

    assert courses is not None
    assert board is not None
    assert symbols(courses.body(zipped=False)) == ["btcusdt", "ethusdt"]
    assert b"ticker_00" not in board.body(zipped=False)
    assert cache.find("/courses/ticker_00", False) is None


def test_the_list_of_instruments_is_built_once_while_it_is_the_same(
    cache: ResponseCache, mirror: Mirror
) -> None:
    """It is what every page's list to pick from is loaded from."""
    first = cache.listing()
    mirror.receive(Quotes(4, [quote(INSTRUMENTS[0], 4, "7.5")], {}), 0.0)
    second = cache.listing()
    mirror.receive(snapshot(2), 0.0)

    assert second is first
    assert b"ticker_00" in first.body(zipped=False)
    assert b"ticker_00" not in cache.listing().body(zipped=False)


def test_pages_of_instruments_are_bounded(tmp_path: Path) -> None:
    """Those used last are kept, whoever looks at all of them; each names only itself and its neighbours."""
    known = [Instrument(f"c{number:03}usdt", f"C{number:03}", "USDT") for number in range(600)]
    mirror = Mirror()
    mirror.receive(Snapshot("e1", 3, known, [quote(one, 1) for one in known], [], None, {}), 0.0)
    rendered: list[dict[str, Any]] = []

    def render(name: str, **context: Any) -> str:
        rendered.append(context)
        return name

    cache = ResponseCache(mirror, render, tmp_path)
    first = cache.find("/c000usdt", False)
    for one in known:
        cache.find(f"/{one.symbol}", False)
        assert cache.find("/c000usdt", False) is first
    cache.find("/c101usdt", False)
    assert len(rendered) == 600
    cache.find("/c100usdt", False)

    assert len(rendered) == 601
    assert rendered[0]["neighbours"] == ("c599usdt", "c001usdt")
    assert not any(isinstance(value, (list, Catalogue)) and value for value in rendered[0].values())


def test_a_new_epoch_is_sent_although_all_quotes_are_the_same(cache: ResponseCache, mirror: Mirror) -> None:
    """`Stream-Epoch` is that of the newest snapshot."""
    cache.courses()
    mirror.receive(snapshot(epoch="e2"), 0.0)

    assert ("Stream-Epoch", "e2") in cache.courses().headers(False, "")


def test_without_the_engine_every_quote_is_stale(cache: ResponseCache, mirror: Mirror) -> None:
    """/courses becomes 503 at once."""
    before = cache.courses().status
    mirror.engine_lost()

    assert (before, cache.courses().status) == (200, 503)


@pytest.mark.parametrize(
    "path", ["/static/js/large.js", "/static/../settings.py", "/static/js", "/static/", "/nope"]
)
def test_large_or_missing_files_are_not_cached(cache: ResponseCache, path: str) -> None:
    """Only names found in the folder are looked up: no path can leave it."""
    assert cache.find(path, False) is None


def test_cached_responses_and_heads_are_bounded(cache: ResponseCache) -> None:
    """Any number of different heads and tags is answered; memory stays bounded."""
    counters = DeliveryMetrics()
    responder = Responder(cache, (), counters, b"")
    for number in range(3000):
        assert responder(with_fields(b'If-None-Match: "%d"' % number)) is not None
        assert responder(with_fields(b"Frobnicate: %d" % number)) is None

    assert counters.prebuilt == 3000
    assert len(responder._heads) <= 1000
    assert len(responder._ready) <= 64


def test_a_change_within_the_second_is_in_the_next_response(cache: ResponseCache, mirror: Mirror) -> None:
    """A ready response is discarded when the mirror changes."""
    responder = Responder(cache, (), DeliveryMetrics(), b"")
    responder(SIMPLE)
    mirror.receive(Quotes(4, [quote(INSTRUMENTS[0], 4, "7.5")], {}), 0.0)

    answered = responder(SIMPLE + SIMPLE)

    assert answered is not None
    assert answered[0] == len(SIMPLE)
    assert b'"price":"7.5"' in answered[1]
