"""The soak in its small form: nothing grows beyond a stated bound and no client meets an error."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.soak import Sample, growth
from tests.waiting import SCALE

ROOT = Path(__file__).parents[2]
SECONDS = 60


def line(mb_a_second: float, files_a_second: float = 0.0) -> list[Sample]:
    """Make 100 samples a second apart that rise evenly."""
    return [Sample(float(at), 50 + at * mb_a_second, 20 + int(at * files_a_second)) for at in range(100)]


def test_a_steady_rise_is_not_flat() -> None:
    """Memory or files that rise through the bound after the warm-up are growth, level ones are flat."""
    level, memory, files = (growth(each, 5, 5) for each in (line(0), line(0.1), line(0, 0.1)))

    assert level.flat
    assert level.risen_mb == pytest.approx(0)
    assert not memory.flat
    assert memory.risen_mb == pytest.approx(7.4)
    assert not files.flat


def test_what_is_taken_while_warming_up_is_no_growth() -> None:
    """Memory that rises in the first quarter only is flat."""
    warming = [Sample(float(at), 50.0 + min(at, 20), 20) for at in range(100)]

    assert growth(warming, 5, 5).flat


@pytest.mark.timeout(SECONDS + 90 * SCALE)
def test_fifty_mixed_viewers_for_a_minute(tmp_path: Path) -> None:
    """Memory rises by less than 10 MB, open files by less than 5, and no viewer of any kind has an error."""
    output = tmp_path / "soak.json"
    command = ["benchmarks.soak", "--seconds", str(SECONDS), "--clients", "50", "--growth-mb", "10"]
    done = subprocess.run(
        [sys.executable, "-m", *command, "--output", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=SECONDS + 60 * SCALE,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(output.read_text("utf-8"))
    assert result["errors"] == []
    assert set(result["growth"]) == {"supervisor", "engine", "gateway"}
