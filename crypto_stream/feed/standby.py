"""Choose the sources to connect. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal

from crypto_stream.feed.facts import Facts

_DOWN = ("stale", "lost", "ended")
_TURN_NS = 1_000_000_000  # with `count` 0 and all sources down, each is tried for at least this long


class Standby:
    """Choose the sources to connect: the serving one, all preferred ones, and the next `count` as standby."""

    def __init__(
        self, chains: Iterable[tuple[str, ...]], count: int | Literal["all"], failback_after_ns: int
    ) -> None:
        """Take the chains of all instruments, best source first; with `count` 0 one source at a time."""
        self._carried: Counter[tuple[str, ...]] = Counter()
        self._turns: dict[tuple[str, ...], tuple[int, int]] = {}
        for chain in chains:
            self.add(chain)
        self._count = count
        self._incomplete: Collection[str] = ()
        self._failback_after_ns = failback_after_ns

    def add(self, chain: tuple[str, ...]) -> None:
        """Add an instrument with this chain."""
        if chain:
            self._carried[chain] += 1
            self._turns.setdefault(chain, (0, -_TURN_NS))

    def remove(self, chain: tuple[str, ...]) -> None:
        """Remove an instrument with this chain."""
        self._carried[chain] -= 1
        if self._carried[chain] <= 0:
            del self._carried[chain]
            self._turns.pop(chain, None)

    def wanted(
        self,
        now_ns: int,
        facts: Facts,
        pin: str | None = None,
        needs_all_sources: Collection[tuple[str, ...]] = (),
        incomplete: Collection[str] = (),
    ) -> set[str]:
        """Return the names of the sources to connect now, always including a pinned one.

        `needs_all_sources` contains chains whose live sources must not serve some instrument. `incomplete`
        sources are live, but do not count as reliable.
        """
        self._incomplete = incomplete
        names: set[str] = set()
        for chain in self._turns:
            if self._count == "all" or (self._count and chain in needs_all_sources):
                names.update(chain)
            elif self._count == 0:
                names.add(pin if pin in chain else self._current_turn(chain, now_ns, facts))
            else:
                names.update(self._with_standby(chain, 1 + self._count, now_ns, facts))
        return names | ({pin} if pin else set())

    def _with_standby(self, chain: tuple[str, ...], count: int, now_ns: int, facts: Facts) -> list[str]:
        """Return the first sources of a chain, up to and including the first `count` reliable ones."""
        taken: list[str] = []
        for name in chain:
            if count == 0:
                break
            taken.append(name)
            count -= self._is_reliable(name, now_ns, facts)
        return taken

    def _is_reliable(self, name: str, now_ns: int, facts: Facts) -> bool:
        source = facts[name]
        if name in self._incomplete:
            return False
        if not source.failed:
            return source.state not in _DOWN
        return source.state == "live" and now_ns - source.live_since_ns >= self._failback_after_ns

    def _current_turn(self, chain: tuple[str, ...], now_ns: int, facts: Facts) -> str:
        turn, since_ns = self._turns[chain]
        is_down = facts[chain[turn]].state in _DOWN or chain[turn] in self._incomplete
        if is_down and now_ns - since_ns >= _TURN_NS:
            turn = (turn + 1) % len(chain)
            self._turns[chain] = (turn, now_ns)
        return chain[turn]
