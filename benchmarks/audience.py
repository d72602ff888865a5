"""The viewers of a measurement: several processes, addressed as one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

from benchmarks.system import Process, running

_PROCESSES = 2
_READY_S = 120.0


class Sighting(NamedTuple):
    """What all viewers have seen since the mark.

    `arrived`: per viewer "symbol source" → monotonic second of its first fresh quote from there. `now`,
    `switches` and `outages`: JSON text → how many viewers saw it. `gaps`: symbol → the longest
    time in seconds any viewer waited for its next fresh quote.
    """

    arrived: list[dict[str, float]]
    now: Counter[str]
    switches: Counter[str]
    outages: Counter[str]
    gaps: dict[str, float]
    frames: int
    errors: int
    first_errors: list[str]

    def all_served_by(self, source: str) -> bool:
        """Return whether every viewer sees every symbol fresh from `source`."""
        return all(set(json.loads(now).values()) == {source} for now in self.now)


class Audience:
    """Viewers of one gateway."""

    def __init__(self, processes: list[Process]) -> None:
        """Wait until every viewer has its snapshot."""
        self._processes = processes
        self.count = sum(json.loads(process.line(_READY_S))["ready"] for process in processes)

    def mark(self) -> None:
        """Begin a measurement."""
        self._ask("mark")

    def report(self) -> Sighting:
        """Return what was seen since the mark."""
        answers = self._ask("report")
        gaps: dict[str, float] = {}
        for answer in answers:
            for symbol, gap in answer["gaps"].items():
                gaps[symbol] = max(gap, gaps.get(symbol, 0.0))
        now, switches, outages = (_added(answers, name) for name in ("now", "switches", "outages"))
        return Sighting(
            [each for answer in answers for each in answer["arrived"]],
            now,
            switches,
            outages,
            gaps,
            sum(answer["frames"] for answer in answers),
            sum(answer["errors"] for answer in answers),
            [error for answer in answers for error in answer["first_errors"]],
        )

    def _ask(self, line: str) -> list[Any]:
        for process in self._processes:
            process.send_line(line)
        return [json.loads(process.line()) for process in self._processes]


@contextmanager
def audience(url: str, count: int, **wish: object) -> Iterator[Audience]:
    """Connect `count` viewers, each subscribed with `wish` (symbols, interval_ms, …)."""
    shares = [count // _PROCESSES + (place < count % _PROCESSES) for place in range(_PROCESSES)]
    arguments = [["benchmarks.viewers", url, str(share), json.dumps(wish)] for share in shares if share]
    with ExitStack() as stack:
        yield Audience([stack.enter_context(running(each)) for each in arguments])


def _added(answers: list[Any], name: str) -> Counter[str]:
    total: Counter[str] = Counter()
    for answer in answers:
        total.update(answer[name])
    return total
