"""When to resubscribe to silent or incomplete instruments, and when to try a new connection. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from crypto_stream.deadlines import Deadlines

Key = tuple[str, str]  # source, symbol

# The second, twelfth … resubscription uses a new connection.
_MOVE_AT, _MOVE_EVERY = 2, 10


class ResubscribeTimer:
    """Resubscribe to each started (source, symbol) at once, then every `every_ns`.

    `carried` is the number of instruments that each source carries.
    """

    def __init__(self, every_ns: int) -> None:
        self.carried: Counter[str] = Counter()
        self._every_ns = every_ns
        self._counts: dict[Key, int] = {}
        self._deadlines: Deadlines[Key] = Deadlines()

    def start(self, key: Key) -> None:
        """Start resubscribing to `key`, unless already started."""
        if key not in self._counts:
            self._counts[key] = 0
            self._deadlines.add(key, 0)

    def stop(self, key: Key) -> None:
        """Stop resubscribing to `key`."""
        self._counts.pop(key, None)
        self._deadlines.discard(key)

    def due(self, now_ns: int) -> list[Key]:
        """Return what to resubscribe to now."""
        due = self._deadlines.due(now_ns)
        for key in due:
            self._counts[key] += 1
            self._deadlines.add(key, now_ns + self._every_ns)
        return due

    def sources_to_move(self, again: Iterable[Key], missing: Iterable[Key]) -> list[str]:
        """Return sources that are still incomplete for most of their instruments after a resubscription."""
        due = {source for source, symbol in again if self._counts[source, symbol] % _MOVE_EVERY == _MOVE_AT}
        if not due:
            return []
        count = Counter(source for source, _ in missing)
        return [source for source in sorted(due) if 2 * count[source] > self.carried[source]]
