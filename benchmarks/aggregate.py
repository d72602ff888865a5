"""Measure one engine on many venues: `python -m benchmarks.aggregate` (about 10 minutes; --quick).

The engine is on the first core; fake venues, gateway and supervisor are on the second. In turn:

- 15 venues with 200 pairs each, all connected: CPU of the engine, per frame and as the share of a core at the
  rate that the venues reach, and at the aim of 20,000 frames a second;
- 2,000 pairs at five venues, all connected: seconds from the start until every quote is fresh, the engine's
  memory, and its CPU a minute after the last frame of the venues, which end once all pairs are subscribed to.
  By then the age of prices changes no index any more. It takes no silence for a failure here, and the venues
  then refuse to send it older bars, which would take a quarter of an hour.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import click
import psutil

from benchmarks.aggregate_venues import pairs
from benchmarks.on_core import CLIENTS, SERVER
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options
from benchmarks.servers import on_core
from benchmarks.system import Process, System, answers, free_port, get_json, run_command, until
from tests.fakes import FAKES

_TRAFFIC, _IDLE = "15 venues, 200 pairs", "2,000 pairs, 5 venues"
_AIM_PER_S = 20_000
# Gemini is left out: the fewest of its frames are recorded.
_FIFTEEN = tuple(name for name in FAKES if name != "gemini")
_FIVE = ("okx", "gate", "kraken", "coinbase", "binance")
_RATE = 4.5  # tops of book a second and pair; with trades and 24 h figures about 20,000 frames in all
_START_RATE = 0.5
_PATIENCE_S = 120.0
_HEADINGS = ("what", "figure", "value", "aim", "runs")


class Size(NamedTuple):
    """How much is measured."""

    traffic_pairs: int
    idle_pairs: int
    calm_s: float
    settle_s: float
    seconds: float


@click.command(help=__doc__)
@options("aggregate", runs=3)
@click.option("--seconds", default=20.0, show_default=True, help="Of each measurement.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float) -> None:
    """Measure both in turn, print the table, write the results."""
    size = Size(5, 20, 1.0, 1.0, 1.0) if quick else Size(200, 2_000, 10.0, 60.0, seconds)
    names = chosen((_TRAFFIC, _IDLE), only)
    rows = interleaved(names, 1 if quick else runs, lambda name: _MEASURES[name](size))
    middle = medians(names, rows)
    setting = {"venues": _FIFTEEN, "idle_venues": _FIVE, "rate": _RATE, **size._asdict()}
    lines = [line for name in names for line in _lines(name, middle.get(name))]
    finish(output, _HEADINGS, lines, {"setting": setting, "medians": middle, "runs": rows})


def _lines(name: str, row: Row | None) -> Iterator[list[object]]:
    for figure, aim in _AIMS[name].items():
        yield [name, figure, row and row[figure], aim, row and row["runs"]]


def _traffic(size: Size) -> Row:
    with _running(_FIFTEEN, size.traffic_pairs, _RATE) as (_, system, _began):
        _until_fresh(system, size.traffic_pairs)
        time.sleep(size.seconds / 4)
        frames, used, began = _frames(system), system.usage()["engine"].cpu_s, time.perf_counter()
        time.sleep(size.seconds)
        frames, elapsed = _frames(system) - frames, time.perf_counter() - began
        end = system.usage()["engine"]
    used = end.cpu_s - used
    return {
        "frames/s": frames / elapsed,
        "CPU %": used / elapsed * 100,
        "CPU µs/frame": used / frames * 1e6,
        "CPU % at 20,000/s": used / frames * _AIM_PER_S * 100,
        "memory MB": end.rss / 1e6,
    }


def _idle(size: Size) -> Row:
    patient = ("--stale-after", "3600", "--quiet-after", "3600")
    with _running(_FIVE, size.idle_pairs, _START_RATE, *patient) as (venues, system, began):
        fresh_s = _until_fresh(system, size.idle_pairs) - began
        until(lambda: _all_live(system), "all venues to be live", _PATIENCE_S)
        _until_subscribed(system, size.calm_s)
        venues.send_line("end")
        venues.line()
        time.sleep(size.settle_s)
        used = system.usage()["engine"].cpu_s
        time.sleep(size.seconds)
        end = system.usage()["engine"]
    idle = (end.cpu_s - used) / size.seconds * 100
    return {"fresh after s": fresh_s, "idle CPU %": idle, "memory MB": end.rss / 1e6}


# By what is measured: each figure, and the aim that it has, if any.
_AIMS: dict[str, dict[str, str | None]] = {
    _TRAFFIC: {
        "frames/s": None,
        "CPU %": None,
        "CPU µs/frame": None,
        "CPU % at 20,000/s": "< 100",
        "memory MB": None,
    },
    _IDLE: {"fresh after s": "< 10", "idle CPU %": "< 5", "memory MB": "< 300"},
}
_MEASURES: dict[str, Callable[[Size], Row]] = {_TRAFFIC: _traffic, _IDLE: _idle}


@contextmanager
def _running(
    names: Sequence[str], count: int, rate: float, *more: str
) -> Iterator[tuple[Process, System, float]]:
    """Run the venues and all of Crypto Stream; yield them and when the latter was started."""
    venue_command = [sys.executable, "-m", "benchmarks.aggregate_venues", ",".join(names), str(count)]
    with tempfile.TemporaryDirectory(prefix="aggregate-") as place, on_core(CLIENTS, venue_command) as venues:
        settings: dict[str, str] = {}
        for name, port in json.loads(venues.line()).items():
            prefix = f"CRYPTO_STREAM_{name.upper()}"
            settings[f"{prefix}_URL"] = f"ws://127.0.0.1:{port}"
            settings[f"{prefix}_REST_URL"] = f"http://127.0.0.1:{port}"
        venues.send_line(f"rate {rate}")
        venues.line()
        given = ["--sources", ",".join(names), "--pairs", ",".join(pairs(count)), "--standby", "all", *more]
        command = run_command(Path(place), port := free_port(), *given)
        began = time.monotonic()
        with on_core(CLIENTS, [sys.executable, "-m", *command], quiet=True, **settings) as process:
            url = f"http://127.0.0.1:{port}"
            until(lambda: answers(url), "a fresh quote on /courses", _PATIENCE_S)
            system = System(process, url, Path(place) / "app.log")
            engine = psutil.Process(system.pid("engine"))
            if hasattr(engine, "cpu_affinity"):
                engine.cpu_affinity(sorted(os.sched_getaffinity(0))[SERVER : SERVER + 1])
            yield venues, system, began


def _until_fresh(system: System, count: int) -> float:
    """Wait until every pair has a fresh quote; return when that was."""

    def is_fresh() -> bool:
        return sum(not quote["stale"] for quote in get_json(f"{system.url}/courses")) >= count

    until(is_fresh, "every quote to be fresh", _PATIENCE_S, 0.1)
    return time.monotonic()


def _all_live(system: System) -> bool:
    return all(each["state"] == "live" for each in _sources(system))


def _until_subscribed(system: System, calm_s: float) -> None:
    """Wait until no venue has acknowledged anything for so long: some take a minute for so many pairs."""
    before, now = -1, 0
    while now != before:
        time.sleep(calm_s)
        before, now = now, sum(each["frames"].get("ack", 0) for each in _sources(system))


def _frames(system: System) -> int:
    return sum(sum(each["frames"].values()) for each in _sources(system))


def _sources(system: System) -> list[dict[str, Any]]:
    return list(get_json(f"{system.url}/sources")["sources"])


if __name__ == "__main__":
    main()
