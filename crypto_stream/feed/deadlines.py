"""When each of very many is due: what has time left costs nothing. Pure."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

K = TypeVar("K", str, tuple[str, str])


class Deadlines(Generic[K]):
    """Know the next deadline of each key; times on any clock, in ns.

    A deadline is never put off, so that new data need not touch it: what turns out to have time left when it
    falls due is given its new deadline then.
    """

    def __init__(self) -> None:
        """Begin with nothing due."""
        self._at: dict[K, int] = {}
        self._heap: list[tuple[int, K]] = []

    def __contains__(self, key: object) -> bool:
        """Say whether `key` has a deadline."""
        return key in self._at

    def add(self, key: K, at_ns: int) -> None:
        """Have `key` fall due at `at_ns`, or earlier where it does so already."""
        known = self._at.get(key)
        if known is None or at_ns < known:
            self._at[key] = at_ns
            heapq.heappush(self._heap, (at_ns, key))

    def discard(self, key: K) -> None:
        """Forget a key; what the heap still holds of it is passed over when its time comes."""
        self._at.pop(key, None)

    def due(self, now_ns: int) -> list[K]:
        """Take out what is due, the earliest first."""
        found: list[K] = []
        while self._heap and self._heap[0][0] <= now_ns:
            at_ns, key = heapq.heappop(self._heap)
            if self._at.get(key) == at_ns:
                del self._at[key]
                found.append(key)
        return found
