"""Books of venues on a line that loses frames: never a ladder that the venue's book is not.

The books of the fakes, which share no code with ours, are right. CRYPTO_STREAM_DEPTH_DAY=1 makes it a day.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from msgspec.structs import replace

from crypto_stream.feed.loading import load_source
from crypto_stream.feed.sources import Venue
from crypto_stream.market.ladder import DepthChange
from tests.fakes import FAKES
from tests.feed.losing import FRAME_NS, Line, Moment, Receiver, follow

# The latter send the first levels whole each time.
VENUES = (
    "coinbase", "kraken", "okx",
    "binance", "bitget", "bitstamp", "cryptocom", "gate", "htx", "kucoin", "upbit",
)  # fmt: skip
FRAMES = 86_400 * 10**9 // FRAME_NS if os.environ.get("CRYPTO_STREAM_DEPTH_DAY") else 2_500
RATE = 0.003
PAIR = "btcusdt"


def moments(name: str, frames: int) -> Iterator[Moment]:
    """Let the book of a fake venue change."""
    fake = FAKES[name]([PAIR])
    walk = fake.walks[PAIR]
    book = fake.book(walk)
    for _ in range(frames):
        walk.step()
        sent = book.step()
        yield Moment(
            fake.book_frame(walk, sent), fake.book_frame(walk, book.whole()), sent.bids[:20], sent.asks[:20]
        )


@pytest.mark.parametrize("name", VENUES)
@pytest.mark.parametrize("kind", ["none", "drop", "cut", "repeat", "swap"])
def test_a_spoiled_frame_never_makes_a_wrong_ladder(name: str, kind: str) -> None:
    """It is the venue's at one moment, or unknown until the venue sends all of it, as it is asked to."""
    found = follow(moments(name, FRAMES), Line(kind, RATE, 1), Receiver(name, PAIR))

    assert found.frames == FRAMES
    assert (found.spoiled > 0) is (kind != "none")
    assert found.known > 0.9 * FRAMES
    if kind == "none":
        assert (found.known, found.requested) == (FRAMES, 1)
    elif kind in {"drop", "cut"} and name in {"coinbase", "okx"}:
        assert found.requested > found.spoiled / 2  # each loss is noticed, by the numbers


def test_no_venue_is_forgotten() -> None:
    """Whoever gives books is on this line."""
    sources = {name: load_source(name, None, {}) for name in FAKES}
    giving = {name for name, source in sources.items() if isinstance(source, Venue) and source.gives_depth}

    assert giving == set(VENUES)


@pytest.mark.parametrize("name", ["coinbase", "kraken", "okx"])
def test_the_reference_notices_what_the_rules_are_for(name: str) -> None:
    """Without the venue's numbers and checksums such losses make wrong ladders: the test can fail."""
    receiver = Receiver(name, PAIR)
    take = receiver.books.take

    def blind(change: DepthChange, now_ns: int) -> str | None:
        return take(replace(change, after=None, is_right=None, certain=20), now_ns)

    receiver.books.take = blind  # type: ignore[method-assign,assignment]
    receiver.books.lose = lambda *given: None  # type: ignore[method-assign]
    with pytest.raises(AssertionError, match="none that the venue had"):
        follow(moments(name, FRAMES), Line("drop", 0.05, 1), receiver)
