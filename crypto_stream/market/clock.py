"""The engine's clock, which does not trust the machine's wall clock blindly. Pure: clocks are passed in.

It advances with a monotonic clock and follows the wall clock as long as that only drifts. If the wall clock
steps, it is followed only once the venues confirm the step or 30 s have passed: a wrong wall clock must not
close bars, delete old ones, or disturb whatever is scheduled by time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, Protocol

# A wall clock that is only being slewed differs by less than this between two checks.
STEP_MS = 1_500
CONFIRMED_AFTER_MS = 30_000
# For this long after a step or a start nothing irreversible is decided.
_STEADY_AFTER_MS = 600_000
_DISPUTED_FOR_MS = 60_000
# A venue confirms a clock if its newest trades are this close to it.
_NEAR_MS = 30_000
_MIN_SAMPLES = 3  # checks with a trade of a source before its clock is considered known
_MAX_SAMPLES = 20
_FORGET_AFTER_MS = 60_000
_IMPLAUSIBLE_MS = 4_102_444_800_000  # the year 2100


class Clocks(Protocol):
    """The clocks of one machine."""

    def wall_ms(self) -> int:
        """Return the wall clock's ms since the epoch."""

    def monotonic_ns(self) -> int:
        """Return a monotonic time for durations; it may not advance while the machine sleeps."""

    def running_ns(self) -> int:
        """Return a monotonic time that advances while the machine sleeps, if the system has one."""

    def boot(self) -> Boot | None:
        """Identify the current boot of the machine; None if unknown."""


class Boot(NamedTuple):
    """A boot of the machine and its uptime, including sleep."""

    name: str
    up_ms: int


class Anchor(NamedTuple):
    """All clocks at one moment, saved for the next run of the engine.

    `at_ms` by the engine's clock, `venue_ms` by the venues' clocks if known, `wall_ms` by the machine's.
    """

    at_ms: int
    venue_ms: int
    wall_ms: int
    boot: Boot | None


class Note(NamedTuple):
    """Something about the clocks that is to be logged; `ahead_ms` is how far the wall clock is ahead."""

    text: str
    ahead_ms: int
    warning: bool


STEPPED = "the machine's clock stepped, not followed until confirmed"
RETURNED = "the machine's clock is right again"
FOLLOWED = "the step of the machine's clock is confirmed and followed"
DISAGREES = "the machine's clock differs from the venues' clocks"


class EngineClock:
    """The current time, from the machine's clocks and the times of the venues' trades.

    A step of the wall clock is followed if all venues whose time is known confirm it, or if none is known and
    30 s have passed; never while a venue contradicts it. `timekeepers` are the sources that are live venues.
    `previous` is the anchor that the previous run saved: within the same boot the clock continues from it,
    otherwise it never goes back without confirmation.
    """

    def __init__(
        self, clocks: Clocks, timekeepers: Sequence[str] = (), previous: Anchor | None = None
    ) -> None:
        self.notes: deque[Note] = deque(maxlen=10)
        self.confirmed = False  # by a venue
        self.clocks = clocks
        self.timekeepers = frozenset(timekeepers)
        self._newest: dict[str, int] = {}
        self._offsets: dict[str, deque[int]] = {}  # by source: the venue's clock minus the running clock
        self._sampled_ms: dict[str, int] = {}
        self._running_ms = clocks.running_ns() // 1_000_000
        wall_ms = clocks.wall_ms()
        if previous is not None and previous.at_ms >= _IMPLAUSIBLE_MS:
            previous = None
        passed = None if previous is None else _passed_ms(previous, clocks.boot())
        begin = wall_ms if previous is None else max(wall_ms, previous.at_ms)
        if previous is not None and passed is not None:
            begin = previous.at_ms + passed
        self._offset_ms = begin - self._running_ms
        self._began_ms = self._running_ms
        self._pending: tuple[int, int] | None = None  # how far the wall clock is ahead, and since when
        self._last: tuple[int, int, str] | None = None  # the newest step: how far, when, its description
        self._differs_ms = 0
        if previous is not None and passed is not None:
            moved = wall_ms - previous.wall_ms - passed
            if abs(moved) > STEP_MS:
                ahead = self._ahead_ms()
                self._pending = (ahead, self._running_ms) if ahead else None
                self._note_step(moved, STEPPED if ahead else RETURNED)
        self.check()

    def now_ms(self) -> int:
        """Return the current time in ms since the epoch."""
        return self.clocks.running_ns() // 1_000_000 + self._offset_ms

    def venue_ms(self, source: str) -> int | None:
        """Return the current time by the clock of a venue; None while that is unknown."""
        offsets = self._offsets.get(source)
        if offsets is None or len(offsets) < _MIN_SAMPLES:
            return None
        return self.clocks.running_ns() // 1_000_000 + round(median(offsets))

    def knows_time_of(self, source: str) -> bool:
        """Return whether the clock of a source is known; sources that are not venues use ours."""
        return source not in self.timekeepers or self.venue_ms(source) is not None

    def venues_ms(self) -> int:
        """Return the current time by the venues' clocks, or by this clock if those are unknown."""
        times = [at for name in self.timekeepers if (at := self.venue_ms(name)) is not None]
        return round(median(times)) if times else self.now_ms()

    def anchor(self) -> Anchor:
        """Return all clocks at this moment, to be saved for the next run."""
        return Anchor(self.now_ms(), self.venues_ms(), self.clocks.wall_ms(), self.clocks.boot())

    @property
    def steady(self) -> bool:
        """Whether this clock is reliable: confirmed by a venue, or without a step for ten minutes."""
        return self._is_stable_for(_STEADY_AFTER_MS)

    @property
    def disputed(self) -> bool:
        """Whether this clock is doubtful: contradicted, or started or stepped less than a minute ago."""
        return not self._is_stable_for(_DISPUTED_FOR_MS)

    @property
    def trouble(self) -> str | None:
        """What is wrong with the machine's clock, or was in the last ten minutes; None if nothing."""
        if self._pending:
            return f"the machine's clock stepped {_moved(self._pending[0])}, not followed until confirmed"
        if self._differs_ms:
            where = "ahead of" if self._differs_ms > 0 else "behind"
            return f"the machine's clock is {_seconds(self._differs_ms)} {where} the venues': set it right"
        if self._last and self._running_ms - self._last[1] < _STEADY_AFTER_MS:
            seconds = (self._running_ms - self._last[1]) // 1000
            return f"the machine's clock stepped {_moved(self._last[0])} {seconds} s ago; {self._last[2]}"
        return None

    def observe_trade(self, source: str, time_ms: int) -> None:
        """Note the time of a trade that has just arrived."""
        self._newest[source] = time_ms

    def check(self) -> None:
        """Compare the clocks; to be called several times a second."""
        self._running_ms = self.clocks.running_ns() // 1_000_000
        self._sample_venues()
        ahead = self._ahead_ms()
        if not ahead:
            if self._pending:
                self._note_step(-self._pending[0], RETURNED)
            self._pending = None
            self._offset_ms += self.clocks.wall_ms() - self.now_ms()
        elif self._pending is None or abs(ahead - self._pending[0]) > STEP_MS:
            self._pending = (ahead, self._running_ms)
            self._note_step(ahead, STEPPED)
        votes = self._votes()
        if self._pending and self._should_follow(votes, self._pending[1]):
            self._offset_ms += ahead
            self._pending = None
            self._note_step(ahead, FOLLOWED, warning=False)
            votes = self._votes()
        self.confirmed = "engine" in votes and "wall" not in votes
        self._compare_with_venues()

    def _is_stable_for(self, ms: int) -> bool:
        if self._pending or self._differs_ms:
            return False
        since = max(self._began_ms, self._last[1] if self._last else 0)
        return self.confirmed or self._running_ms - since >= ms

    def _sample_venues(self) -> None:
        for source, time_ms in self._newest.items():
            offsets = self._offsets.setdefault(source, deque(maxlen=_MAX_SAMPLES))
            offsets.append(time_ms - self._running_ms)
            self._sampled_ms[source] = self._running_ms
        self._newest.clear()
        for source, sampled_ms in list(self._sampled_ms.items()):
            if self._running_ms - sampled_ms > _FORGET_AFTER_MS:
                del self._sampled_ms[source], self._offsets[source]

    def _ahead_ms(self) -> int:
        """Return how far the wall clock is ahead of this one; 0 while it only drifts."""
        ahead = self.clocks.wall_ms() - self.now_ms()
        return ahead if abs(ahead) > STEP_MS else 0

    def _votes(self) -> set[str]:
        """Return which clocks the venues confirm, "engine" or "wall"; close to both, a venue has no vote."""
        ahead = self._ahead_ms()
        votes = set()
        for source in self.timekeepers:
            at = self.venue_ms(source)
            if at is None:
                continue
            off = at - self.now_ms()
            if abs(off) <= min(_NEAR_MS, abs(ahead) // 3 or _NEAR_MS):
                votes.add("engine")
            elif ahead and abs(off - ahead) <= min(_NEAR_MS, abs(ahead) // 3):
                votes.add("wall")
        return votes

    def _should_follow(self, votes: set[str], since_ms: int) -> bool:
        if votes:
            return votes == {"wall"}
        return self._running_ms - since_ms >= CONFIRMED_AFTER_MS

    def _compare_with_venues(self) -> None:
        """Detect a wall clock that did not step but is far from the clocks of all venues."""
        times = [at for name in self.timekeepers if (at := self.venue_ms(name)) is not None]
        wall = self.clocks.wall_ms()
        differs = 0
        if times and not self._pending and all(abs(at - wall) > 2 * _NEAR_MS for at in times):
            differs = wall - round(median(times))
        if differs and not self._differs_ms:
            self.notes.append(Note(DISAGREES, differs, warning=True))
        self._differs_ms = differs

    def _note_step(self, ahead_ms: int, text: str, *, warning: bool = True) -> None:
        self._last = (ahead_ms, self._running_ms, text)
        self.notes.append(Note(text, ahead_ms, warning))


def _passed_ms(anchor: Anchor, boot: Boot | None) -> int | None:
    """Return the time since `anchor` if the machine has been running since then, else None."""
    then = anchor.boot
    if boot is None or then is None or boot.name != then.name or boot.up_ms < then.up_ms:
        return None
    return boot.up_ms - then.up_ms


def _seconds(ms: int) -> str:
    return f"{abs(ms) / 1000:.1f} s" if abs(ms) < 60_000 else f"{abs(ms) // 1000} s"


def _moved(ms: int) -> str:
    return f"{_seconds(ms)} {'ahead' if ms > 0 else 'back'}"
