"""How long to wait before the next attempt. Pure: the caller supplies the randomness."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Exponential backoff: delays double from `first` up to `maximum`, in the caller's unit.

    With `jitter`, a function returning a number in [0, 1), each delay is drawn between 0 and that bound (full
    jitter), so that many clients disconnected together do not all reconnect together.
    """

    __slots__ = ("_bound", "_first", "_jitter", "_maximum")

    def __init__(self, first: float, maximum: float, jitter: Callable[[], float] | None = None) -> None:
        self._first = self._bound = first
        self._maximum = maximum
        self._jitter = jitter

    def next_delay(self) -> float:
        """Return how long to wait before the next attempt, and double the bound."""
        bound, self._bound = self._bound, min(self._bound * 2, self._maximum)
        return bound if self._jitter is None else self._jitter() * bound

    def reset(self) -> None:
        """Start from the first delay again after an attempt has succeeded."""
        self._bound = self._first
