"""Deadlines of very many keys; those that are not due yet cost nothing. Pure."""

from __future__ import annotations

import heapq
from typing import Generic, TypeVar

K = TypeVar("K", str, tuple[str, str])


class Deadlines(Generic[K]):
    """The next deadline of each key; times on any clock, in ns.

    New data does not postpone a deadline, so it costs nothing here: if a key turns out to have time left when
    it falls due, the caller adds its new deadline then.
    """

    def __init__(self) -> None:
        self._at: dict[K, int] = {}
        self._heap: list[tuple[int, K]] = []

    def __contains__(self, key: object) -> bool:
        """Return whether `key` has a deadline."""
        return key in self._at

    def add(self, key: K, at_ns: int) -> None:
        """Set a deadline; an earlier one remains."""
        known = self._at.get(key)
        if known is None or at_ns < known:
            self._at[key] = at_ns
            heapq.heappush(self._heap, (at_ns, key))

    def discard(self, key: K) -> None:
        """Remove a key; its entry in the heap is skipped later."""
        self._at.pop(key, None)

    def due(self, now_ns: int, most: int | None = None) -> list[K]:
        """Return, and remove, the keys that are due, earliest first, at most `most`."""
        found: list[K] = []
        while self._heap and self._heap[0][0] <= now_ns and (most is None or len(found) < most):
            at_ns, key = heapq.heappop(self._heap)
            if self._at.get(key) == at_ns:
                del self._at[key]
                found.append(key)
        return found
