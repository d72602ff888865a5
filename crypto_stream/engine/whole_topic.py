"""A topic whose keys are symbols and whose updates are complete values."""

from __future__ import annotations

from collections.abc import Callable, Container
from typing import Generic, TypeVar

T = TypeVar("T")


class WholeTopic(Generic[T]):
    """Send the value of `current(symbol)` whenever it differs from the last one, ages aside.

    `symbols` are those that exist; `without_ages` returns what two values are compared by.
    """

    def __init__(
        self,
        name: str,
        symbols: Container[str],
        current: Callable[[str], T],
        without_ages: Callable[[T], T],
    ) -> None:
        self.name = name
        self.current = current
        self._symbols = symbols
        self._without_ages = without_ages
        self._sent: dict[str, T] = {}

    def has(self, key: str) -> bool:
        """Return whether this instrument exists."""
        return key in self._symbols

    def start(self, key: str) -> T:
        """Return the value, with which `changes` compares."""
        found = self.current(key)
        self._sent[key] = self._without_ages(found)
        return found

    def changes(self, key: str) -> T | None:
        """Return the value if anything but an age has changed."""
        found = self.current(key)
        ageless = self._without_ages(found)
        if ageless == self._sent.get(key):
            return None
        self._sent[key] = ageless
        return found

    def stop(self, key: str) -> None:
        """Forget what was sent."""
        self._sent.pop(key, None)
