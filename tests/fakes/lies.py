"""Lies: frames in perfect form whose values are not those of the market."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tests.fakes.fault import Fault
from tests.fakes.spoils import shifted
from tests.fakes.walk import Walk

if TYPE_CHECKING:
    from tests.fakes.client import Client


class Lie(Fault):
    """A fault of values: `lie` changes a copy of the market that is told."""

    def told(self, walk: Walk) -> Walk:
        if not self.touches(walk.symbol):
            return walk
        changed = copy.copy(walk)
        self.lie(changed)
        return changed

    def lie(self, walk: Walk) -> None:
        """Change the values."""
        raise NotImplementedError

    def other(self, walk: Walk) -> Walk:
        """Return another market of this venue."""
        return next(each for symbol, each in self.venue.walks.items() if symbol != walk.symbol)


class Times(Lie):
    """All prices times the given number."""

    default = 10

    def lie(self, walk: Walk) -> None:
        factor = Decimal(str(self.numbers[0]))
        for name in ("bid", "ask", "price", "open", "high", "low"):
            setattr(walk, name, getattr(walk, name) * factor)


class Swapped(Lie):
    """Bid and ask are exchanged."""

    def lie(self, walk: Walk) -> None:
        walk.bid, walk.ask = walk.ask, walk.bid


class Crossed(Lie):
    """The bid is the given percentage above the ask."""

    default = 3

    def lie(self, walk: Walk) -> None:
        walk.bid = (walk.ask * (1 + Decimal(str(self.numbers[0])) / 100)).quantize(walk.tick)


class Zero(Lie):
    """All prices are 0."""

    def lie(self, walk: Walk) -> None:
        walk.bid = walk.ask = walk.price = Decimal(0)


class OneSided(Lie):
    """No bid, and a tenth of the ask; trades are right."""

    def lie(self, walk: Walk) -> None:
        walk.bid, walk.ask = Decimal(0), (walk.ask / 10).quantize(walk.tick)


class Another(Lie):
    """Another market's prices under this one's name."""

    def lie(self, walk: Walk) -> None:
        other = self.other(walk)
        for name in ("bid", "ask", "price", "open", "high", "low"):
            setattr(walk, name, getattr(other, name))


class Misnamed(Lie):
    """This market's prices under another one's name, which nobody need have asked for."""

    def lie(self, walk: Walk) -> None:
        other = self.other(walk)
        walk.symbol, walk.base, walk.quote = other.symbol, other.base, other.quote


class Clock(Fault):
    """All times are off by the given seconds."""

    default = 3600

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        yield json.dumps(shifted(json.loads(frame), round(self.numbers[0])))


class Lossy(Fault):
    """Of the data frames each n-th is lost on its way; a venue that numbers them has counted it."""

    default = 10
    unnoticed = True

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self._frames = 0

    def spoil(self, client: Client, channel: str, symbol: str, frame: str) -> Iterator[str | bytes]:
        self._frames += 1
        if self._frames % round(self.numbers[0]):
            yield frame
        else:
            self.venue.lose_frame()
