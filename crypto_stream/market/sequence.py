"""Order within one channel by the venue's own keys: nothing twice, nothing backwards. Pure."""

from __future__ import annotations

import heapq
from typing import Literal

# Keys that grow, and stay behind the newest one for this long: the venue began its count anew, or the newest
# one was nonsense.
_RESET_AFTER_NS = 5_000_000_000
_NOT_BEHIND = (0, 0)
# Ids of trades that are remembered: what is missing among them may still come, what is not came before.
_REMEMBERED = 256

Arrival = Literal["newer", "late", "old"]


class Sequence:
    """Judge order within one (source, instrument, channel) by the venue's own growing key."""

    __slots__ = ("_behind", "_behind_since", "_generation", "_key")

    def __init__(self) -> None:
        """Start before everything: the first key is always new."""
        self._key: int | None = None
        self._generation = 0
        # The newest (generation, key) of those that stay behind.
        self._behind = _NOT_BEHIND
        self._behind_since = 0

    @property
    def newest(self) -> int | None:
        """The key that others must be greater than."""
        return self._key

    def accepts(self, key: int, generation: int, received_ns: int) -> bool:
        """Say whether `key` is newer than all before it, and remember it.

        `generation` numbers the source's connections; a later one continues the keys of those before. Where
        keys grow for 5 s and stay behind the newest one, on the connection that gave it or a later one, they
        are followed: the venue has begun its count anew, or that one key was wrong.
        """
        held = self._key
        if held is not None and key <= held and not self._was_reset(key, generation, received_ns):
            return False
        self._key = key
        self._generation = generation
        self._behind = _NOT_BEHIND
        return True

    def _was_reset(self, key: int, generation: int, received_ns: int) -> bool:
        if generation < self._generation or key == self._key:
            return False
        seen_in, newest = self._behind
        if seen_in != generation:
            self._behind, self._behind_since = (generation, key), received_ns
            return False
        if key <= newest:  # a snapshot sent again is no count that grows
            return False
        self._behind = (generation, key)
        return received_ns - self._behind_since >= _RESET_AFTER_NS


class TradeSequence:
    """Judge the ids of trades, each of which counts: what is merely out of order is taken, once.

    "newer" is greater than all before it (or begins the count anew), "late" was missing until now, "old" came
    before or is too far back to tell.
    """

    __slots__ = ("_known", "_least", "_sequence")

    def __init__(self) -> None:
        self._sequence = Sequence()
        self._known: set[int] = set()  # the greatest ids that came
        self._least: list[int] = []  # the same ones as a heap

    def judge(self, key: int, generation: int, received_ns: int) -> Arrival:
        """Say what the trade `key` is, and remember it."""
        if key in self._known:
            return "old"
        before = self._sequence.newest
        if self._sequence.accepts(key, generation, received_ns):
            if before is not None and key < before:
                self._forget_beyond(key)
            self._remember(key)
            return "newer"
        if len(self._least) == _REMEMBERED and key < self._least[0]:
            return "old"
        self._remember(key)
        return "late"

    def _remember(self, key: int) -> None:
        self._known.add(key)
        if len(self._least) < _REMEMBERED:
            heapq.heappush(self._least, key)
        else:
            self._known.discard(heapq.heappushpop(self._least, key))

    def _forget_beyond(self, key: int) -> None:
        """Forget ids of a count that is over, or that were wrong."""
        self._known = {known for known in self._known if known < key}
        self._least = sorted(self._known)
