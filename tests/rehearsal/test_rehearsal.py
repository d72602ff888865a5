"""The rehearsal in short; `make rehearse` is the whole of it."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rehearsal.faults import rows
from tests.rehearsal.network import network
from tests.rehearsal.rehearse import rehearse
from tests.waiting import SCALE

# One of each kind: a machine, a change-over, a relay, the database.
SHORT = (
    "the leader's machine vanishes",
    "the leader is stopped cleanly",
    "one relay is killed, and missing for a while",
    "PostgreSQL fails over",
)


@pytest.mark.timeout(300 * SCALE)
async def test_viewers_and_traders_lose_nothing(
    require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """Acknowledged and not kept, kept twice, reports never seen, seq back, stale below 5 s: none."""
    async with network() as net:
        faults = [fault for fault in rows() if fault.name in SHORT and (net.separates or not fault.apart)]
        report = await rehearse(
            net, faults, random.Random(), tmp_path, require_program, lambda _: None, timed=False
        )

    assert [one.name for one in report.seen] == [fault.name for fault in faults]
    assert report.ledger.orders > 0
    assert report.faults == []
