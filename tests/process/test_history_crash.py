"""An engine that is killed while it writes loses nothing that was closed a second before."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.process.crash import crash
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
