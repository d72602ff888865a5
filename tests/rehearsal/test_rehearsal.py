"""The rehearsal in short; `make rehearse` is the whole of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rehearsal.faults import rows
from tests.rehearsal.rehearse import rehearse
from tests.waiting import SCALE

# One of each kind: a machine, a change-over, a relay, the database.
SHORT = (
    "the leader's machine vanishes",
    "the leader is stopped cleanly",
    "one relay is killed",
    "PostgreSQL fails over",
)


@pytest.mark.timeout(300 * SCALE)
async def test_viewers_and_traders_lose_nothing(
    require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """Acknowledged and not kept, kept twice, reports never seen, seq back, stale below 5 s: none."""
    faults = [fault for fault in rows() if fault.name in SHORT]
    report = await rehearse(faults, random.Random(), tmp_path, require_program, lambda _: None)

    assert len(report.seen) == len(SHORT)
    assert report.ledger.orders > 0
    assert report.faults == []
