"""One venue's order book of an instrument, rebuilt from what the venue sends: all levels, then changes. Pure.

A ladder is either what the venue's book was at one moment, or unknown. It never has a hole: a missing change,
a wrong checksum or a number that cannot be read makes it unknown until the venue sends all levels again.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import ClassVar

import msgspec

from crypto_stream.market.decimals import decimal_text
from crypto_stream.market.instruments import Instrument

LEVELS = 20  # of a side that are served
_CHECKABLE = 50  # of a side, more than any checksum covers
# Levels of a side that are kept, and at which that many are left over. Some venues send tens of thousands.
KEPT, _MOST = 1_000, 2_000

Level = tuple[str, str]  # price and size, in the venue's own text
IsRight = Callable[[Sequence[Level], Sequence[Level]], bool]


class HoleError(ValueError):
    """The ladder is not the venue's book any more; the text says why."""


class DepthChange(msgspec.Struct, frozen=True, gc=False):
    """Levels that a venue sent: the `whole` book, or those that changed; a size of 0 removes a level.

    `number` is the venue's number of the book after this change, `after` of the book before it; None if it
    has no numbers. `depth` is how many levels of a side the venue keeps by dropping the worst, without saying
    so; None if it removes each level itself. If that is not known, `limit` is from how many levels of a side
    on a whole book may not be all that there is: what is beyond its last level is then unknown. `is_right`
    checks bids and asks, best first, with the venue's checksum; if nothing but that reveals a loss, `certain`
    is how many levels of a side it covers. `time` is the venue's, in ms.
    """

    channel: ClassVar[str] = "depth"

    instrument: Instrument
    bids: Sequence[Level]
    asks: Sequence[Level]
    whole: bool = False
    time: int | None = None
    number: int | None = None
    after: int | None = None
    depth: int | None = None
    limit: int | None = None
    certain: int = LEVELS
    is_right: IsRight | None = None


class Ladder:
    """The levels of one book; unknown at first, and after a loss, until the venue sends the whole book."""

    def __init__(self) -> None:
        self.known = False
        self.time: int | None = None
        self.levels = LEVELS  # of a side that are certain
        self._number: int | None = None
        self._bids = _Side(is_bid=True)
        self._asks = _Side(is_bid=False)

    def lose(self) -> None:
        """Forget all levels, since a change was missed."""
        self.known = False
        self._bids.replace((), None)
        self._asks.replace((), None)

    def apply(self, change: DepthChange) -> bool:
        """Apply what the venue sent; return whether the ladder is now what it says.

        Changes are ignored while it is unknown, and so is a whole book older than the one known. Raises
        HoleError, and forgets all levels, if it cannot be the venue's book any more.
        """
        if not (self.known or change.whole) or (self.known and change.whole and self._is_older(change)):
            return False
        try:
            self._check_order(change)
            for side, levels in ((self._bids, change.bids), (self._asks, change.asks)):
                if change.whole:
                    side.replace(levels, change.limit)
                else:
                    side.change(levels)
                side.bound(change.depth)
            self._check_result(change)
        except ValueError as error:
            self.lose()
            raise HoleError(str(error)) from None
        self.known, self.time, self._number = True, change.time, change.number
        self.levels = min(LEVELS, change.certain)
        return True

    def bids(self) -> list[Level]:
        """Return the first bids, at most `levels`, best first."""
        return self._bids.best(self.levels)

    def asks(self) -> list[Level]:
        """Return the first asks, at most `levels`, best first."""
        return self._asks.best(self.levels)

    def _is_older(self, change: DepthChange) -> bool:
        return change.number is not None and self._number is not None and change.number < self._number

    def _check_order(self, change: DepthChange) -> None:
        if not change.whole and change.after is not None and change.after != self._number:
            raise ValueError(f"changes are missing between {self._number} and {change.after}")

    def _check_result(self, change: DepthChange) -> None:
        if self._bids.is_used_up() or self._asks.is_used_up():
            raise ValueError("the levels that were kept are used up")
        if change.is_right and not change.is_right(self._bids.best(_CHECKABLE), self._asks.best(_CHECKABLE)):
            raise ValueError("the checksum is wrong")


class _Side:
    """The levels of one side, sorted by keys that grow from the best level to the worst.

    If not all levels are known, `_horizon` is the key up to which they are complete; None if they all are.
    `_limit` is from how many on they may not be; None if that depends on nothing but what is kept.
    """

    def __init__(self, *, is_bid: bool) -> None:
        self._is_bid = is_bid
        self._keys: list[Decimal] = []
        self._levels: dict[Decimal, Level] = {}
        self._horizon: Decimal | None = None
        self._limit: int | None = None

    def replace(self, levels: Iterable[Level], limit: int | None) -> None:
        """Take these levels for all that there are, or for the best ones if there are as many as `limit`."""
        found = {self._key(level[0]): level for level in levels}
        self._levels = {key: level for key, level in found.items() if _size(level[1])}
        self._keys = sorted(self._levels)
        self._horizon = None
        self._limit = None if limit is None else min(KEPT, max(limit, len(self._keys)))

    def change(self, levels: Iterable[Level]) -> None:
        """Set or remove levels."""
        for level in levels:
            key = self._key(level[0])
            size = _size(level[1])
            if self._horizon is not None and key > self._horizon:
                continue
            if not size:
                self._remove(key)
            else:
                if key not in self._levels:
                    insort(self._keys, key)
                self._levels[key] = level

    def bound(self, depth: int | None) -> None:
        """Drop the levels that are too many."""
        if depth is not None:
            self._cut(depth)  # as the venue does: whatever comes back into these levels is sent again
        elif self._limit is not None and len(self._keys) >= self._limit:
            self._keep(self._limit)
        elif len(self._keys) > _MOST:
            self._keep(KEPT)

    def best(self, count: int) -> list[Level]:
        """Return the best levels, best first."""
        return [self._levels[key] for key in self._keys[:count]]

    def is_used_up(self) -> bool:
        """Return whether there are more levels at the venue than the few that are left here."""
        return self._horizon is not None and len(self._keys) < LEVELS

    def _keep(self, count: int) -> None:
        """Keep the best levels; those beyond are not known from now on."""
        self._cut(count)
        self._horizon = self._keys[-1]

    def _cut(self, count: int) -> None:
        for key in self._keys[count:]:
            del self._levels[key]
        del self._keys[count:]

    def _remove(self, key: Decimal) -> None:
        if self._levels.pop(key, None) is not None:
            del self._keys[bisect_left(self._keys, key)]

    def _key(self, text: str) -> Decimal:
        price = _number(text)
        if price <= 0:
            raise ValueError(f"a price of {text}")
        return price.copy_negate() if self._is_bid else price


def _size(text: str) -> Decimal:
    size = _number(text)
    if size < 0:
        raise ValueError(f"a size of {text}")
    return size


def _number(text: str) -> Decimal:
    if decimal_text(text) is None:
        raise ValueError("a level without a number")
    return Decimal(text)
