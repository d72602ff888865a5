"""A venue's frames of one book on a line that loses, cuts, repeats and swaps them, and who receives them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from decimal import Decimal
from itertools import count
from typing import NamedTuple

from crypto_stream.feed.books import Books
from crypto_stream.feed.handler import UNREADABLE, DepthChange, Event, Reading, Resync, Wanted
from crypto_stream.feed.loading import load_source
from crypto_stream.feed.names import Discovered
from crypto_stream.feed.sources import Venue
from crypto_stream.market.instruments import pair

FRAME_NS = 500_000_000  # between two frames, of virtual time
_ACK_NS = 5_000_000_000
_NUMBER = re.compile(r'("sequence_num": ?)\d+')

Rows = Sequence[tuple[Decimal, Decimal]]


class Moment(NamedTuple):
    """What a venue sends at one moment, what it would send to a new subscriber, and what its book is then."""

    frame: str
    snapshot: str
    bids: Rows
    asks: Rows


class Line:
    """Deliver frames, some of them spoiled; `kind` is drop, cut, repeat, swap or none.

    A venue that numbers the frames of a connection numbers them before they are spoiled.
    """

    def __init__(self, kind: str, rate: float, seed: int) -> None:
        self._kind = kind
        self._rate = rate
        self._random = random.Random(f"{kind} {seed}")
        self._held: str | None = None
        self._numbers = count()
        self.spoiled = 0

    def deliver(self, frame: str) -> Iterator[str]:
        """Yield what arrives when this frame is sent."""
        number = next(self._numbers)
        if frame.startswith("["):
            frame = f"{frame[:-1]},{number}]"
        else:
            frame = _NUMBER.sub(rf"\g<1>{number}", frame, count=1)
        held, self._held = self._held, None
        if held is None and self._kind != "none" and self._random.random() < self._rate:
            self.spoiled += 1
            if self._kind == "swap":
                self._held = frame
            elif self._kind == "cut":
                yield frame[: len(frame) // 2]
            elif self._kind == "repeat":
                yield from (frame, frame)
            return
        yield frame
        if held is not None:
            yield held


class Receiver:
    """Reads the frames of one symbol as the feed does, without a network; first those of `introduction`.

    `encode` makes of a frame's text what the venue sends.
    """

    def __init__(
        self,
        name: str,
        symbol: str,
        introduction: Iterable[str] = (),
        encode: Callable[[str], str | bytes] = str,
    ) -> None:
        venue = load_source(name, None, {})
        assert isinstance(venue, Venue)
        self.symbol = symbol
        self._encode = encode
        self.books = Books(_ACK_NS)
        self.books.want([symbol], 0)
        self._reader: Reading = venue.reader(Discovered(venue.pair_of, {}, {}))
        instrument = pair(symbol)
        self._wanted = [Wanted(venue.venue_id(instrument) or symbol, instrument, "depth")]
        self._reader.subscribe(self._wanted)
        for frame in introduction:
            self._read(frame)

    def request(self) -> None:
        """Request the book once more, as the feed does."""
        if unsubscribe := getattr(self._reader, "unsubscribe", None):
            unsubscribe(self._wanted)
        self._reader.subscribe(self._wanted)

    def receive(self, frame: str, now_ns: int) -> None:
        """Read one frame."""
        try:
            events = self._read(frame)
        except UNREADABLE:
            self.books.lose_all("a frame could not be read", now_ns)
            return
        for event in events:
            if isinstance(event, DepthChange):
                self.books.take(event, now_ns)
            elif isinstance(event, Resync):
                self.books.lose(event.instrument.symbol, event.reason, now_ns)

    def _read(self, frame: str) -> list[Event]:
        sent = self._encode(frame)
        return list(self._reader.read(sent.encode() if isinstance(sent, str) else sent))

    def shown(self) -> tuple[Rows, Rows, int] | None:
        """Return bids, asks and how many of each are certain; None while the book is unknown."""
        if (known := self.books.known(self.symbol)) is None:
            return None
        ladder = known.ladder
        bids, asks = (
            [(Decimal(price), Decimal(size)) for price, size in side]
            for side in (ladder.bids(), ladder.asks())
        )
        return bids, asks, ladder.levels


class Outcome(NamedTuple):
    """How many frames were sent, how many spoiled, after how many the book was known; how often requested."""

    frames: int
    spoiled: int
    known: int
    requested: int


def follow(moments: Iterator[Moment], line: Line, receiver: Receiver) -> Outcome:
    """Receive a venue's frames; after each the book is the venue's at one of the last moments, or unknown.

    The whole book is sent when it is requested, over the same line.
    """
    frames = known = requested = 0
    recent: list[Moment] = []
    for frames, moment in enumerate(moments, 1):
        now_ns = frames * FRAME_NS
        recent = [*recent[-2:], moment]
        if wants_whole := bool(receiver.books.due(now_ns)):
            receiver.request()
        requested += wants_whole
        for arrived in line.deliver(moment.snapshot if wants_whole else moment.frame):
            receiver.receive(arrived, now_ns)
        if (shown := receiver.shown()) is not None:
            known += 1
            bids, asks, levels = shown
            assert any(
                (list(each.bids[:levels]), list(each.asks[:levels])) == (bids, asks) for each in recent
            ), f"after frame {frames} the book is none that the venue had"
    return Outcome(frames, line.spoiled, known, requested)
