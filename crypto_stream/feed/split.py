"""One source whose instruments are spread over several connections, because one carries only so many."""

from __future__ import annotations

import asyncio
from collections import ChainMap
from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from crypto_stream.feed.reconnect import ReconnectingSource
from crypto_stream.feed.states import of_connections
from crypto_stream.market.status import SourceState, SourceStatus


class SplitSource:
    """Several connections of one source, each with its share of the instruments.

    The `shares` have one book, one list and one budget of attempts. Decisions about one instrument go by the
    facts of its own connection (`of`), those about the whole source by the worst connection.
    """

    def __init__(self, shares: Sequence[ReconnectingSource]) -> None:
        self.name = shares[0].name
        self.listing = shares[0].listing
        self.carries = frozenset[str]().union(*(share.carries for share in shares))
        self._shares = shares
        self._by_symbol = {symbol: share for share in shares for symbol in share.carries}

    def of(self, symbol: str) -> ReconnectingSource:
        """Return the connection that carries an instrument."""
        return self._by_symbol.get(symbol, self._shares[0])

    @property
    def state(self) -> SourceState:
        """The state of the source: that of its worst connection."""
        return self._worst().state

    @property
    def reason(self) -> str | None:
        """Why it is in that state, and how many of its connections are."""
        worst = self._worst()
        count = sum(share.state == worst.state for share in self._shares)
        if worst.reason is None or count == len(self._shares):
            return worst.reason
        return f"{count} of {len(self._shares)} connections: {worst.reason}"

    @property
    def failed(self) -> bool:
        """Whether any connection was ever stale or lost."""
        return any(share.failed for share in self._shares)

    @property
    def live_since_ns(self) -> int:
        """Since when all of them have been live."""
        return max(share.live_since_ns for share in self._shares)

    @property
    def unbroken_since_ns(self) -> int:
        """Since when no data of any of them can have been missed."""
        return max(share.unbroken_since_ns for share in self._shares)

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not carry some of the instruments asked for."""
        return ChainMap(*(dict(share.refused) for share in self._shares))

    @property
    def halted(self) -> Mapping[str, str]:
        """Which instruments the venue itself says do not trade now."""
        return self.listing.halted

    @property
    def last_error(self) -> str | None:
        """The newest failure of the worst connection, else of any."""
        return self._worst().last_error or next(
            (share.last_error for share in self._shares if share.last_error), None
        )

    @property
    def reconnects(self) -> int:
        """How often any of them was lost, in all."""
        return sum(share.reconnects for share in self._shares)

    def want(self, wanted: bool) -> None:
        """Connect from now on, or disconnect."""
        for share in self._shares:
            share.want(wanted)

    def check(self, now_ns: int) -> None:
        """Let the sessions judge silence, acknowledgements and age."""
        for share in self._shares:
            share.check(now_ns)

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Resubscribe to instruments, each over its own connection."""
        for share in self._shares:
            if asked := [symbol for symbol in symbols if symbol in share.carries]:
                share.resubscribe(asked)

    def move(self, reason: str) -> None:
        """Open new connections, which replace the present ones once they are live."""
        for share in self._shares:
            share.move(reason)

    def status(self, now_ns: int, *, pin: str | None, serving: int) -> SourceStatus:
        """Describe the source for people and programs."""
        statuses = [share.status(now_ns, pin=pin, serving=serving) for share in self._shares]
        retries = [each.retry_at for each in statuses if each.retry_at is not None]
        return replace(
            statuses[self._shares.index(self._worst())],
            reason=self.reason,
            since=max(each.since for each in statuses),
            last_error=self.last_error,
            reconnects=self.reconnects,
            carries=len(self.carries),
            retry_at=min(retries, default=None),
            refused=dict(self.refused),
            real=sum(each.real for each in statuses),
            asked_again=dict(ChainMap(*(each.asked_again for each in statuses))),
        )

    async def run(self) -> None:
        """Keep all of them connected while they are wanted, for ever."""
        async with asyncio.TaskGroup() as tasks:
            for share in self._shares:
                tasks.create_task(share.run())

    def _worst(self) -> ReconnectingSource:
        worst = of_connections(share.state for share in self._shares)
        return next(share for share in self._shares if share.state == worst)


KeptSource = ReconnectingSource | SplitSource
