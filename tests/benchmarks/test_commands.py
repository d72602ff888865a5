"""The measurements as commands, in their quick form: no figure is judged, only that each is measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.waiting import SCALE

ROOT = Path(__file__).parents[2]


def ran(tmp_path: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    """Run a measurement; return what it printed and its file of results."""
    output = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", *arguments, "--quick", "--output", str(output)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100 * SCALE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout, json.loads(output.read_text("utf-8"))


def test_failover_counts_what_viewers_see(tmp_path: Path) -> None:
    """A cut moves all three pairs away and back before the viewers' eyes, garbage moves none."""
    printed, result = ran(
        tmp_path, "benchmarks.failover", "--viewers", "20", "--faults", "drop,garbage", "--modes", "warm"
    )
    drop, garbage = result["outcomes"]

    assert drop["switches"] == drop["expected"] == [3, 3]
    assert 0 < drop["median_s"] <= drop["worst_s"]
    assert garbage["switches"] == [0, 0]
    assert "[2/2] warm garbage" in printed
    assert result["machine"]["cores"]


def test_numbers_measure_each_process(tmp_path: Path) -> None:
    """Idle use is told for each process, and the engine's frames are counted by the engine itself."""
    _, result = ran(tmp_path, "benchmarks.numbers", "--parts", "idle,frames")

    assert [row["process"] for row in result["idle"]] == ["supervisor", "engine", "gateway"] * 2
    assert all(row["rss_mb"] > 1 for row in result["idle"])
    assert result["frames"][0]["frames"] > 100


def test_hostile_clients_are_measured_beside_honest_ones(tmp_path: Path) -> None:
    """Of each kind asked for on each server: memory of both halves, and all four times."""
    output = tmp_path / "hostile.json"
    kinds = ["heads that drip", "sessions of one owner"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.hostile", "--seconds=1", "--only", ",".join(kinds),
         "--output", str(output)],
        cwd=ROOT, capture_output=True, text=True, timeout=100 * SCALE, check=False,
    )  # fmt: skip
    costs = json.loads(output.read_text("utf-8"))["costs"]

    assert done.returncode == 0, done.stdout + done.stderr
    assert [(cost["server"], cost["kind"]) for cost in costs] == [
        (server, kind) for server in ("eventlet", "gevent") for kind in kinds
    ]
    times = [f"{what}_{where}_ms" for what in ("requests", "quotes") for where in ("elsewhere", "beside")]
    assert all(cost[time] > 0 for cost in costs for time in times)


def test_a_storm_is_judged_by_those_who_stayed(tmp_path: Path) -> None:
    """On each server all join, and whoever was there before goes on seeing live prices."""
    _, result = ran(tmp_path, "benchmarks.accepts")
    rows = result["medians"].values()

    assert list(result["medians"]) == ["Crypto Stream, eventlet", "Crypto Stream, gevent"]
    assert all(row["joins_s"] > 0 and row["wait_s"] > 0 and row["stale"] == 0 for row in rows)


def test_unknown_names_are_refused() -> None:
    """A fault, part or kind that does not exist is told with those that do, before anything starts."""
    for arguments in (
        ["benchmarks.failover", "--faults", "nonsense"],
        ["benchmarks.numbers", "--parts", "x"],
        ["benchmarks.hostile", "--only", "nobody"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )

        assert done.returncode == 2
        assert "known: " in done.stderr


def test_both_buses_are_measured(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """The engine's and the gateways' share of each message, and how old it was when it arrived."""
    require_program("redis-server")
    _, result = ran(tmp_path, "benchmarks.bus", "--only", "2 gateways")

    assert list(result["medians"]) == [
        f"{bus}, 2 gateways, {rate}/s" for rate in (1000, 5000) for bus in ("local", "redis", "two relays")
    ]
    assert all(row["messages"] > 10 and 0 <= row["p50_ms"] <= row["p99_ms"] for row in result["runs"])
