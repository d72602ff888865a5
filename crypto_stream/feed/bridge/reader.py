"""A bridge's lines to events, and requests to lines; faults are kept for the answer. Pure."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence

from msgspec import UNSET

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.bridge import messages
from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    Event,
    Ignored,
    Instrument,
    InstrumentStatus,
    Listed,
    ListReceived,
    Refused,
    Request,
    Rules,
    Trade,
    Update,
    VenueStatus,
    Wanted,
)

_MOST_LISTED = 20_000
_MOST_ERRORS = 20  # that wait for being sent; further ones are counted by the feed only
_SHOWN = 40  # characters of an id or a type in an error
_FIGURES = ("price", "bid", "ask", "open", "high", "low", "volume")

# After so many lines in a row that cannot be read, the connection is not worth keeping.
MOST_UNREADABLE = 100


class ListBuilder:
    """Assembles the venue's list from its parts."""

    def __init__(self) -> None:
        self._listed: dict[str, Listed] = {}  # by id
        self._pairs: set[tuple[str, str]] = set()

    def add(self, part: messages.Instruments) -> list[Listed] | None:
        """Add a part; return the list if that completes it.

        Raises MalformedFrame, and forgets the list, if an id or a pair occurs twice or it is too long.
        """
        listed, pairs = self._listed, self._pairs
        self._listed, self._pairs = {}, set()
        for entry in part.instruments:
            both = (entry.base.upper(), entry.quote.upper())
            if entry.id in listed:
                raise MalformedFrame(f"instruments: the id {entry.id[:_SHOWN]!r} occurs twice")
            if both in pairs:
                raise MalformedFrame(f"instruments: {'-'.join(both)} occurs twice; list spot markets only")
            if len(listed) >= _MOST_LISTED:
                raise MalformedFrame(f"instruments: more than {_MOST_LISTED:,}")
            pairs.add(both)
            listed[entry.id] = Listed(entry.id, entry.base, entry.quote, entry.status, _rules(entry))
        if part.more:
            self._listed, self._pairs = listed, pairs
            return None
        return list(listed.values())


class BridgeReader:
    """Reads the lines of one connection after its first list; `instruments` are by the bridge's id.

    `unreadable` counts the lines in a row that could not be read, `announcements` the statuses and
    complete lists.
    """

    def __init__(self, instruments: Mapping[str, Instrument]) -> None:
        self.unreadable = 0
        self.announcements = 0
        self._instruments = instruments
        self._numbers = itertools.count(1)
        self._list = ListBuilder()
        self._errors: list[messages.Error] = []

    def subscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Return a request for each combination of topics, nearly always one for all."""
        return [
            _request(messages.Subscribe(next(self._numbers), ids, topics), parts)
            for topics, ids, parts in _by_topics(wanted)
        ]

    def unsubscribe(self, wanted: Sequence[Wanted]) -> list[Request]:
        """Return the requests that end subscriptions; they are not answered."""
        return [
            Request(messages.encode(messages.Unsubscribe(next(self._numbers), ids, topics)), wanted=parts)
            for topics, ids, parts in _by_topics(wanted)
        ]

    def read(self, frame: bytes) -> Sequence[Event]:
        """Read one line; raise MalformedFrame, and note an error for the bridge, if it cannot be read."""
        try:
            message = messages.decode(frame)
            handle = self._HANDLERS[type(message)]
            events = handle(self, message)
        except MalformedFrame as error:
            self.unreadable += 1
            self._note("bad_line", str(error))
            raise
        self.unreadable = 0
        return events

    def take_errors(self) -> list[messages.Error]:
        """Return, once, what was wrong with the lines read so far."""
        errors, self._errors = self._errors, []
        return errors

    def _note(self, code: str, reason: str) -> None:
        if len(self._errors) < _MOST_ERRORS:
            self._errors.append(messages.Error(code, reason, fatal=False))

    def _known(self, venue_id: str) -> Instrument | None:
        """Return the instrument that the feed calls so; note an error if there is none."""
        instrument = self._instruments.get(venue_id)
        if instrument is None:
            self._note("unknown_instrument", f"{venue_id[:_SHOWN]!r} was not requested: its data is ignored")
        return instrument

    def _on_quote(self, said: messages.Quote) -> list[Event]:
        if said.bid is UNSET and said.ask is UNSET:
            raise MalformedFrame("quote: neither bid nor ask")  # it would look like live data
        if (instrument := self._known(said.instrument)) is None:
            return [Ignored("unknown_instrument")]
        top = Update(
            instrument=instrument,
            channel="top",
            key=ARRIVAL if said.n is None else said.n,
            time=said.time,
            bid=said.bid,
            bid_size=said.bid_size,
            ask=said.ask,
            ask_size=said.ask_size,
        )
        return [top]

    def _on_levels(self, said: messages.Levels) -> list[Event]:
        if (instrument := self._known(said.instrument)) is None:
            return [Ignored("unknown_instrument")]
        bid, bid_size = said.bids[0] if said.bids else (None, None)
        ask, ask_size = said.asks[0] if said.asks else (None, None)
        top = Update(
            instrument=instrument,
            channel="levels",
            key=ARRIVAL if said.n is None else said.n,
            time=said.time,
            bid=bid,
            bid_size=bid_size,
            ask=ask,
            ask_size=ask_size,
        )
        return [top]

    def _on_trade(self, said: messages.Trade) -> list[Event]:
        if (instrument := self._known(said.instrument)) is None:
            return [Ignored("unknown_instrument")]
        trade = Trade(
            instrument=instrument,
            channel="trades",
            key=ARRIVAL if said.n is None else said.n,
            time=said.time,
            price=said.price,
            size=said.size,
        )
        return [trade]

    def _on_day(self, said: messages.Day) -> list[Event]:
        if all(getattr(said, name) is UNSET for name in _FIGURES):
            raise MalformedFrame("day: no figures")
        if (instrument := self._known(said.instrument)) is None:
            return [Ignored("unknown_instrument")]
        day = Update(
            instrument=instrument,
            channel="day",
            key=ARRIVAL if said.n is None else said.n,
            time=said.time,
            price=said.price,
            bid=said.bid,
            bid_size=said.bid_size,
            ask=said.ask,
            ask_size=said.ask_size,
            open_24h=said.open,
            high_24h=said.high,
            low_24h=said.low,
            volume_24h=said.volume,
            slow=True,
        )
        return [day]

    def _on_status(self, said: messages.Status) -> list[Event]:
        self.announcements += 1
        if said.instrument is None:
            return [VenueStatus(said.word)]
        instrument = self._known(said.instrument)
        return [InstrumentStatus(instrument, said.word) if instrument else Ignored("unknown_instrument")]

    def _on_instruments(self, said: messages.Instruments) -> list[Event]:
        listed = self._list.add(said)
        self.announcements += listed is not None
        return [Ignored("instruments") if listed is None else ListReceived(tuple(listed))]

    def _on_ack(self, said: messages.Ack) -> list[Event]:
        return [Acked(str(said.request))]

    def _on_refused(self, said: messages.Refused) -> list[Event]:
        instrument = None if said.instrument is None else self._known(said.instrument)
        return [Refused(str(said.request), said.reason, instrument, said.temporary)]

    def _on_heartbeat(self, said: messages.Heartbeat) -> list[Event]:
        return [Ignored("heartbeat")]

    def _on_hello(self, said: messages.Hello) -> list[Event]:
        raise MalformedFrame("hello: it was said already")

    def _on_unknown(self, said: messages.Unknown) -> list[Event]:
        self._note("unknown_type", f"{said.type[:_SHOWN]!r} is not a type of this version: ignored")
        return [Ignored("unknown_type")]

    _HANDLERS: Mapping[type, Callable[..., list[Event]]] = {
        messages.Quote: _on_quote,
        messages.Levels: _on_levels,
        messages.Trade: _on_trade,
        messages.Day: _on_day,
        messages.Status: _on_status,
        messages.Instruments: _on_instruments,
        messages.Ack: _on_ack,
        messages.Refused: _on_refused,
        messages.Heartbeat: _on_heartbeat,
        messages.Hello: _on_hello,
        messages.Unknown: _on_unknown,
    }


def _rules(entry: messages.Entry) -> Rules:
    return Rules(
        tick=entry.tick,
        lot=entry.lot,
        min_amount=entry.min_amount,
        min_notional=entry.min_notional,
        max_amount=entry.max_amount,
        max_notional=entry.max_notional,
    )


_Group = tuple[list[str], list[str], tuple[Wanted, ...]]  # topics, ids, all that is wanted of them


def _by_topics(wanted: Iterable[Wanted]) -> list[_Group]:
    """Group what is wanted: the instruments of which the same topics are."""
    of_id: dict[str, list[Wanted]] = {}
    for each in wanted:
        of_id.setdefault(each.id, []).append(each)
    groups: dict[tuple[str, ...], dict[str, list[Wanted]]] = {}
    for venue_id, parts in of_id.items():
        topics = tuple(dict.fromkeys(str(each.topic) for each in parts))
        groups.setdefault(topics, {})[venue_id] = parts
    return [
        (list(topics), list(ids), tuple(each for parts in ids.values() for each in parts))
        for topics, ids in groups.items()
    ]


def _request(message: messages.Subscribe, wanted: tuple[Wanted, ...]) -> Request:
    return Request(messages.encode(message), keys=(str(message.request),), wanted=wanted)
