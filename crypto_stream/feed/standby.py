"""Choose the sources to connect. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Set
from typing import Literal

from crypto_stream.feed.facts import Facts, SourceFacts

_DOWN = ("stale", "lost", "ended")
_TURN_NS = 1_000_000_000  # with `count` 0 and all sources down, each is tried for at least this long


class Standby:
    """Choose the sources to connect: the serving one, all preferred ones, and the next `count` as standby.

    There may be very many chains, but few sources: each call judges every source once, and looks through the
    chains only if a judgement or the chains have changed. Turns, which `count` 0 has, depend on time as well.
    """

    def __init__(
        self, chains: Iterable[tuple[str, ...]], count: int | Literal["all"], failback_after_ns: int
    ) -> None:
        """Take the chains of all instruments, best source first; with `count` 0 one source at a time."""
        self._carried: Counter[tuple[str, ...]] = Counter()
        self._turns: dict[tuple[str, ...], tuple[int, int]] = {}
        self._inputs: tuple[Set[str], Set[tuple[str, ...]]] | None = None  # those of the last choice
        self._chosen: Set[str] = frozenset()
        for chain in chains:
            self.add(chain)
        self._count: float = math.inf if count == "all" else count
        self._failback_after_ns = failback_after_ns

    def add(self, chain: tuple[str, ...]) -> None:
        """Add an instrument with this chain."""
        if chain:
            self._carried[chain] += 1
            self._turns.setdefault(chain, (0, -_TURN_NS))
            self._inputs = None

    def remove(self, chain: tuple[str, ...]) -> None:
        """Remove an instrument with this chain."""
        self._carried[chain] -= 1
        if self._carried[chain] <= 0:
            del self._carried[chain]
            self._turns.pop(chain, None)
            self._inputs = None

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
        pinned = {pin} if pin else set()
        if self._count == 0:
            down = {name for name, each in facts.items() if name in incomplete or each.state in _DOWN}
            return pinned | {
                pin if pin in chain else self._current_turn(chain, now_ns, down) for chain in self._turns
            }
        reliable = {
            name for name, each in facts.items() if name not in incomplete and self._is_reliable(each, now_ns)
        }
        inputs = (reliable, frozenset(needs_all_sources))
        if inputs != self._inputs:
            self._inputs, self._chosen = inputs, self._choose(*inputs)
        return pinned | self._chosen

    def _choose(self, reliable: Set[str], needs_all_sources: Set[tuple[str, ...]]) -> set[str]:
        names: set[str] = set()
        for chain in self._turns:
            names.update(chain if chain in needs_all_sources else self._with_standby(chain, reliable))
        return names

    def _with_standby(self, chain: tuple[str, ...], reliable: Set[str]) -> list[str]:
        """Return the first sources of a chain, up to and including the last reliable one that is needed."""
        taken: list[str] = []
        count = 1 + self._count
        for name in chain:
            if count == 0:
                break
            taken.append(name)
            count -= name in reliable
        return taken

    def _is_reliable(self, source: SourceFacts, now_ns: int) -> bool:
        state = source.state
        if not source.failed:
            return state not in _DOWN
        return state == "live" and now_ns - source.live_since_ns >= self._failback_after_ns

    def _current_turn(self, chain: tuple[str, ...], now_ns: int, down: Set[str]) -> str:
        turn, since_ns = self._turns[chain]
        if chain[turn] in down and now_ns - since_ns >= _TURN_NS:
            turn = (turn + 1) % len(chain)
            self._turns[chain] = (turn, now_ns)
        return chain[turn]
