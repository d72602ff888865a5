"""The engine's clock, which believes none of the machine's clocks alone. Pure: they are handed in.

The engine's clock is what the engine takes for the present. It runs on with a clock that nobody sets, and
follows the machine's wall clock. When that steps it waits until venues or 30 s confirm the step: a wrong wall
clock must not close bars, forget old ones, or move what is made by time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple, Protocol

# A wall clock that is corrected bit by bit differs less than this from one look to the next.
STEP_MS = 1_500
CONFIRMED_AFTER_MS = 30_000
# So long after a step, or a start, nothing is decided that could not be taken back.
_STEADY_AFTER_MS = 600_000
_DISPUTED_FOR_MS = 60_000
# A venue whose newest trades are so close to a clock speaks for it, and not for one further away.
_NEAR_MS = 30_000
_LOOKS = 3  # at which a source must have told a time before its clock is known
_MOST_LOOKS = 20
_FORGOTTEN_AFTER_MS = 60_000
_NONSENSE_MS = 4_102_444_800_000  # the year 2100


class Clocks(Protocol):
    """The clocks of one machine."""

    def wall_ms(self) -> int:
        """Return ms since the epoch, as somebody set them."""

    def monotonic_ns(self) -> int:
        """Return a time that nobody sets, for durations; it may stand still while the machine sleeps."""

    def running_ns(self) -> int:
        """Return a time that nobody sets and that goes on while the machine sleeps, where there is one."""

    def boot(self) -> Boot | None:
        """Name this run of the machine and tell how long it lasts; None where that is not known."""


class Boot(NamedTuple):
    """One run of the machine, and for how long it has been running, sleep included."""

    name: str
    up_ms: int


class Anchor(NamedTuple):
    """What one moment looked like, kept for the next run of the engine.

    `at_ms` by the engine's clock, `venue_ms` by the venues' where that was known, `wall_ms` by the machine's.
    """

    at_ms: int
    venue_ms: int
    wall_ms: int
    boot: Boot | None


class Note(NamedTuple):
    """Something about the clock that belongs into the log: a sentence, and by how much the wall differs."""

    text: str
    ahead_ms: int
    warning: bool


STEPPED = "the machine's clock was set, and is not followed before that is confirmed"
RETURNED = "the machine's clock is right again"
FOLLOWED = "the machine's clock is followed"
DISAGREES = "the machine's clock differs from the venues' clocks"


class EngineClock:
    """Tell the present, by the clocks of the machine and what venues say.

    A wall clock that steps is followed when every venue that tells its time speaks for it, or when none tells
    and 30 s have passed; while a venue speaks against it, it is not. `timekeepers` are the sources that are
    live venues. `left` is what the run before kept: in the same run of the machine the engine's clock goes on
    from it, over any other restart it never goes back unconfirmed.
    """

    def __init__(self, clocks: Clocks, timekeepers: Sequence[str] = (), left: Anchor | None = None) -> None:
        self.notes: deque[Note] = deque(maxlen=10)
        self.confirmed = False  # a venue speaks for this clock
        self.clocks = clocks
        self.timekeepers = frozenset(timekeepers)
        self._newest: dict[str, int] = {}
        self._offsets: dict[str, deque[int]] = {}  # by source, of the venue's clock from the running one
        self._told_ms: dict[str, int] = {}
        self._running_ms = clocks.running_ns() // 1_000_000
        wall_ms = clocks.wall_ms()
        if left is not None and left.at_ms >= _NONSENSE_MS:
            left = None
        passed = None if left is None else _passed_ms(left, clocks.boot())
        begin = wall_ms if left is None else max(wall_ms, left.at_ms)
        if left is not None and passed is not None:
            begin = left.at_ms + passed
        self._offset_ms = begin - self._running_ms
        self._began_ms = self._running_ms
        self._pending: tuple[int, int] | None = None  # how far the wall clock is ahead, and since when
        self._last: tuple[int, int, str] | None = None  # the newest step: how far, when, how it is said
        self._differs_ms = 0
        if left is not None and passed is not None:
            moved = wall_ms - left.wall_ms - passed
            if abs(moved) > STEP_MS:
                ahead = self._ahead_ms()
                self._pending = (ahead, self._running_ms) if ahead else None
                self._note_step(moved, STEPPED if ahead else RETURNED)
        self.look()

    def now_ms(self) -> int:
        """Return the present in ms since the epoch."""
        return self.clocks.running_ns() // 1_000_000 + self._offset_ms

    def venue_ms(self, source: str) -> int | None:
        """Return the time at a source by its own clock; None while that is not known."""
        offsets = self._offsets.get(source)
        if offsets is None or len(offsets) < _LOOKS:
            return None
        return self.clocks.running_ns() // 1_000_000 + round(median(offsets))

    def tells(self, source: str) -> bool:
        """Say whether all is known of the time at a source: a generator has ours."""
        return source not in self.timekeepers or self.venue_ms(source) is not None

    def venues_ms(self) -> int:
        """Return the venues' time where they tell one, else this clock's."""
        told = [at for name in self.timekeepers if (at := self.venue_ms(name)) is not None]
        return round(median(told)) if told else self.now_ms()

    def anchor(self) -> Anchor:
        """Describe this moment for the next run."""
        return Anchor(self.now_ms(), self.venues_ms(), self.clocks.wall_ms(), self.clocks.boot())

    @property
    def steady(self) -> bool:
        """Say whether this clock can be relied on: a venue speaks for it, or no step for ten minutes."""
        return self._stands_for(_STEADY_AFTER_MS)

    @property
    def disputed(self) -> bool:
        """Say whether something speaks against this clock, or may soon: it began or stepped a moment ago."""
        return not self._stands_for(_DISPUTED_FOR_MS)

    @property
    def trouble(self) -> str | None:
        """Say what is wrong with the machine's clock, or was in the last ten minutes; None: nothing."""
        if self._pending:
            return f"the machine's clock stepped {_moved(self._pending[0])}, not followed until confirmed"
        if self._differs_ms:
            where = "ahead of" if self._differs_ms > 0 else "behind"
            return f"the machine's clock is {_seconds(self._differs_ms)} {where} the venues': set it right"
        if self._last and self._running_ms - self._last[1] < _STEADY_AFTER_MS:
            seconds = (self._running_ms - self._last[1]) // 1000
            return f"the machine's clock stepped {_moved(self._last[0])} {seconds} s ago; {self._last[2]}"
        return None

    def heard(self, source: str, time_ms: int) -> None:
        """Note the time of a trade that just came."""
        self._newest[source] = time_ms

    def look(self) -> None:
        """Compare the clocks; call it several times a second."""
        self._running_ms = self.clocks.running_ns() // 1_000_000
        self._learn()
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

    def _stands_for(self, ms: int) -> bool:
        if self._pending or self._differs_ms:
            return False
        since = max(self._began_ms, self._last[1] if self._last else 0)
        return self.confirmed or self._running_ms - since >= ms

    def _learn(self) -> None:
        for source, time_ms in self._newest.items():
            offsets = self._offsets.setdefault(source, deque(maxlen=_MOST_LOOKS))
            offsets.append(time_ms - self._running_ms)
            self._told_ms[source] = self._running_ms
        self._newest.clear()
        for source, told_ms in list(self._told_ms.items()):
            if self._running_ms - told_ms > _FORGOTTEN_AFTER_MS:
                del self._told_ms[source], self._offsets[source]

    def _ahead_ms(self) -> int:
        """Tell how far the wall clock is ahead of this one; 0 while it only drifts."""
        ahead = self.clocks.wall_ms() - self.now_ms()
        return ahead if abs(ahead) > STEP_MS else 0

    def _votes(self) -> set[str]:
        """Say for which clock the venues speak: "engine", "wall", each only where the other is far off."""
        ahead = self._ahead_ms()
        votes = set()
        for source in self.timekeepers:
            told = self.venue_ms(source)
            if told is None:
                continue
            off = told - self.now_ms()
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
        """Notice a clock that is steady, and yet far from what all venues tell."""
        told = [at for name in self.timekeepers if (at := self.venue_ms(name)) is not None]
        wall = self.clocks.wall_ms()
        differs = 0
        if told and not self._pending and all(abs(at - wall) > 2 * _NEAR_MS for at in told):
            differs = wall - round(median(told))
        if differs and not self._differs_ms:
            self.notes.append(Note(DISAGREES, differs, warning=True))
        self._differs_ms = differs

    def _note_step(self, ahead_ms: int, text: str, *, warning: bool = True) -> None:
        self._last = (ahead_ms, self._running_ms, text)
        self.notes.append(Note(text, ahead_ms, warning))


def _passed_ms(left: Anchor, boot: Boot | None) -> int | None:
    """Tell how long ago that was, where the machine has been running since."""
    if boot is None or left.boot is None or boot.name != left.boot.name or boot.up_ms < left.boot.up_ms:
        return None
    return boot.up_ms - left.boot.up_ms


def _seconds(ms: int) -> str:
    return f"{abs(ms) / 1000:.1f} s" if abs(ms) < 60_000 else f"{abs(ms) // 1000} s"


def _moved(ms: int) -> str:
    return f"{_seconds(ms)} {'ahead' if ms > 0 else 'back'}"
