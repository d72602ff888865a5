"""A source whose instruments are split over several connections, because each has a limited capacity."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence, Set
from typing import NamedTuple

from msgspec.structs import replace

from crypto_stream.feed.handler import Instrument
from crypto_stream.feed.reconnect import ReconnectingSource
from crypto_stream.feed.states import worst_state
from crypto_stream.market.status import SourceState, SourceStatus


class Capacity(NamedTuple):
    """At most `instruments` per connection (None: any number), and `connections`."""

    instruments: int | None
    connections: int


class SplitSource:
    """One or several connections of one source, each with a part of the instruments.

    They share one book, one list and one budget of attempts. Decisions about one instrument use the facts of
    its own connection (`of`), those about the whole source use the worst connection. One that is left without
    instruments is closed, and used again by the next ones for which the others have no room.
    """

    def __init__(
        self,
        open_one: Callable[[Sequence[Instrument], ReconnectingSource | None], ReconnectingSource],
        instruments: Sequence[Instrument],
        capacity: Capacity,
    ) -> None:
        """Carry `instruments`; `open_one` makes a connection for some of them, given the first one.

        Raises ValueError if there are too many.
        """
        self._open_one = open_one
        self._capacity = capacity
        self._wanted = False
        self._tasks: asyncio.TaskGroup | None = None
        self._by_symbol: dict[str, ReconnectingSource] = {}
        first = open_one(instruments[: capacity.instruments], None)
        self._connections = [first]
        self._by_symbol.update(dict.fromkeys(first.carries, first))
        self.name = first.name
        self.listing = first.listing
        self.budget = first.budget
        if rest := self.add(instruments[len(first.carries) :]):
            raise ValueError(f"{self.name} has no room for {rest[0].symbol}")

    @property
    def carries(self) -> Set[str]:
        """The symbols of its instruments."""
        return self._by_symbol.keys()

    @property
    def room(self) -> int | None:
        """How many more instruments it can carry; None if any number."""
        size, most = self._capacity
        return None if size is None else max(0, size * most - len(self._by_symbol))

    def of(self, symbol: str) -> ReconnectingSource:
        """Return the connection that carries an instrument."""
        return self._by_symbol.get(symbol, self._connections[0])

    def add(self, instruments: Sequence[Instrument]) -> Sequence[Instrument]:
        """Carry more instruments, over more connections if necessary; return those without room."""
        for connection in self._connections:
            instruments = self._fill(connection, instruments)
        while instruments and len(self._connections) < self._capacity.connections:
            connection = self._open_one((), self._connections[0])
            self._connections.append(connection)
            instruments = self._fill(connection, instruments)
            connection.want(self._wanted)
            if self._tasks is not None:
                self._tasks.create_task(connection.run())
        return instruments

    def watch(self, instrument: Instrument) -> None:
        """Subscribe to an instrument that is not carried, as a sign of life of each connection."""
        for connection in self._used:
            connection.watch(instrument)

    def remove(self, symbols: Sequence[str]) -> None:
        """Carry these instruments no longer."""
        for symbol in symbols:
            self._by_symbol.pop(symbol, None)
        for connection in self._connections:
            connection.remove(symbols)
        self.want(self._wanted)

    def _fill(
        self, connection: ReconnectingSource, instruments: Sequence[Instrument]
    ) -> Sequence[Instrument]:
        """Add as many instruments to a connection as it has room for; return the others."""
        size = self._capacity.instruments
        room = len(instruments) if size is None else max(0, size - len(connection.carries))
        part, rest = instruments[:room], instruments[room:]
        if not part:
            return rest
        symbols = [each.symbol for each in part]
        for other in self._connections:
            if other is not connection:
                other.remove(symbols)  # a connection that only watched one of them need not any more
        connection.add(part)
        self._by_symbol.update(dict.fromkeys(symbols, connection))
        connection.want(self._wanted)
        return rest

    @property
    def state(self) -> SourceState:
        """The state of the source: that of its worst connection in use."""
        return worst_state(connection.state for connection in self._used)

    @property
    def reason(self) -> str | None:
        """Why it is in that state, and how many of its connections are in it."""
        worst, used = self._worst(), self._used
        count = sum(connection.state == worst.state for connection in used)
        if worst.reason is None or count == len(used):
            return worst.reason
        return f"{count} of {len(used)} connections: {worst.reason}"

    @property
    def failed(self) -> bool:
        """Whether any connection was ever stale or lost."""
        return any(connection.failed for connection in self._used)

    @property
    def live_since_ns(self) -> int:
        """Since when all of them have been live."""
        return max(connection.live_since_ns for connection in self._used)

    @property
    def unbroken_since_ns(self) -> int:
        """Since when no data of any of them can have been missed."""
        return max(connection.unbroken_since_ns for connection in self._used)

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not deliver some of the requested instruments."""
        used = self._used
        return used[0].refused if len(used) == 1 else ChainMap(*(dict(each.refused) for each in used))

    @property
    def halted(self) -> Mapping[str, str]:
        """The instruments that do not trade now according to the venue, and its word for it."""
        return self.listing.halted

    @property
    def last_error(self) -> str | None:
        """The last error of the worst connection, else of any."""
        return self._worst().last_error or next(
            (connection.last_error for connection in self._used if connection.last_error), None
        )

    @property
    def reconnects(self) -> int:
        """How often any of them was lost."""
        return sum(connection.reconnects for connection in self._connections)

    def want(self, wanted: bool) -> None:
        """Connect, or disconnect."""
        self._wanted = wanted
        used = self._used
        for connection in self._connections:
            connection.want(wanted and connection in used)

    def check(self, now_ns: int) -> None:
        """Check the sessions for silence, overdue acknowledgements and age."""
        for connection in self._connections:
            connection.check(now_ns)

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Resubscribe to instruments, each over its own connection."""
        for connection in self._connections:
            if own := [symbol for symbol in symbols if symbol in connection.carries]:
                connection.resubscribe(own)

    def move(self, reason: str) -> None:
        """Open new connections, which replace the current ones once they are live."""
        for connection in self._used:
            connection.move(reason)

    def status(self, now_ns: int, *, pin: str | None, serving: int) -> SourceStatus:
        """Return the status for users and programs."""
        used = self._used
        statuses = [connection.status(now_ns, pin=pin, serving=serving) for connection in used]
        retries = [each.retry_at for each in statuses if each.retry_at is not None]
        return replace(
            statuses[used.index(self._worst())],
            reason=self.reason,
            since=max(each.since for each in statuses),
            last_error=self.last_error,
            reconnects=self.reconnects,
            carries=len(self._by_symbol),
            retry_at=min(retries, default=None),
            refused=dict(self.refused),
            real=sum(each.real for each in statuses),
            next_retry=dict(ChainMap(*(each.next_retry for each in statuses))),
        )

    async def run(self) -> None:
        """Keep all of them connected while they are wanted, until cancelled."""
        async with asyncio.TaskGroup() as self._tasks:
            for connection in self._connections:
                self._tasks.create_task(connection.run())

    @property
    def _used(self) -> list[ReconnectingSource]:
        """The connections that carry anything; the first one if there is nothing to carry."""
        return [each for each in self._connections if each.carries] or self._connections[:1]

    def _worst(self) -> ReconnectingSource:
        used = self._used
        worst = worst_state(connection.state for connection in used)
        return next(connection for connection in used if connection.state == worst)
