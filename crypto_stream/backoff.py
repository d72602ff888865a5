"""How long to wait before the next attempt. Pure: the caller brings the chance."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Delays that double from `first_s` up to `most_s`.

    With `chance`, uniform in [0, 1), each is drawn between 0 and that: full jitter, so that many who were
    cut at once do not come back at once.
    """

    def __init__(self, first_s: float, most_s: float, chance: Callable[[], float] | None = None) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._chance = chance
        self._bound_s = first_s

    def next_delay(self) -> float:
        """Return the seconds to wait before the next attempt, and double the bound."""
        bound, self._bound_s = self._bound_s, min(self._bound_s * 2, self._most_s)
        return bound if self._chance is None else self._chance() * bound

    def reset(self) -> None:
        """Begin anew: an attempt was a success."""
        self._bound_s = self._first_s
