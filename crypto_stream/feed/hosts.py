"""Choose the host of a venue to connect to, by what each one delivered; no choice is permanent. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_stream.backoff import Backoff

_LONGEST_PAUSE_S = 3600.0


class Hosts:
    """The addresses of one venue, the preferred one first; there may be none. Times are monotonic seconds.

    A host that delivered nothing is followed by the next one; a host that bans us is skipped until the ban
    ends. While another host than the first delivers only part of what was requested, the first one is tried
    again: after `first_host_retry_s`, then after twice as long each time, up to an hour.
    """

    def __init__(self, addresses: Sequence[str], first_host_retry_s: float) -> None:
        self._addresses = tuple(addresses)
        self._current = 0
        self._banned: dict[str, float] = {}
        self._pauses = Backoff(first_host_retry_s, _LONGEST_PAUSE_S)
        self._retry_s: float | None = None

    def choose(self, now_s: float) -> str | None:
        """Return the host to connect to: the current one, or the next that is not banned."""
        number = len(self._addresses)
        for step in range(number):
            at = (self._current + step) % number
            if self._banned.get(self._addresses[at], 0.0) <= now_s:
                self._current = at
                break
        return self._addresses[self._current] if number else None

    def advance(self, address: str | None) -> None:
        """Use the next host from now on, because `address` delivered nothing."""
        if self._addresses and address == self._addresses[self._current]:
            self._current = (self._current + 1) % len(self._addresses)

    def ban(self, address: str | None, until_s: float) -> None:
        """Skip the host `address` until then."""
        if address is not None:
            self._banned[address] = until_s

    @property
    def free_s(self) -> float:
        """When the earliest ban ends; 0 if a host was never banned."""
        return min((self._banned.get(each, 0.0) for each in self._addresses), default=0.0)

    def delay(self, now_s: float) -> float:
        """Return the seconds until a host may be tried; 0 if one may be now."""
        return max(0.0, self.free_s - now_s)

    def tries_first_host(self, address: str | None, now_s: float, *, complete: bool) -> bool:
        """Return whether to try the first host now; called repeatedly while `address` serves.

        `complete`: it delivers everything that was requested. If True, `choose` returns the first host next.
        """
        if complete or address is None or address == self._addresses[0]:
            self._retry_s = None
            self._pauses.reset()
            return False
        if self._retry_s is None:
            self._retry_s = now_s + self._pauses.next_delay()
        if now_s < self._retry_s or self._banned.get(self._addresses[0], 0.0) > now_s:
            return False
        self._retry_s = now_s + self._pauses.next_delay()
        self._current = 0
        return True

    def return_to(self, address: str | None) -> None:
        """Return to `address`, because the first host delivered no more when it was tried again."""
        if address in self._addresses:
            self._current = self._addresses.index(address)
