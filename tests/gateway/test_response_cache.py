"""What is on the shelf is built once and never older than the mirror; no server, no Flask."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from crypto_stream.bus.messages import Quotes, Snapshot
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http_cache.responder import Responder
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.market.quotes import Quote
from tests.gateway.engine import INSTRUMENTS, quote
from tests.gateway.test_cacheable_request import SIMPLE, with_fields

FILE = "js/live.js"
SAYING = "a saying of sixty letters that comes again and again, and yet again; "


@pytest.fixture
def mirror() -> Mirror:
    """Make a mirror that has heard a whole snapshot."""
    made = Mirror()
    made.receive(snapshot(), 0.0)
    return made


@pytest.fixture
def shelf(mirror: Mirror, tmp_path: Path) -> ResponseCache:
    """Make a shelf whose pages name their template and instruments; one file lies in its folder."""
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
    """List the symbols of a /courses answer."""
    return [one.symbol for one in msgspec.json.decode(body, type=list[Quote])]


PATHS = ["/courses", "/courses/btcusdt", "/btcusdt", "/", "/docs", "/openapi.json", f"/static/{FILE}"]


@pytest.mark.parametrize("path", PATHS)
def test_an_answer_is_built_once_while_nothing_changes(shelf: ResponseCache, path: str) -> None:
    """The very same object, for who prefers JSON and for who does not."""
    for prefers_json in (True, False):
        first = shelf.find(path, prefers_json)

        assert first is not None
        assert shelf.find(path, prefers_json) is first


def test_a_change_makes_quotes_anew_and_leaves_pages(shelf: ResponseCache, mirror: Mirror) -> None:
    """One changed quote: what shows quotes is rebuilt, what does not is not."""
    before = [shelf.find(path, False) for path in PATHS]
    mirror.receive(Quotes(4, [quote(INSTRUMENTS[0], 4, "7.5")], {}), 0.0)

    after = [shelf.find(path, False) for path in PATHS]

    assert [new is old for old, new in zip(before, after, strict=True)] == [False, False, *[True] * 5]
    assert after[1] is not None
    assert b'"price":"7.5"' in after[1].body(zipped=False)
    assert ("Stream-Seq", "4") in after[1].headers(False, "")


def test_a_snapshot_without_an_instrument_takes_it_away(shelf: ResponseCache, mirror: Mirror) -> None:
    """From /courses, its own paths and the pages that list it, though no other quote changed."""
    for path in PATHS:
        shelf.find(path, False)
    mirror.receive(snapshot(2), 0.0)

    courses = shelf.find("/courses", False)
    board = shelf.find("/", False)

    assert courses is not None
    assert board is not None
    assert symbols(courses.body(zipped=False)) == ["btcusdt", "ethusdt"]
    assert b"ticker_00" not in board.body(zipped=False)
    assert shelf.find("/courses/ticker_00", False) is None


def test_a_new_epoch_is_told_though_all_quotes_are_the_same(shelf: ResponseCache, mirror: Mirror) -> None:
    """`Stream-Epoch` is of the newest snapshot."""
    shelf.courses()
    mirror.receive(snapshot(epoch="e2"), 0.0)

    assert ("Stream-Epoch", "e2") in shelf.courses().headers(False, "")


def test_a_lost_engine_makes_every_answer_stale(shelf: ResponseCache, mirror: Mirror) -> None:
    """/courses becomes 503 at once."""
    before = shelf.courses().status
    mirror.engine_lost()

    assert (before, shelf.courses().status) == (200, 503)


@pytest.mark.parametrize(
    "path", ["/static/js/large.js", "/static/../settings.py", "/static/js", "/static/", "/nope"]
)
def test_what_is_large_or_not_there_is_not_on_the_shelf(shelf: ResponseCache, path: str) -> None:
    """Only names found in the folder are looked up: no path can leave it."""
    assert shelf.find(path, False) is None


def test_the_fast_road_keeps_answers_and_heads_bounded(shelf: ResponseCache) -> None:
    """Any number of different heads and tags is answered; what is remembered of them stays small."""
    counters = DeliveryMetrics()
    road = Responder(shelf, (), counters, b"")
    for number in range(3000):
        assert road(with_fields(b'If-None-Match: "%d"' % number)) is not None
        assert road(with_fields(b"Frobnicate: %d" % number)) is None

    assert counters.prebuilt == 3000
    assert len(road._heads) <= 1000
    assert len(road._ready) <= 64


def test_a_change_within_the_second_is_answered_at_once(shelf: ResponseCache, mirror: Mirror) -> None:
    """What was ready to be sent is not sent any more."""
    road = Responder(shelf, (), DeliveryMetrics(), b"")
    road(SIMPLE)
    mirror.receive(Quotes(4, [quote(INSTRUMENTS[0], 4, "7.5")], {}), 0.0)

    answered = road(SIMPLE + SIMPLE)

    assert answered is not None
    assert answered[0] == len(SIMPLE)
    assert b'"price":"7.5"' in answered[1]
