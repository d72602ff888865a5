"""Questions that cost the engine work: how many may be under way, and answers that serve equal ones."""

from __future__ import annotations

import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager

from crypto_stream.gateway.web.problems import ProblemError
from crypto_stream.gateway.web.responses import Prebuilt

# Seconds for which an answer serves equal questions: a chart notices by `seq` and `previous` what it lacks.
_KEPT_S = 0.25
_KEPT_BYTES = 8 * 1024 * 1024
_LONGEST_WAIT_S = 10.0


def busy(detail: str) -> ProblemError:
    """Make the refusal of a question that would have to wait too long."""
    problem = ProblemError(503, "busy", f"{detail}; try again in a second.")
    problem.headers = {"Retry-After": "1"}
    return problem


class Turns:
    """Let in as many questions at once as are good for all: `most` in all, `per_address` of one address."""

    def __init__(self, most: int, per_address: int) -> None:
        self._most = most
        self._per_address = per_address
        self._of: Counter[str] = Counter()

    @contextmanager
    def turn(self, address: str) -> Iterator[None]:
        """Count one question while the block runs; ProblemError 503 beyond a limit."""
        if self._of.total() >= self._most:
            raise busy(f"This gateway asks {self._most} such questions at once and has no turn left")
        if self._of[address] >= self._per_address:
            raise busy(f"{self._per_address} such questions of your address are under way")
        self._of[address] += 1
        try:
            yield
        finally:
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]


class _Making:
    """One answer that somebody makes."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Prebuilt | None = None


class Shared:
    """Answers made once for all who ask the same meanwhile and shortly after; at most 8 MB are kept."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Keep nothing yet; `clock` gives seconds."""
        self._clock = clock
        self._making: dict[Hashable, _Making] = {}
        self._kept: OrderedDict[Hashable, tuple[float, Prebuilt]] = OrderedDict()

    def get(self, question: Hashable, make: Callable[[], Prebuilt]) -> Prebuilt:
        """Return the answer to `question`; what `make` raises concerns this asker alone."""
        self._forget()
        if question in self._kept:
            return self._kept[question][1]
        making = self._making.get(question)
        if making is not None and making.done.wait(_LONGEST_WAIT_S) and making.answer is not None:
            return making.answer
        ours = self._making[question] = _Making()
        try:
            answer = ours.answer = make()
        finally:
            ours.done.set()
            if self._making.get(question) is ours:
                del self._making[question]
        self._kept[question] = (self._clock() + _KEPT_S, answer)
        self._kept.move_to_end(question)
        return answer

    def _forget(self) -> None:
        """Drop what is over, and the oldest of what is too much."""
        now_s = self._clock()
        size = sum(len(answer.body(False)) for _, answer in self._kept.values())
        for question, (until_s, answer) in list(self._kept.items()):
            if until_s > now_s and size <= _KEPT_BYTES:
                break
            size -= len(answer.body(False))
            del self._kept[question]
