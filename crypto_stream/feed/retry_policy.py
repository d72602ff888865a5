"""When a source may reconnect, and to which host. Pure: the caller supplies clock and randomness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from crypto_stream.backoff import Backoff
from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.handler import Budget
from crypto_stream.feed.hosts import Hosts
from crypto_stream.feed.spending import Spending

_FIRST_DELAY_S = 0.5
_PROVEN_S = 5.0  # of data before the backoff is reset: connecting alone is no success


class ConnectBudget(Spending):
    """Shared by all connections to a venue: its limit on attempts, and its bans."""

    def __init__(self, budget: Budget) -> None:
        super().__init__(budget)
        self.banned_until_s = 0.0

    def ban(self, until_s: float) -> None:
        """Allow no attempt at any host before `until_s`."""
        self.banned_until_s = max(self.banned_until_s, until_s)


class Connected(NamedTuple):
    """What a connection achieved: how long it received data, and whether any of that was requested."""

    live_s: float = 0.0
    delivered: bool = False


class Retry(NamedTuple):
    """The next attempt: in how many seconds, and whether the venue itself requested the delay.

    `ban_s` is the duration of a ban that must survive restarts, 0 for none.
    """

    delay_s: float
    is_requested: bool
    ban_s: float


class RetryPolicy:
    """Decide when the next connection of a source may be opened, and to which of its hosts.

    An attempt waits for the backoff, for bans and Retry-After headers, and for the venue's budget of
    attempts. Several connections of one source share the `budget`, and with it the bans of the whole venue.
    All times are monotonic seconds; `chance` is uniform in [0, 1), and no backoff exceeds `max_delay_s`.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        budget: ConnectBudget,
        *,
        first_host_retry_s: float,
        now_s: float,
        chance: Callable[[], float],
        max_delay_s: float = 60.0,
    ) -> None:
        self._budget = budget
        self._hosts = Hosts(addresses, first_host_retry_s)
        self._backoff = Backoff(_FIRST_DELAY_S, max_delay_s, chance)
        self._due_s = now_s

    @property
    def due_s(self) -> float:
        """When backoff and bans allow the next attempt; the budget may delay it further."""
        return max(self._due_s, self._hosts.free_s, self._budget.banned_until_s)

    def delay(self, now_s: float) -> float:
        """Return the seconds until the next attempt is allowed; 0 if it is now."""
        return max(0.0, self.due_s - now_s, self._budget.delay(now_s))

    def attempt(self, now_s: float) -> str | None:
        """Count an attempt and return the host to connect to; None if the source has no hosts."""
        self._budget.spend(now_s)
        return self._hosts.choose(now_s)

    def failed(self, address: str | None, error: VenueError, now_s: float, connected: Connected) -> Retry:
        """Plan the next attempt after the connection to `address` was refused, or ended with `error`."""
        if connected.live_s > _PROVEN_S:
            self._backoff.reset()
        delay_s = self._backoff.next_delay()
        if not connected.delivered:
            self._hosts.advance(address)
        ban_s = self._apply(address, error, now_s)
        self._due_s = now_s + delay_s
        is_requested = isinstance(error, RetryLaterError) or self.due_s > self._due_s
        return Retry(self.due_s - now_s, is_requested, ban_s)

    def trial_failed(
        self, address: str | None, error: VenueError | None, now_s: float, *, current: str | None
    ) -> float:
        """Return to the `current` host, since `address` was no better; return the `ban_s` to store."""
        self._hosts.return_to(current)
        return self._apply(address, error, now_s)

    def tries_first_host(self, address: str | None, now_s: float, *, complete: bool) -> bool:
        """Return whether to try the first host again now, while `address` serves.

        `complete`: it delivers everything that was requested.
        """
        return self._hosts.tries_first_host(address, now_s, complete=complete)

    def _apply(self, address: str | None, error: VenueError | None, now_s: float) -> float:
        """Respect the venue's delay; return how long it must be stored as a ban."""
        if not isinstance(error, RetryLaterError):
            return 0.0
        self._hosts.ban(address, now_s + error.seconds)
        if error.next_host:
            wait_s = self._hosts.delay(now_s)
        else:
            wait_s = error.seconds
            self._budget.ban(now_s + wait_s)
        return wait_s if error.breaker else 0.0
