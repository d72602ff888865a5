"""The order book of a fake market, and what changes of it from one moment to the next."""

from __future__ import annotations

import random
from decimal import Decimal
from typing import NamedTuple

from tests.fakes.walk import Walk

_SPAN = 60  # ticks from the best price, beyond which there are no levels
_SIZE_STEP = Decimal("0.00000001")

Row = tuple[Decimal, Decimal]  # price and size
Side = dict[Decimal, Decimal]


class Sent(NamedTuple):
    """What a venue sends of a book: all rows, or those that changed (a size of 0: gone).

    `number` is that of the book afterwards, `after` that of the book before; `bids` and `asks` are the book
    afterwards, best first.
    """

    whole: bool
    number: int
    after: int
    changed_bids: list[Row]
    changed_asks: list[Row]
    bids: list[Row]
    asks: list[Row]


class FakeBook:
    """A book around the top of a walk; the venue shows the best `depth` levels of a side (None: all).

    A level that is no longer among these is `told` as gone, or dropped without a word.
    """

    def __init__(self, walk: Walk, depth: int | None, *, told: bool = False) -> None:
        """Fill both sides."""
        self._walk = walk
        self._depth = depth
        self._is_told = told
        self._random = random.Random(walk.symbol)
        self.factor = Decimal(1)  # a book that lies is this many times its quotes
        self._sides: dict[bool, Side] = {True: {}, False: {}}
        self.number = walk.update_id
        for _ in range(_SPAN):
            self.step()

    def best(self, *, is_bid: bool) -> list[Row]:
        """Return what the venue shows of a side, best first."""
        side = self._sides[is_bid]
        return [(price, side[price]) for price in sorted(side, reverse=is_bid)[: self._depth]]

    def whole(self) -> Sent:
        """Return all that the venue shows."""
        bids, asks = self.best(is_bid=True), self.best(is_bid=False)
        return Sent(True, self.number, -1, bids, asks, bids, asks)

    def step(self) -> Sent:
        """Follow the walk, change a few levels, and return what changed."""
        before = {is_bid: dict(self.best(is_bid=is_bid)) for is_bid in (True, False)}
        for is_bid, side in self._sides.items():
            self._move(side, is_bid=is_bid)
        after, self.number = self.number, self.number + self._random.randint(1, 3)
        bids, asks = (self._changed(before[is_bid], is_bid=is_bid) for is_bid in (True, False))
        return Sent(False, self.number, after, bids, asks, self.best(is_bid=True), self.best(is_bid=False))

    def _move(self, side: Side, *, is_bid: bool) -> None:
        grain = self._walk.grain * self._walk.tick
        tick = -grain if is_bid else grain
        best = (self._walk.bid if is_bid else self._walk.ask) * self.factor
        coarse = self._walk.grain > 1  # all but the best price are multiples of the grain then
        first = best // grain * grain if coarse else best
        off = (price for price in side if coarse and price % grain)
        far = (price for price in side if not 0 <= (price - best) / tick <= _SPAN)
        for price in {*off, *far}:
            del side[price]
        side[best] = self._walk.size
        for _ in range(self._random.randint(1, 5)):
            price = first + self._random.randint(1, _SPAN) * tick
            if price > 0 and self._random.random() < 0.7:
                side[price] = self._random.randint(1, 10**9) * _SIZE_STEP
            else:
                side.pop(price, None)

    def _changed(self, before: Side, *, is_bid: bool) -> list[Row]:
        """Return the rows that differ."""
        now = dict(self.best(is_bid=is_bid))
        kept = now if self._is_told else self._sides[is_bid]
        rows = [(price, size) for price, size in now.items() if before.get(price) != size]
        gone = [price for price in before if price not in now and price not in kept]
        rows += [(price, Decimal(0)) for price in gone]
        self._random.shuffle(rows)
        return rows
