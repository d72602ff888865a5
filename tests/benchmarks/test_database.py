"""The measurement of the stores in its quick form: no figure is judged, only that each is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.benchmarks.test_commands import ran


def test_both_stores_are_measured(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """Orders and bars on each, in commits of each size."""
    require_program("initdb")
    printed, result = ran(tmp_path, "benchmarks.database")

    assert len(result["medians"]) == 10
    assert all(row["rows_per_s"] > 0 and row["cpu_us"] > 0 for row in result["medians"].values())
    assert "orders, 229 a commit: PostgreSQL" in printed
