"""Which sources to keep connected. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from typing import Literal

from crypto_stream.feed.facts import Facts

_DOWN = ("stale", "lost", "ended")
_TURN_NS = 1_000_000_000  # while all are down, each one's turn lasts at least this long


class Standby:
    """Choose the sources to connect: the serving one, every better one, and the next `count` behind it."""

    def __init__(
        self, chains: Iterable[tuple[str, ...]], count: int | Literal["all"], failback_after_ns: int
    ) -> None:
        """Serve the distinct `chains`, best source first; 0: one source of a chain at a time, in a loop."""
        self._carried: Counter[tuple[str, ...]] = Counter()
        self._turns: dict[tuple[str, ...], tuple[int, int]] = {}
        for chain in chains:
            self.add(chain)
        self._count = count
        self._short: Collection[str] = ()
        self._failback_after_ns = failback_after_ns

    def add(self, chain: tuple[str, ...]) -> None:
        """Serve one more instrument of this chain."""
        if chain:
            self._carried[chain] += 1
            self._turns.setdefault(chain, (0, -_TURN_NS))

    def remove(self, chain: tuple[str, ...]) -> None:
        """Serve one instrument less of this chain; with the last one the chain goes."""
        self._carried[chain] -= 1
        if self._carried[chain] <= 0:
            del self._carried[chain]
            self._turns.pop(chain, None)

    def wanted(
        self,
        now_ns: int,
        facts: Facts,
        pin: str | None = None,
        at_a_loss: Collection[tuple[str, ...]] = (),
        short: Collection[str] = (),
    ) -> set[str]:
        """Return the names of the sources to connect now, always including a pinned one.

        Every source of a chain that is `at_a_loss` is wanted, because those connected may not serve. `short`
        are live sources that cannot be relied on, because they do not give everything they should.
        """
        self._short = short
        names: set[str] = set()
        for chain in self._turns:
            if self._count == "all" or (self._count and chain in at_a_loss):
                names.update(chain)
            elif self._count == 0:
                names.add(pin if pin in chain else self._whose_turn(chain, now_ns, facts))
            else:
                names.update(self._with_standby(chain, 1 + self._count, now_ns, facts))
        return names | ({pin} if pin else set())

    def _with_standby(self, chain: tuple[str, ...], enough: int, now_ns: int, facts: Facts) -> list[str]:
        """Take sources from the front until `enough` of them can be relied on."""
        taken: list[str] = []
        for name in chain:
            if enough == 0:
                break
            taken.append(name)
            enough -= self._can_be_relied_on(name, now_ns, facts)
        return taken

    def _can_be_relied_on(self, name: str, now_ns: int, facts: Facts) -> bool:
        source = facts[name]
        if name in self._short:
            return False
        if not source.failed:
            return source.state not in _DOWN
        return source.state == "live" and now_ns - source.live_since_ns >= self._failback_after_ns

    def _whose_turn(self, chain: tuple[str, ...], now_ns: int, facts: Facts) -> str:
        turn, since_ns = self._turns[chain]
        is_down = facts[chain[turn]].state in _DOWN or chain[turn] in self._short
        if is_down and now_ns - since_ns >= _TURN_NS:
            turn = (turn + 1) % len(chain)
            self._turns[chain] = (turn, now_ns)
        return chain[turn]
