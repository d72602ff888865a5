"""The measurement of the history in its quick form: no figure is judged, only that each is measured."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.test_commands import ran


def test_each_part_of_the_history_is_measured(tmp_path: Path) -> None:
    """Writing by its two threads, the disk by its size, a question wherever it costs time."""
    words = "loop and thread,ticker on the disk,month by hours"
    printed, result = ran(tmp_path, "benchmarks.history", "--only", words)
    middle = result["medians"]
    writing = middle["writing: loop and thread"]

    assert 0 < writing["thread_percent"] < writing["median"]
    assert 0 < writing["loop_percent"] < writing["median"]
    assert middle["a day of a ticker on the disk"]["median"] > 0.1
    for place in ("reading", "engine", "HTTP"):
        asked = middle[f"{place}: a month by hours"]
        assert 0 < asked["median"] <= asked["worst"]
    assert result["setting"]["bars"] > 1000
    assert "| % of a core |" in printed
