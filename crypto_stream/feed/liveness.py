"""Whether one connection is live or stale, judged by when it received something. Pure."""

from __future__ import annotations

from crypto_stream.feed.states import SESSION_BEGINS, StateEvent, after
from crypto_stream.market.status import SourceState


class Liveness:
    """The state of one session, and why it is that; times in ns on the monotonic clock.

    Silence of `stale_after_ns` makes an open connection stale, and as much again makes it `is_overdue`.
    """

    def __init__(self, stale_after_ns: int) -> None:
        self.state: SourceState = SESSION_BEGINS
        self.reason: str | None = None
        self._stale_after_ns = stale_after_ns
        self._first_data_ns = self._data_ns = 0
        self._quiet_since_ns: int | None = None

    @property
    def live_ns(self) -> int:
        """For how long data was received."""
        return self._data_ns - self._first_data_ns

    def opened(self, now_ns: int) -> None:
        """Note that something may be received from now on."""
        self._quiet_since_ns = now_ns

    def acknowledged(self) -> bool:
        """Note that every subscription was acknowledged; return whether that changed the state."""
        return self._on("acknowledged")

    def answered(self, now_ns: int) -> None:
        """Note an answer to a subscription: before its first data, a venue that answers is not silent."""
        if not self._data_ns:
            self._quiet_since_ns = now_ns

    def data(self, now_ns: int) -> bool:
        """Note new data; return whether that changed the state."""
        self._data_ns = self._quiet_since_ns = now_ns
        if self.state == "live":  # data is frequent: no look at the table for each
            return False
        self._first_data_ns = self._first_data_ns or now_ns
        return self._on("data")

    def is_silent(self, now_ns: int) -> bool:
        """Say whether it is time to call an open connection stale."""
        return self.state != "stale" and self._quiet_for(self._stale_after_ns, now_ns)

    def silence(self, *, all_refused: bool) -> bool:
        """Note the silence of a connection whose venue refused all instruments, or not; return as `data`."""
        return self._on("silence", f"{self._missing(all_refused)} for {self._stale_after_ns / 1e9:g} s")

    def is_overdue(self, now_ns: int) -> bool:
        """Say whether a stale connection was silent for so long that it should be abandoned."""
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
