"""The measurement of many venues in its quick form: no figure is judged, only that each is measured."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.test_commands import ran


def test_traffic_and_idleness_are_measured(tmp_path: Path) -> None:
    """Frames of all venues are counted; every quote became fresh; the engine's memory is told."""
    printed, result = ran(tmp_path, "benchmarks.aggregate")
    traffic, idle = result["medians"].values()

    assert traffic["frames/s"] > 100
    assert traffic["CPU µs/frame"] > 0
    assert idle["fresh after s"] > 0
    assert idle["idle CPU %"] >= 0
    assert min(traffic["memory MB"], idle["memory MB"]) > 10
    assert "< 300" in printed
