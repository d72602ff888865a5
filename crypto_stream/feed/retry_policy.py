"""When a source may be tried again, and at which host. Pure: the caller brings the clock and the chance."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from crypto_stream.backoff import Backoff
from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.handler import Budget
from crypto_stream.feed.hosts import Hosts

_FIRST_DELAY_S, _LONGEST_DELAY_S = 0.5, 60.0
_PROVEN_S = 5.0  # of data, before the delays start over: a greeting followed by a hang-up is no success


class ConnectBudget:
    """What all connections to one venue share: its limit on attempts, over a sliding window, and its bans."""

    def __init__(self, budget: Budget) -> None:
        self._budget = budget
        self._attempts: deque[float] = deque(maxlen=budget.attempts)
        self.barred_until_s = 0.0

    def delay(self, now_s: float) -> float:
        """Return the seconds until one more attempt is within the budget."""
        if len(self._attempts) < self._budget.attempts:
            return 0.0
        return max(0.0, self._attempts[0] + self._budget.seconds - now_s)

    def spend(self, now_s: float) -> None:
        """Count one attempt."""
        self._attempts.append(now_s)

    def bar(self, until_s: float) -> None:
        """Allow no attempt at any host before `until_s`."""
        self.barred_until_s = max(self.barred_until_s, until_s)


class Connected(NamedTuple):
    """What a connection achieved: for how long it received data, and whether any of that was asked for."""

    live_s: float = 0.0
    gave_something: bool = False


class Retry(NamedTuple):
    """The next attempt: in how many seconds, and whether the venue itself asked for a wait.

    `ban_s` is how long a ban lasts that must be remembered over restarts, 0 for none.
    """

    delay_s: float
    asked_to_wait: bool
    ban_s: float


class RetryPolicy:
    """Decide when the next connection of a source may be opened, and to which of its hosts.

    An attempt waits for the back-off, for every ban or Retry-After that concerns it, and for the venue's
    budget of attempts. Several connections of one source share the `budget`, and with it the bans of the
    whole venue. All times are monotonic seconds; `chance` is uniform in [0, 1).
    """

    def __init__(
        self,
        addresses: Sequence[str],
        budget: ConnectBudget,
        *,
        look_again_s: float,
        now_s: float,
        chance: Callable[[], float],
    ) -> None:
        self._budget = budget
        self._hosts = Hosts(addresses, look_again_s)
        self._backoff = Backoff(_FIRST_DELAY_S, _LONGEST_DELAY_S, chance)
        self._due_s = now_s

    @property
    def due_s(self) -> float:
        """When back-off and bans allow the next attempt; the budget may still delay it."""
        return max(self._due_s, self._hosts.free_s, self._budget.barred_until_s)

    def delay(self, now_s: float) -> float:
        """Return the seconds until the next attempt is allowed; 0 where it is."""
        return max(0.0, self.due_s - now_s, self._budget.delay(now_s))

    def attempt(self, now_s: float) -> str | None:
        """Count an attempt and return the host to connect to; None for a source that has none."""
        self._budget.spend(now_s)
        return self._hosts.choose(now_s)

    def failed(self, address: str | None, error: VenueError, now_s: float, connected: Connected) -> Retry:
        """Plan the next attempt after the connection to `address` was refused, or ended with `error`."""
        if connected.live_s > _PROVEN_S:
            self._backoff.reset()
        delay_s = self._backoff.next_delay()
        if not connected.gave_something:
            self._hosts.leave(address)
        ban_s = self._obey(address, error, now_s)
        self._due_s = now_s + delay_s
        asked = isinstance(error, RetryLaterError) or self.due_s > self._due_s
        return Retry(self.due_s - now_s, asked, ban_s)

    def trial_failed(
        self, address: str | None, error: VenueError | None, now_s: float, *, present: str | None
    ) -> float:
        """Keep to the `present` host, as `address` proved no better; return the `ban_s` to be remembered."""
        self._hosts.stay(present)
        return self._obey(address, error, now_s)

    def tries_first_host(self, address: str | None, now_s: float, *, complete: bool) -> bool:
        """Say whether to try the first host again now, while `address` serves.

        `complete`: it gives everything that was asked for.
        """
        return self._hosts.look_again(address, now_s, complete=complete)

    def _obey(self, address: str | None, error: VenueError | None, now_s: float) -> float:
        """Stay away for as long as the venue asked; return how long that must be remembered."""
        if not isinstance(error, RetryLaterError):
            return 0.0
        self._hosts.bar(address, now_s + error.seconds)
        if error.next_host:
            wait_s = self._hosts.delay(now_s)
        else:
            wait_s = error.seconds
            self._budget.bar(now_s + wait_s)
        return wait_s if error.breaker else 0.0
