"""Which host of a venue to connect to, judged by what each one gave; no verdict is permanent. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from crypto_stream.backoff import Backoff

_LONGEST_PAUSE_S = 3600.0


class Hosts:
    """The addresses of one venue, the preferred one first; there may be none. Times are monotonic seconds.

    A host that gave nothing is left for the next one; one that refused us for a while is skipped until that
    time is over. While another host than the first gives only part of what was asked for, the first one is
    tried again: after `look_again_s`, then after twice as long each time, up to an hour.
    """

    def __init__(self, addresses: Sequence[str], look_again_s: float) -> None:
        self._addresses = tuple(addresses)
        self._at = 0
        self._barred: dict[str, float] = {}
        self._pauses = Backoff(look_again_s, _LONGEST_PAUSE_S)
        self._look_s: float | None = None

    def choose(self, now_s: float) -> str | None:
        """Return the host to connect to: the present one, or the next that is not barred."""
        number = len(self._addresses)
        for step in range(number):
            at = (self._at + step) % number
            if self._barred.get(self._addresses[at], 0.0) <= now_s:
                self._at = at
                break
        return self._addresses[self._at] if number else None

    def leave(self, address: str | None) -> None:
        """Use the next host from now on, because `address` gave nothing."""
        if self._addresses and address == self._addresses[self._at]:
            self._at = (self._at + 1) % len(self._addresses)

    def bar(self, address: str | None, until_s: float) -> None:
        """Skip the host `address` until then."""
        if address is not None:
            self._barred[address] = until_s

    @property
    def free_s(self) -> float:
        """When the first of the hosts may be tried; 0 where one was never barred."""
        return min((self._barred.get(each, 0.0) for each in self._addresses), default=0.0)

    def delay(self, now_s: float) -> float:
        """Return the seconds until one of the hosts may be tried; 0 where one may."""
        return max(0.0, self.free_s - now_s)

    def look_again(self, address: str | None, now_s: float, *, complete: bool) -> bool:
        """Say whether to try the first host now; called repeatedly while `address` serves.

        `complete`: it gives everything that was asked for. After a yes `choose` returns the first host.
        """
        if complete or address is None or address == self._addresses[0]:
            self._look_s = None
            self._pauses.reset()
            return False
        if self._look_s is None:
            self._look_s = now_s + self._pauses.next_delay()
        if now_s < self._look_s or self._barred.get(self._addresses[0], 0.0) > now_s:
            return False
        self._look_s = now_s + self._pauses.next_delay()
        self._at = 0
        return True

    def stay(self, address: str | None) -> None:
        """Keep to `address`, because the first host, tried again, gave no more."""
        if address in self._addresses:
            self._at = self._addresses.index(address)
