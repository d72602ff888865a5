"""Best and index of recorded frames, after each of them, against a recomputation that shares no code.

Four venues traded BTC/USD in recordings of different days, so their prices lie apart. Skipped unless
CRYPTO_STREAM_RECORDINGS names the folder of recordings, which are not part of the project.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from crypto_stream.feed.handler import UNREADABLE, Trade, Update
from crypto_stream.market.best import Best, BestSide, best
from crypto_stream.market.book import SourceBook
from crypto_stream.market.index import Index, IndexRule, index
from crypto_stream.market.prices import Prices, SourcePrices
from tests.handlers.test_conformance import VENUES as HANDLERS
from tests.handlers.test_conformance import reader
from tests.handlers.test_recordings import recordings
from tests.recomputed import prices as recomputed
from tests.recomputed.figures import Figures
from tests.recomputed.said import frames
from tests.recomputed.venues import VENUES

__all__ = ["recordings"]  # the fixture

PAIR = "btcusd"
FILES = {
    "binance": "binance/us-spot-20210405.ndjson",
    "bitstamp": "bitstamp/spot-20210417.ndjson",
    "coinbase": "coinbase/advanced-20260809-part1.ndjson.gz",
    "kraken": "kraken/v2-singles.ndjson",
}
TICKS = ["0.1", "0.01"]


class _Venue:
    """One venue's frames, read twice: by the program and by the recomputation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._reader = reader(HANDLERS[name])
        self._book = SourceBook()
        self._read = VENUES[name]()
        self.figures = Figures()
        self._count = 0

    def take(self, frame: bytes) -> None:
        """Read one frame."""
        self._count += 1
        self.figures.take(self._read(frame))
        try:
            events = list(self._reader.read(frame))
        except UNREADABLE:
            events = []
        for event in events:
            if isinstance(event, Update | Trade):
                self._book.apply(event, self._count)

    def prices(self) -> SourcePrices:
        """Return what the program knows of the pair."""
        if (entry := self._book.entries.get(PAIR)) is None:
            return SourcePrices(self.name)
        tops = entry.bid, entry.bid_size, entry.ask, entry.ask_size
        return SourcePrices(self.name, *tops, None, entry.price, None, entry.volume_24h)


def _in_turn(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Mix the venues' frames evenly, each venue's in its own order."""
    streams = []
    for name, file in FILES.items():
        found = list(frames(folder / file))
        streams.append([(at / len(found), name, frame) for at, frame in enumerate(found)])
    return ((name, frame) for _, name, frame in heapq.merge(*streams))


def _index(value: Index) -> dict[str, Any]:
    return {
        "price": value.price,
        "constituents": [(each.source, each.price, each.by, each.weight) for each in value.constituents],
        "left_out": [each.source for each in value.left_out],
    }


def _best(value: Best) -> dict[str, Any]:
    return {
        "bid": _side(value.bid),
        "ask": _side(value.ask),
        "spread_bps": value.spread_bps,
        "crossed": value.crossed,
        "sources": value.sources,
    }


def _side(side: BestSide | None) -> Any:
    return side and (side.price, side.size, [share.source for share in side.sources])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("band", ["1", "10", "50"])
def test_best_and_index_of_recorded_frames_are_the_recomputed_ones(recordings: Path, band: str) -> None:
    """After every frame that changed anything; over all of them there are values of every kind."""
    venues = {name: _Venue(name) for name in FILES}
    rule = IndexRule(3, Decimal(band))
    last: Any = None
    values: list[str | None] = []
    for name, frame in _in_turn(recordings):
        venues[name].take(frame)
        known = [recomputed.Known.of(each.name, each.figures, PAIR) for each in venues.values()]
        if known == last:
            continue
        last = known
        found = Prices(PAIR, [each.prices() for each in venues.values()])
        value = index(found, rule, TICKS, 0)
        values.append(value.price)

        assert _index(value) == recomputed.index(known, rule.minimum, band, TICKS)
        assert _best(best(found)) == recomputed.best(known)

    assert len(values) > 500
    assert None in values  # too few at first
    assert (len(set(values)) > 2) == (band != "1")  # within one percent there are never three
