"""Whose answers are read from the disk now, and whose wait for their turn: lists are long. Pure."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable

from crypto_stream.orders.outbox import Reader
from crypto_stream.orders.writes import Lookup

# Answers of one gateway that are being read, or wait for it to take them.
MOST_AT_ONCE = 8


class Turns:
    """Let so many lookups of each gateway begin at once; one is done when its answer was taken."""

    def __init__(self, begin: Callable[[Lookup], None], most: int = MOST_AT_ONCE) -> None:
        self._begin = begin
        self._most = most
        self._under_way: dict[str, Counter[Reader]] = {}
        self._waiting: dict[str, deque[tuple[Reader, Lookup]]] = {}

    def take(self, reader: Reader, lookup: Lookup) -> None:
        """Begin a lookup now, or when it is its turn."""
        self._waiting.setdefault(reader.gateway, deque()).append((reader, lookup))
        self._go_on(reader.gateway)

    def done(self, reader: Reader) -> None:
        """Let the next one begin in the place of one of this session."""
        under_way = self._under_way.get(reader.gateway)
        if under_way is not None and under_way[reader]:
            under_way[reader] -= 1
            if not under_way[reader]:
                del under_way[reader]
            self._go_on(reader.gateway)

    def left(self, reader: Reader) -> None:
        """Forget a session that has ended: what it waited for is not read any more."""
        if under_way := self._under_way.get(reader.gateway):
            under_way.pop(reader, None)
        self._go_on(reader.gateway)

    def give_up(self) -> list[Lookup]:
        """Forget every lookup that has not begun, and return them."""
        waiting, self._waiting = self._waiting, {}
        return [lookup for queue in waiting.values() for _, lookup in queue]

    def _go_on(self, gateway: str) -> None:
        under_way = self._under_way.setdefault(gateway, Counter())
        queue = self._waiting.get(gateway, deque())
        while queue and (queue[0][0].gone or under_way.total() < self._most):
            reader, lookup = queue.popleft()
            if not reader.gone:
                under_way[reader] += 1
                self._begin(lookup)
        if not queue:
            self._waiting.pop(gateway, None)
            if not under_way:
                self._under_way.pop(gateway, None)
