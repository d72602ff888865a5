"""The engine's clock: it follows the wall clock, but a step only when that is confirmed."""

from __future__ import annotations

import pytest

from crypto_stream.market.clock import FOLLOWED, RETURNED, STEPPED, EngineClock
from tests.history.clocks import SetClocks

HOUR = 3_600_000
BEGIN = 1_700_000_000_000


def seconds(clock: EngineClock, clocks: SetClocks, count: int, **venues: int) -> None:
    """Let time pass; each venue trades, its clock that far from the machine's as it was at the beginning."""
    for _ in range(count * 4):
        clocks.pass_by(250)
        for name, ahead_ms in venues.items():
            clock.observe_trade(name, BEGIN + clocks.running // 1_000_000 - 50_000 + ahead_ms)
        clock.check()


def notes(clock: EngineClock) -> list[tuple[str, int]]:
    return [(note.text, note.ahead_ms) for note in clock.notes]


@pytest.mark.parametrize("ms", [2 * HOUR, -2 * HOUR, 40 * 24 * HOUR])
def test_a_step_that_goes_by_changes_nothing(ms: int) -> None:
    """It is said when it comes and when it goes, and named for ten minutes after."""
    clocks = SetClocks(BEGIN)
    clock = EngineClock(clocks)
    clocks.wall += ms
    seconds(clock, clocks, 25)
    during = clock.trouble
    clocks.wall -= ms
    seconds(clock, clocks, 1)
    after = clock.trouble
    passed_ms = clocks.wall - BEGIN

    assert clock.now_ms() == BEGIN + passed_ms
    assert notes(clock) == [(STEPPED, ms), (RETURNED, -ms)]
    assert "stepped" in (during or "")
    assert "right again" in (after or "")
    seconds(clock, clocks, 601)
    assert clock.trouble is None


@pytest.mark.parametrize("ms", [2 * HOUR, -2 * HOUR])
def test_a_step_that_stays_is_followed(ms: int) -> None:
    """After half a minute where no venue tells its time."""
    clocks = SetClocks(BEGIN)
    clock = EngineClock(clocks)
    clocks.wall += ms
    seconds(clock, clocks, 32)

    assert clock.now_ms() == clocks.wall
    assert notes(clock) == [(STEPPED, ms), (FOLLOWED, ms)]
    assert not clock.steady


@pytest.mark.parametrize(("venues", "followed"), [([0], False), ([2 * HOUR], True), ([0, 2 * HOUR], False)])
def test_venues_decide(venues: list[int], followed: bool) -> None:
    """All that tell their time, at once; against one of them nothing is followed, however long."""
    clocks = SetClocks(BEGIN)
    names = [f"venue{number}" for number in range(len(venues))]
    clock = EngineClock(clocks, names)
    clocks.wall += 2 * HOUR
    seconds(clock, clocks, 3 if followed else 100, **dict(zip(names, venues, strict=True)))

    assert (clock.now_ms() == clocks.wall) == followed


def test_a_recording_has_no_say() -> None:
    """Nor has a source that is not among the live venues."""
    clocks = SetClocks(BEGIN)
    clock = EngineClock(clocks, ["venue"])
    seconds(clock, clocks, 5, other=-1000 * HOUR)

    assert clock.trouble is None
    assert clock.venue_ms("other") is not None


def test_a_clock_far_from_all_venues_is_said_and_not_changed() -> None:
    """Only a person can know which of them is wrong."""
    clocks = SetClocks(BEGIN)
    clock = EngineClock(clocks, ["venue"])
    seconds(clock, clocks, 5, venue=-2 * HOUR)

    assert clock.now_ms() == clocks.wall
    assert "7200 s ahead of the venues'" in (clock.trouble or "")
    assert clock.disputed
    assert len(clock.notes) == 1


@pytest.mark.parametrize("ms", [2 * HOUR, -2 * HOUR])
def test_in_the_same_boot_the_next_run_knows_of_a_step(ms: int) -> None:
    """The machine counts on, whoever sets its clock; then it comes right again."""
    clocks = SetClocks(BEGIN)
    left = EngineClock(clocks).anchor()
    clocks.pass_by(60_000)
    clocks.wall += ms
    second = EngineClock(clocks, (), left)
    left = second.anchor()
    clocks.pass_by(60_000)
    clocks.wall -= ms
    third = EngineClock(clocks, (), left)

    assert notes(second) == [(STEPPED, ms)]
    assert left.at_ms == BEGIN + 60_000
    assert notes(third) == [(RETURNED, -ms)]
    assert third.now_ms() == clocks.wall
    assert third.trouble


def test_over_a_boot_it_never_goes_back_unconfirmed() -> None:
    """How long the machine was off nobody knows; ahead is taken, back is waited for."""
    clocks = SetClocks(BEGIN)
    left = EngineClock(clocks).anchor()
    clocks.reboot("second", HOUR)
    ahead = EngineClock(clocks, (), left)
    clocks.wall = BEGIN - HOUR
    back = EngineClock(clocks, (), left)

    assert (ahead.now_ms(), ahead.trouble) == (BEGIN + HOUR, None)
    assert back.now_ms() == BEGIN
    assert notes(back) == [(STEPPED, -HOUR)]


def test_drift_is_followed() -> None:
    """As NTP corrects a clock, bit by bit."""
    clocks = SetClocks(BEGIN)
    clock = EngineClock(clocks)
    for _ in range(100):
        clocks.wall -= 100
        seconds(clock, clocks, 1)

    assert clock.now_ms() == clocks.wall
    assert not clock.notes
