"""A source whose instruments are split over several connections, because each has a limited capacity."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from crypto_stream.feed.reconnect import ReconnectingSource
from crypto_stream.feed.states import worst_state
from crypto_stream.market.status import SourceState, SourceStatus


class SplitSource:
    """Several connections of one source, each with a part of the instruments.

    They share one book, one list and one budget of attempts. Decisions about one instrument use the facts of
    its own connection (`of`), those about the whole source use the worst connection.
    """

    def __init__(self, connections: Sequence[ReconnectingSource]) -> None:
        self.name = connections[0].name
        self.listing = connections[0].listing
        self.budget = connections[0].budget
        self.carries = frozenset[str]().union(*(connection.carries for connection in connections))
        self._connections = connections
        self._by_symbol = {symbol: connection for connection in connections for symbol in connection.carries}

    def of(self, symbol: str) -> ReconnectingSource:
        """Return the connection that carries an instrument."""
        return self._by_symbol.get(symbol, self._connections[0])

    @property
    def state(self) -> SourceState:
        """The state of the source: that of its worst connection."""
        return self._worst().state

    @property
    def reason(self) -> str | None:
        """Why it is in that state, and how many of its connections are in it."""
        worst = self._worst()
        count = sum(connection.state == worst.state for connection in self._connections)
        if worst.reason is None or count == len(self._connections):
            return worst.reason
        return f"{count} of {len(self._connections)} connections: {worst.reason}"

    @property
    def failed(self) -> bool:
        """Whether any connection was ever stale or lost."""
        return any(connection.failed for connection in self._connections)

    @property
    def live_since_ns(self) -> int:
        """Since when all of them have been live."""
        return max(connection.live_since_ns for connection in self._connections)

    @property
    def unbroken_since_ns(self) -> int:
        """Since when no data of any of them can have been missed."""
        return max(connection.unbroken_since_ns for connection in self._connections)

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not deliver some of the requested instruments."""
        return ChainMap(*(dict(connection.refused) for connection in self._connections))

    @property
    def halted(self) -> Mapping[str, str]:
        """The instruments that do not trade now according to the venue, and its word for it."""
        return self.listing.halted

    @property
    def last_error(self) -> str | None:
        """The last error of the worst connection, else of any."""
        return self._worst().last_error or next(
            (connection.last_error for connection in self._connections if connection.last_error), None
        )

    @property
    def reconnects(self) -> int:
        """How often any of them was lost."""
        return sum(connection.reconnects for connection in self._connections)

    def want(self, wanted: bool) -> None:
        """Connect, or disconnect."""
        for connection in self._connections:
            connection.want(wanted)

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
        for connection in self._connections:
            connection.move(reason)

    def status(self, now_ns: int, *, pin: str | None, serving: int) -> SourceStatus:
        """Return the status for users and programs."""
        statuses = [connection.status(now_ns, pin=pin, serving=serving) for connection in self._connections]
        retries = [each.retry_at for each in statuses if each.retry_at is not None]
        return replace(
            statuses[self._connections.index(self._worst())],
            reason=self.reason,
            since=max(each.since for each in statuses),
            last_error=self.last_error,
            reconnects=self.reconnects,
            carries=len(self.carries),
            retry_at=min(retries, default=None),
            refused=dict(self.refused),
            real=sum(each.real for each in statuses),
            next_retry=dict(ChainMap(*(each.next_retry for each in statuses))),
        )

    async def run(self) -> None:
        """Keep all of them connected while they are wanted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for connection in self._connections:
                tasks.create_task(connection.run())

    def _worst(self) -> ReconnectingSource:
        worst = worst_state(connection.state for connection in self._connections)
        return next(connection for connection in self._connections if connection.state == worst)


ManagedSource = ReconnectingSource | SplitSource
