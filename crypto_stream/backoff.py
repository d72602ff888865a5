"""How long to wait before the next attempt. Pure: the caller brings the chance."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Delays that double from `first` up to `most`, in the caller's unit.

    With `chance`, uniform in [0, 1), each is drawn between 0 and that: full jitter, so that many who were
    cut at once do not come back at once.
    """

    __slots__ = ("_bound", "_chance", "_first", "_most")

    def __init__(self, first: float, most: float, chance: Callable[[], float] | None = None) -> None:
        self._first = self._bound = first
        self._most = most
        self._chance = chance

    def next_delay(self) -> float:
        """Return how long to wait before the next attempt, and double the bound."""
        bound, self._bound = self._bound, min(self._bound * 2, self._most)
        return bound if self._chance is None else self._chance() * bound

    def reset(self) -> None:
        """Begin anew: an attempt was a success."""
        self._bound = self._first
