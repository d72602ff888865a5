"""Reject duplicate and out-of-order events within a channel, by the venue's own keys. Pure."""

from __future__ import annotations

import heapq
from typing import Literal

# If keys increase for this long but stay below the newest one, the venue has restarted its numbering, or the
# newest key was wrong.
_RESET_AFTER_NS = 5_000_000_000
_NOT_BEHIND = (0, 0)
# The number of trade ids remembered, to tell a late trade from a duplicate.
_REMEMBERED = 256

Arrival = Literal["newer", "late", "old"]


class Sequence:
    """Decide which events of one (source, instrument, channel) are newer, by the venue's increasing key."""

    __slots__ = ("_behind", "_behind_since", "_generation", "_key")

    def __init__(self) -> None:
        self._key: int | None = None
        self._generation = 0
        # The newest (generation, key) below `_key`.
        self._behind = _NOT_BEHIND
        self._behind_since = 0

    @property
    def newest(self) -> int | None:
        """The newest key; the next one must be greater."""
        return self._key

    def accepts(self, key: int, generation: int, received_ns: int) -> bool:
        """Return whether `key` is newer than all before, and remember it.

        `generation` numbers the source's connections; keys continue from one connection to the next. If keys
        increase for 5 s but stay below the newest one, on the same or a later connection, they are accepted
        again: the venue has restarted its numbering, or that one key was wrong.
        """
        held = self._key
        if held is not None and key <= held and not self._is_reset(key, generation, received_ns):
            return False
        self._key = key
        self._generation = generation
        self._behind = _NOT_BEHIND
        return True

    def _is_reset(self, key: int, generation: int, received_ns: int) -> bool:
        if generation < self._generation or key == self._key:
            return False
        seen_in, newest = self._behind
        if seen_in != generation:
            self._behind, self._behind_since = (generation, key), received_ns
            return False
        if key <= newest:  # not increasing: the same snapshot again
            return False
        self._behind = (generation, key)
        return received_ns - self._behind_since >= _RESET_AFTER_NS


class TradeSequence:
    """Classify trades by id; unlike quotes, trades that arrive out of order are still wanted, once each.

    "newer": greater than all ids before, or the first of a restarted numbering. "late": not seen before.
    "old": seen before, or too old to know.
    """

    __slots__ = ("_heap", "_known", "_sequence")

    def __init__(self) -> None:
        self._sequence = Sequence()
        self._known: set[int] = set()  # the greatest ids received
        self._heap: list[int] = []  # the same ids, smallest first

    def judge(self, key: int, generation: int, received_ns: int) -> Arrival:
        """Classify the trade with id `key`, and remember it."""
        if key in self._known:
            return "old"
        before = self._sequence.newest
        if self._sequence.accepts(key, generation, received_ns):
            if before is not None and key < before:
                self._forget_beyond(key)
            self._remember(key)
            return "newer"
        if len(self._heap) == _REMEMBERED and key < self._heap[0]:
            return "old"
        self._remember(key)
        return "late"

    def _remember(self, key: int) -> None:
        self._known.add(key)
        if len(self._heap) < _REMEMBERED:
            heapq.heappush(self._heap, key)
        else:
            self._known.discard(heapq.heappushpop(self._heap, key))

    def _forget_beyond(self, key: int) -> None:
        """Forget the ids of an old numbering."""
        self._known = {known for known in self._known if known < key}
        self._heap = sorted(self._known)
