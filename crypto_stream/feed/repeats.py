"""When to ask again for what is silent or lacks something, and when only a new connection may help. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from crypto_stream.feed.deadlines import Deadlines

Key = tuple[str, str]  # source, symbol

# The second, twelfth … request for what lacks comes with a new connection.
_MOVE_AT, _MOVE_EVERY = 2, 10


class Repeats:
    """Count the requests for each (source, symbol) since it was found wanting.

    `carried` says how many instruments each source carries.
    """

    def __init__(self, every_ns: int) -> None:
        """Ask at once, then each `every_ns`."""
        self.carried: Counter[str] = Counter()
        self._every_ns = every_ns
        self._times: dict[Key, int] = {}
        self._deadlines: Deadlines[Key] = Deadlines()

    def wants(self, key: Key) -> None:
        """Ask for `key` from now on; one that is asked for already keeps its times."""
        if key not in self._times:
            self._times[key] = 0
            self._deadlines.add(key, 0)

    def over(self, key: Key) -> None:
        """Ask no more."""
        self._times.pop(key, None)
        self._deadlines.discard(key)

    def due(self, now_ns: int) -> list[Key]:
        """List what to subscribe anew now."""
        due = self._deadlines.due(now_ns)
        for key in due:
            self._times[key] += 1
            self._deadlines.add(key, now_ns + self._every_ns)
        return due

    def moves(self, again: Iterable[Key], lacking: Iterable[Key]) -> list[str]:
        """List sources that lack something of most instruments although it was subscribed anew."""
        due = {source for source, symbol in again if self._times[source, symbol] % _MOVE_EVERY == _MOVE_AT}
        if not due:
            return []
        lacks = Counter(source for source, _ in lacking)
        return [source for source in sorted(due) if 2 * lacks[source] > self.carried[source]]
