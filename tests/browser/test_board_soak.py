"""The board kept open, in its small form; `make soak-page` watches it for an hour."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.page import Look, grown
from tests.waiting import SCALE

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
MINUTES = 2.0


def looks(heap_mb: float = 0.0, nodes: float = 0.0) -> list[Look]:
    """Make an hour of looks that rise evenly."""
    return [Look(at, 3 + at * heap_mb, 5000 + int(at * nodes), 60, 60.0, 20.0) for at in range(60)]


def test_what_rises_after_the_warm_up_has_grown() -> None:
    """Heap through its bound, nodes at all; a level line has not."""
    assert grown(looks(), 1.0) == []
    assert grown(looks(heap_mb=0.01), 1.0) == []
    assert [fault.split()[0] for fault in grown(looks(heap_mb=0.1), 1.0)] == ["heap"]
    assert [fault.split()[0] for fault in grown(looks(nodes=1), 1.0)] == ["nodes"]


@pytest.mark.timeout(MINUTES * 60 + 60 * SCALE)
def test_a_board_that_is_kept_open_does_not_grow(tmp_path: Path) -> None:
    """100 rows that change 10 times a second, for two minutes; in the end each shows its newest price."""
    output = tmp_path / "page.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.page", f"--minutes={MINUTES:g}", f"--output={output}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=MINUTES * 60 + 50 * SCALE,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(output.read_text("utf-8"))["faults"] == []
