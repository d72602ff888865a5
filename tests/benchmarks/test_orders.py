"""The measurement of the orders in its quick form: no figure is judged, only that each is measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.benchmarks.test_commands import ran


def test_round_trips_are_measured_and_every_order_is_stored(tmp_path: Path) -> None:
    """As fast as they go, and at a fixed rate: each order is answered, and found in the file afterwards."""
    printed, result = ran(tmp_path, "benchmarks.orders", "--only", "round trips")
    middle = result["medians"]

    assert len(middle) == 2
    for row in middle.values():
        assert 0 < row["p50_ms"] <= row["p99_ms"] <= row["worst_ms"]
        assert row["accepted"] == row["sent"] > 100
        assert row["engine_percent"] > 0
        assert row["clients_percent"] > 0
    assert "> 5,000/s" in printed


def test_matching_and_a_start_are_measured(tmp_path: Path) -> None:
    """Of the changes one in a hundred fills an order, which is placed again; a start accepts an order."""
    _, result = ran(tmp_path, "benchmarks.orders", "--only", "matching,start")
    matching, start = result["medians"].values()

    assert matching["engine_percent"] > 0
    assert matching["fills"] >= matching["changes"] * 0.01 > 0
    assert matching["resting"] == result["setting"]["open_orders"]
    assert start["seconds"] > 0


def test_commits_are_counted_on_their_way_to_the_disk(tmp_path: Path) -> None:
    """Orders are acknowledged only behind an fsync: strace sees them, fewer than there are orders."""
    if not shutil.which("strace"):
        pytest.skip("there is no strace here")
    _, result = ran(tmp_path, "benchmarks.orders", "--only", "strace")
    (row,) = result["medians"].values()

    assert row["synced"] > 0
    assert row["orders_a_sync"] == pytest.approx(row["accepted"] / row["synced"])
