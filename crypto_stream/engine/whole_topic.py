"""A topic whose keys are symbols and whose updates are complete values."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Container
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class _Sent(NamedTuple, Generic[T]):
    """What was sent, without its ages, and the number it was made at."""

    value: T
    number: int


class WholeTopic(Generic[T]):
    """Send the value of `current(symbol)` whenever it differs from the last one, ages aside.

    `symbols` are those that exist; `number(symbol)` grows whenever the value may differ, else it is not made
    again; `without_ages` returns what two values are compared by.
    """

    every_s = 0.25

    def __init__(
        self,
        name: str,
        symbols: Container[str],
        *,
        current: Callable[[str], T],
        number: Callable[[str], int],
        without_ages: Callable[[T], T],
    ) -> None:
        self.name = name
        self.current = current
        self._symbols = symbols
        self._number = number
        self._without_ages = without_ages
        self._sent: dict[str, _Sent[T]] = {}

    def has(self, key: str) -> bool:
        """Return whether this instrument exists."""
        return key in self._symbols

    def asked(self, key: str) -> T | Awaitable[T]:
        """Return the value for somebody who does not watch it."""
        return self.current(key)

    def start(self, key: str) -> T:
        """Return the value, with which `changes` compares."""
        number = self._number(key)
        found = self.current(key)
        self._sent[key] = _Sent(self._without_ages(found), number)
        return found

    def changes(self, key: str) -> T | None:
        """Return the value if anything but an age has changed."""
        before, number = self._sent[key], self._number(key)
        if number == before.number:
            return None
        found = self.current(key)
        now = self._sent[key] = _Sent(self._without_ages(found), number)
        return None if now.value == before.value else found

    def stop(self, key: str) -> None:
        """Forget what was sent."""
        self._sent.pop(key, None)
