"""Books of venues on a line that loses frames: never a ladder that the venue's book is not.

The books of the fakes, which share no code with ours, are right. CRYPTO_STREAM_DEPTH_DAY=1 makes it a day.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice

import pytest
from msgspec.structs import replace

from crypto_stream.feed.loading import load_source
from crypto_stream.feed.sources import Venue
from crypto_stream.market.ladder import DepthChange
from tests.fakes import FAKES
from tests.fakes.books import Row, Sent
from tests.feed.losing import FRAME_NS, Line, Moment, Receiver, follow

# Those whose numbers reveal each loss, one with checksums, and those that send the first levels whole.
NUMBERED = ("bitfinex", "bitget", "bybit", "coinbase", "gemini", "okx")
VENUES = (
    *NUMBERED, "kraken",
    "binance", "bitstamp", "cryptocom", "gate", "htx", "kucoin", "mexc", "upbit",
)  # fmt: skip
LEVEL_BY_LEVEL = ("bitfinex",)
FRAMES = 86_400 * 10**9 // FRAME_NS if os.environ.get("CRYPTO_STREAM_DEPTH_DAY") else 2_500
RATE = 0.003
PAIR = "btcusdt"


def moments(name: str) -> Iterator[Moment]:
    """Let the book of a fake venue change."""
    fake = FAKES[name]([PAIR])
    walk = fake.walks[PAIR]
    book = fake.book(walk)
    before = book.whole()
    while True:
        walk.step()
        sent = book.step()
        for each in one_by_one(before, sent) if name in LEVEL_BY_LEVEL else [sent]:
            bids, asks = each.bids, each.asks
            whole = Sent(True, each.number, -1, bids, asks, bids, asks)
            yield Moment(fake.book_frame(walk, each), fake.book_frame(walk, whole), bids[:20], asks[:20])
        before = sent


def one_by_one(before: Sent, sent: Sent) -> Iterator[Sent]:
    """Split what changed into single levels, those that are removed first, with the book after each."""
    sides = dict(before.bids), dict(before.asks)
    changed = [*((False, row) for row in sent.changed_bids), *((True, row) for row in sent.changed_asks)]
    for is_ask, (price, size) in sorted(changed, key=lambda each: bool(each[1][1])):
        sides[is_ask].pop(price, None)
        if size:
            sides[is_ask][price] = size
        rows: tuple[list[Row], list[Row]] = ([], [])
        rows[is_ask].append((price, size))
        bids, asks = sorted(sides[False].items(), reverse=True), sorted(sides[True].items())
        yield Sent(False, sent.number, sent.after, *rows, bids, asks)


def receiver(name: str) -> Receiver:
    """Return who receives the frames of a venue."""
    fake = FAKES[name]([PAIR])
    return Receiver(name, PAIR, fake.introduction_of_books(), fake.encode)


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize("kind", ["none", "drop", "cut", "repeat", "swap"])
def test_a_spoiled_frame_never_makes_a_wrong_ladder(name: str, kind: str) -> None:
    """It is the venue's at one moment, or unknown until the venue sends all of it, as it is asked to."""
    found = follow(islice(moments(name), FRAMES), Line(kind, RATE, 1), receiver(name))

    assert found.frames == FRAMES
    assert (found.spoiled > 0) is (kind != "none")
    assert found.known > 0.9 * FRAMES
    if kind == "none":
        assert (found.known, found.requested) == (FRAMES, 1)
    elif kind in {"drop", "cut"} and name in NUMBERED:
        assert found.requested > found.spoiled / 2  # each loss is noticed, by the numbers


def test_no_venue_is_forgotten() -> None:
    """Whoever gives books is on this line."""
    sources = {name: load_source(name, None, {}) for name in FAKES}
    giving = {name for name, source in sources.items() if isinstance(source, Venue) and source.gives_depth}

    assert giving == set(VENUES)


@pytest.mark.parametrize("name", [*NUMBERED, "kraken"])
def test_the_reference_notices_what_the_rules_are_for(name: str) -> None:
    """Without the venue's numbers and checksums such losses make wrong ladders: the test can fail."""
    reading = receiver(name)
    take = reading.books.take

    def blind(change: DepthChange, now_ns: int) -> str | None:
        return take(replace(change, after=None, is_right=None, certain=20), now_ns)

    reading.books.take = blind  # type: ignore[method-assign,assignment]
    reading.books.lose = lambda *given: None  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="none that the venue had"):
        follow(islice(moments(name), FRAMES), Line("drop", 0.05, 1), reading)
