"""The measurement of best and index in its quick form: no figure is judged, only that each is measured."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.test_commands import ran


def test_each_part_of_the_prices_is_measured(tmp_path: Path) -> None:
    """Events with and without the index, of as many as were simulated, and one value of either price."""
    printed, result = ran(tmp_path, "benchmarks.prices")
    middle = result["medians"]
    events = {name: row for name, row in middle.items() if name.startswith("an event")}

    assert len(events) == 5
    assert all(row["us"] > 0 for row in middle.values())
    assert middle["an event: with the index, 3 pairs, 10000/s"]["events"] == 3_000
    assert all((row["ticks"] > 0) == ("index" in name) for name, row in events.items())
    assert {"one value: best", "one value: index"} <= middle.keys()
    assert "on top of the quote" in printed
