"""An engine that is killed while it writes loses nothing that was closed a second before."""

from __future__ import annotations

import random
from pathlib import Path

import aiohttp
import pytest

from tests.process.charts import Watcher
from tests.process.crash import Told, crash
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(400 * SCALE)
ROUNDS = 10


async def test_killed_ten_times_it_has_every_closed_bar(tmp_path: Path) -> None:
    """The database opens; each second is a bar or in a gap; what viewers were told stays; walks go on."""
    seed = random.randrange(2**32)
    report = await crash(ROUNDS, random.Random(seed), tmp_path, lambda _line: None)

    assert not report.faults, (seed, report.faults[:20])
    assert report.kills == ROUNDS
    assert report.told > ROUNDS * 3
    assert report.without_bar >= ROUNDS


async def test_what_is_judged_is_what_closed_a_second_before_the_kill_of_its_life() -> None:
    """A message read a moment after a kill is of the killed life; a bar closes at the next step, or late."""
    async with aiohttp.ClientSession() as session:
        seconds = Watcher(session, "1s")
        told = Told(seconds, Watcher(session, "1m"), [10_100, 20_000], [100, 200, 300], 40_000, {})
        seconds.prices = {("soon", 9_000): ("1", 9_010), ("late", 9_000): ("1", 9_150)}

        assert told.told_in_time({"seq": 199}, 9_099)
        assert not told.told_in_time({"seq": 100}, 9_100)
        assert not told.told_in_time({"seq": 199}, 10_103)
        assert told.told_in_time({"seq": 200}, 10_103)
        assert told.told_in_time({"seq": 300}, 30_000)
        assert told.must_outlive("soon", 8_000)
        assert not told.must_outlive("late", 8_000)
        assert told.must_outlive("never", 7_000)
        assert not told.must_outlive("never", 8_000)
