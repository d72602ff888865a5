"""The facts about a source on which failover and standby decide. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from crypto_stream.market.status import SourceState


class SourceFacts(Protocol):
    """The facts about a source or connection; times on the monotonic clock, in ns."""

    def of(self, symbol: str) -> SourceFacts:
        """Return the facts of the connection that carries an instrument."""

    @property
    def state(self) -> SourceState:
        """The state of the source."""

    @property
    def reason(self) -> str | None:
        """Why it is in that state."""

    @property
    def failed(self) -> bool:
        """Whether it was ever stale or lost."""

    @property
    def live_since_ns(self) -> int:
        """Since when it has been live."""

    @property
    def unbroken_since_ns(self) -> int:
        """Since when no data can have been missed; a planned move to a new connection misses none."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not deliver some of the requested instruments."""

    @property
    def halted(self) -> Mapping[str, str]:
        """The instruments that do not trade now according to the venue, and its word for it."""


Facts = Mapping[str, SourceFacts]


class FailoverTimes(NamedTuple):
    """The time limits of failover."""

    stale_after_ns: int
    quiet_after_ns: int
    failback_after_ns: int
