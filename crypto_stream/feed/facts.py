"""What must be known of a source to decide about it. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from crypto_stream.market.status import SourceState


class SourceFacts(Protocol):
    """What must be known of a source to decide; times on the monotonic clock, in ns."""

    def of(self, symbol: str) -> SourceFacts:
        """Return the facts of the connection that carries an instrument."""

    @property
    def state(self) -> SourceState:
        """Where the source stands."""

    @property
    def reason(self) -> str | None:
        """Why it stands there."""

    @property
    def failed(self) -> bool:
        """Whether it ever was stale or lost."""

    @property
    def live_since_ns(self) -> int:
        """When its present live time began."""

    @property
    def unbroken_since_ns(self) -> int:
        """Since when no data can have been missed; a planned move breaks nothing."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not carry some of the instruments asked for."""

    @property
    def halted(self) -> Mapping[str, str]:
        """Which instruments the venue itself says do not trade now, in its own words."""


Facts = Mapping[str, SourceFacts]


class Limits(NamedTuple):
    """The times of failover, in ns."""

    stale_after: int
    quiet_after: int
    failback_after: int
