"""Servers that are killed while orders are placed lose no order, tell every report and fill nothing twice."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.process.order_crash import crash
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(400 * SCALE)
ROUNDS = 10


async def test_killed_ten_times_they_keep_what_they_acknowledged(tmp_path: Path) -> None:
    """Engine, gateway or all: orders are stored as acknowledged, reports told in order, fills unique."""
    seed = random.randrange(2**32)
    report = await crash(ROUNDS, random.Random(seed), tmp_path, lambda _line: None)

    assert not report.faults, (seed, report.faults[:20])
    assert report.kills == ROUNDS
    assert report.orders > ROUNDS * 10
    assert report.trades > ROUNDS * 10
