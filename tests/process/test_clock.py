"""The clock of the machine is set while the program runs, and between two runs: see `make rehearse-clock`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.process.clock import Case, rehearse
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(240 * SCALE)


@pytest.mark.parametrize(
    "case",
    [
        Case("+2h", 7_200, 4, restart=True, venue=True),
        Case("-2h", -7_200, 4, restart=False, venue=True),
        Case("+40d", 40 * 86_400, 4, restart=False, venue=False),
    ],
    ids=str,
)
async def test_a_wrong_clock_loses_changes_and_forgets_nothing(
    tmp_path: Path, require_program: Callable[[str], str], case: Case
) -> None:
    """Bars go on by the venue's time; one line of log for each step, and /readyz names it."""
    require_program("faketime")

    assert await rehearse(case, tmp_path) == []
