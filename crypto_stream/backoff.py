"""How long to wait before the next attempt. Pure: the caller supplies the randomness."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Exponential backoff: delays double from `first_s` up to `max_s`.

    With `jitter`, a function returning a number in [0, 1), each delay is drawn between 0 and that bound (full
    jitter), so that many clients disconnected together do not all reconnect together.
    """

    def __init__(self, first_s: float, max_s: float, jitter: Callable[[], float] | None = None) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._jitter = jitter
        self._bound_s = first_s

    def next_delay(self) -> float:
        """Return the seconds to wait before the next attempt, and double the bound."""
        bound, self._bound_s = self._bound_s, min(self._bound_s * 2, self._max_s)
        return bound if self._jitter is None else self._jitter() * bound

    def reset(self) -> None:
        """Start from `first_s` again after an attempt has succeeded."""
        self._bound_s = self._first_s
