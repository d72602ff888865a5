"""When to resubscribe to silent or incomplete instruments, and when to try a new connection. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set

Key = tuple[str, str]  # source, symbol

# The second, twelfth … request for what lacks comes with a new connection.
_MOVE_AT, _MOVE_EVERY = 2, 10


class ResubscribeTimer:
    """Counts the resubscriptions of each (source, symbol)."""

    def __init__(self, every_ns: int, carried: Mapping[str, int]) -> None:
        """Resubscribe at once, then every `every_ns`; `carried` is the number of instruments per source."""
        self._every_ns = every_ns
        self._carried = carried
        self._asked: dict[Key, int] = {}
        self._times: dict[Key, int] = {}

    def keep(self, wanting: Set[Key] | Mapping[Key, object]) -> None:
        """Discard what is no longer silent or incomplete."""
        for key in [key for key in self._asked if key not in wanting]:
            del self._asked[key], self._times[key]

    def due(self, now_ns: int, wanting: Iterable[Key]) -> list[Key]:
        """Return what to resubscribe to now."""
        due = [
            key for key in wanting if key not in self._asked or now_ns - self._asked[key] >= self._every_ns
        ]
        for key in due:
            self._times[key] = self._times.get(key, 0) + 1
        self._asked.update(dict.fromkeys(due, now_ns))
        return due

    def sources_to_move(self, again: Iterable[Key], missing: Iterable[Key]) -> list[str]:
        """Return sources that are still incomplete for most of their instruments after a resubscription."""
        due = {source for source, symbol in again if self._times[source, symbol] % _MOVE_EVERY == _MOVE_AT}
        missing_channels = Counter(source for source, _ in missing)
        return [source for source in sorted(due) if 2 * missing_channels[source] > self._carried[source]]
