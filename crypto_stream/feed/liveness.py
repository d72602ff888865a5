"""Whether one connection is live or stale, judged by when it received data. Pure."""

from __future__ import annotations

from crypto_stream.feed.states import INITIAL_SESSION_STATE, StateEvent, after
from crypto_stream.market.status import SourceState


class Liveness:
    """The state of one session, and why; times in ns on the monotonic clock.

    After `stale_after_ns` of silence an open connection is stale, and after as long again it `is_overdue`.
    """

    def __init__(self, stale_after_ns: int) -> None:
        self.state: SourceState = INITIAL_SESSION_STATE
        self.reason: str | None = None
        self._stale_after_ns = stale_after_ns
        self._first_data_ns = self._data_ns = 0
        self._quiet_since_ns: int | None = None

    @property
    def live_ns(self) -> int:
        """How long data was received."""
        return self._data_ns - self._first_data_ns

    def opened(self, now_ns: int) -> None:
        """Record that data may arrive from now on."""
        self._quiet_since_ns = now_ns

    def requested(self, now_ns: int) -> None:
        """Record that something was requested for the first time: an open connection is not silent before."""
        if self._quiet_since_ns is not None:
            self._quiet_since_ns = now_ns

    def acknowledged(self) -> bool:
        """Record that every subscription was acknowledged; return whether that changed the state."""
        return self._on("acknowledged")

    def answered(self, now_ns: int) -> None:
        """Record an answer to a subscription: before its first data, a venue that answers is not silent."""
        if not self._data_ns:
            self._quiet_since_ns = now_ns

    def data(self, now_ns: int) -> bool:
        """Record new data; return whether that changed the state."""
        self._data_ns = self._quiet_since_ns = now_ns
        if self.state == "live":  # the frequent case, without the table
            return False
        self._first_data_ns = self._first_data_ns or now_ns
        return self._on("data")

    def is_silent(self, now_ns: int) -> bool:
        """Return whether an open connection has become stale."""
        return self.state != "stale" and self._quiet_for(self._stale_after_ns, now_ns)

    def silence(self, *, all_refused: bool) -> bool:
        """Mark the connection stale; return whether that changed the state."""
        return self._on("silence", f"{self._missing(all_refused)} for {self._stale_after_ns / 1e9:g} s")

    def is_overdue(self, now_ns: int) -> bool:
        """Return whether a stale connection has been silent for so long that it should be abandoned."""
        return self.state == "stale" and self._quiet_for(2 * self._stale_after_ns, now_ns)

    def _quiet_for(self, limit_ns: int, now_ns: int) -> bool:
        return self._quiet_since_ns is not None and now_ns - self._quiet_since_ns >= limit_ns

    def _missing(self, all_refused: bool) -> str:
        if self._data_ns or self.state == "connected":
            return "no data"
        return "every instrument refused, and no data" if all_refused else "neither data nor acknowledgement"

    def _on(self, event: StateEvent, reason: str | None = None) -> bool:
        before, self.state = self.state, after(self.state, event)
        if self.state == before:
            return False
        self.reason = reason
        return True
