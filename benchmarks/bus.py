"""CPU and latency of the bus over Redis beside the local one: `python -m benchmarks.bus` (8 minutes).

One engine publishes one quote per message to gateways that have a mirror and no viewers: two in a process of
their own each, or fifty in five processes. With two relays the gateways use them in turn, so that the engine
publishes each message twice. The engine's CPU per message is net of what the same engine uses
without publishing. Nothing is pinned; on few cores fifty gateways share them with all others.

Aims: engine over Redis at most twice local with two gateways, and below local with fifty; a gateway at most
1.2 times; from publishing to the mirror p99 at most 2 ms at 1,000 messages per second.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import click
import psutil

from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.system import Process, cpu_s, running
from crypto_stream.bus.backends import LOCAL
from tests.redis_server import running as redis_running

_RELAYS = {LOCAL: 0, "redis": 1, "two relays": 2}
_CASES = {
    f"{bus}, {gateways} gateways, {rate}/s": (bus, gateways, rate)
    for gateways, rate in ((2, 1000), (2, 5000), (50, 1000))
    for bus in _RELAYS
}
_PER_PROCESS = 10  # of many; few have a process each
_FEW = 4
_HEADINGS = (
    *("bus", "engine µs/message", "x local", "gateway µs/message", "x local", "relays µs/message"),
    *("p50 ms", "p99 ms", "messages", "runs"),
)


@click.command(help=__doc__)
@options("bus", runs=3)
@click.option("--seconds", default=6.0, show_default=True, help="Of each measurement.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float) -> None:
    """Measure each case in turn, print the table, write the results."""
    program = shutil.which("redis-server")
    if program is None:
        raise click.ClickException("redis-server is not installed (Debian: apt-get install redis-server)")
    if quick:
        runs, seconds, only = 1, 0.5, only or "2 gateways, 1000/s"
    names = chosen(_CASES, only)
    rows = interleaved(names, runs, partial(_measure, program=program, seconds=seconds))
    middle = medians(names, rows)
    lines = [_line(name, middle) for name in names]
    finish(output, _HEADINGS, lines, {"setting": {"seconds": seconds}, "medians": middle, "runs": rows})


def _measure(name: str, program: str, seconds: float) -> Row:
    kind, count, rate = _CASES[name]
    with tempfile.TemporaryDirectory(prefix="bus-") as place, ExitStack() as stack:
        folders = [Path(place) / f"redis-{number}" for number in range(_RELAYS[kind])]
        servers = [stack.enter_context(redis_running(program, folder)) for folder in folders]
        relays = [psutil.Process(server.pid) for server in servers]
        buses = [server.url("bench") for server in servers] or [LOCAL]
        path = str(Path(place) / "bus")
        engine = stack.enter_context(running(["benchmarks.bus_ends", "engine", ",".join(buses), path]))
        engine.line()
        gateways = [
            stack.enter_context(_gateways(bus, path, each))
            for bus, each in zip(cycle(buses), _split(count), strict=False)
        ]
        idle_s = _used(engine.pid, seconds)
        began = [cpu_s(psutil.Process(gateway.pid)) for gateway in gateways]
        relays_began = sum(map(cpu_s, relays))
        for gateway in gateways:
            os.kill(gateway.pid, signal.SIGUSR1)
        time.sleep(0.2)
        engine.send_line(f"start {rate}")
        busy_s = _used(engine.pid, seconds)
        engine.send_line("stop")
        steps = json.loads(engine.line())["steps"]
        time.sleep(0.5)  # what is still on its way
        used = [cpu_s(psutil.Process(gateway.pid)) for gateway in gateways]
        relays_used = sum(map(cpu_s, relays)) - relays_began
        return _row(steps, count, gateways, {
            "engine_us": (busy_s - idle_s) / steps * 1e6,
            "gateway_us": (sum(used) - sum(began)) / steps / count * 1e6,
            "relay_us": relays_used / steps * 1e6 if relays else None,
        })  # fmt: skip


def _row(steps: int, count: int, gateways: list[Process], figures: dict[str, float | None]) -> Row:
    reports = []
    for gateway in gateways:
        os.kill(gateway.pid, signal.SIGUSR2)
        reports.append(json.loads(gateway.line()))
    received = sum(report["messages"] for report in reports)
    if received != steps * count or any(report["resets"] for report in reports):
        raise RuntimeError(f"{received} of {steps * count} messages arrived")
    worst: dict[str, Any] = {key: max(report[key] for report in reports) for key in ("p50_ms", "p99_ms")}
    return {**figures, **worst, "messages": steps}


@contextmanager
def _gateways(bus: str, path: str, count: int) -> Iterator[Process]:
    with running(["benchmarks.bus_ends", "gateways", bus, path, str(count)], logs=True) as process:
        process.line()
        yield process


def _split(count: int) -> list[int]:
    return [1] * count if count <= _FEW else [_PER_PROCESS] * (count // _PER_PROCESS)


def _used(pid: int, seconds: float) -> float:
    """Return the CPU seconds that a process uses in the next `seconds`."""
    process = psutil.Process(pid)
    before = cpu_s(process)
    time.sleep(seconds)
    return cpu_s(process) - before


def _line(name: str, middle: dict[str, Row]) -> list[object]:
    row = middle.get(name)
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    local = middle.get(f"{LOCAL}, {name.partition(', ')[2]}", {})
    return [
        *(name, row["engine_us"], ratio(row["engine_us"], local.get("engine_us"))),
        *(row["gateway_us"], ratio(row["gateway_us"], local.get("gateway_us")), row.get("relay_us")),
        *(row["p50_ms"], row["p99_ms"], row["messages"], row["runs"]),
    ]


if __name__ == "__main__":
    main()
