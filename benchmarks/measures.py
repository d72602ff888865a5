"""The measurements of `benchmarks.numbers`; each starts what it needs and returns rows of figures."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.audience import audience
from benchmarks.system import (
    System,
    Usage,
    answers,
    crypto_stream,
    fake_venue,
    free_port,
    get_json,
    run_command,
    running,
    until,
)

_CONNECTIONS = 64
_SYNTHETIC = ("--sources", "synthetic", "--seed", "1")


class Rate(NamedTuple):
    """One wrk run on /courses; times in ms; `size` is the answer's bytes on the wire."""

    what: str
    quotes: int
    encoding: str
    size: int
    requests_per_s: float
    p50_ms: float
    p99_ms: float
    gateway_percent: float


class Idle(NamedTuple):
    """One process over some seconds: percent of one core, resident MB at the end."""

    viewers: int
    process: str
    cpu_percent: float
    rss_mb: float


class PerFrame(NamedTuple):
    """What one venue frame costs, in microseconds of CPU."""

    what: str
    frames: int
    frames_per_s: float
    us_per_frame: float


def courses(seconds: float) -> Iterator[Rate]:
    """Measure /courses with wrk (one thread, 64 connections), many quotes and few, with and without gzip."""
    with _folder() as folder, crypto_stream(folder, *_SYNTHETIC) as system:
        yield from _courses(system, "synthetic", seconds)
    with (
        _folder() as folder,
        fake_venue("binance", rate=20) as venue,
        crypto_stream(folder, "--sources", "binance", environment=venue.settings) as system,
    ):
        yield from _courses(system, "three pairs of a venue, 20 changes/s each", seconds)


def start_up() -> Iterator[tuple[str, float]]:
    """Measure seconds from the start of `run` to the first 200 of /courses: without bytecode, then with."""
    with _folder() as bytecode:
        keeps = {"PYTHONPYCACHEPREFIX": str(bytecode), "PYTHONDONTWRITEBYTECODE": ""}
        for what in ("cold: no bytecode yet", "second start", "third start"):
            with _folder() as folder:
                port = free_port()
                began = time.perf_counter()
                command = run_command(folder, port, *_SYNTHETIC)
                with running(command, keeps, logs=True):
                    url = f"http://127.0.0.1:{port}"
                    until(lambda url=url: answers(url), "200 on /courses", step_s=0.005)  # type: ignore[misc]
                    yield what, time.perf_counter() - began


def idle(seconds: float, viewers: int) -> Iterator[Idle]:
    """Measure CPU and memory with only the synthetic source; `viewers` watch everything every 250 ms."""
    with _folder() as folder, crypto_stream(folder, *_SYNTHETIC) as system:
        if not viewers:
            yield from _idle(system, 0, seconds)
            return
        with audience(system.url, viewers, symbols="all", interval_ms=250):
            yield from _idle(system, viewers, seconds)


def engine_frames(seconds: float, rate: float) -> PerFrame:
    """Measure the engine's CPU per frame of a fake Binance: three symbols with `rate` top changes/s each."""
    with (
        _folder() as folder,
        fake_venue("binance", rate=rate) as venue,
        crypto_stream(folder, "--sources", "binance", environment=venue.settings) as system,
    ):
        time.sleep(1)
        frames, used, began = system.frames("binance"), system.usage(), time.perf_counter()
        time.sleep(seconds)
        frames, elapsed = system.frames("binance") - frames, time.perf_counter() - began
        cpu_s = system.usage()["engine"].cpu_s - used["engine"].cpu_s
    return PerFrame("engine, all of it, fake Binance", frames, frames / elapsed, cpu_s / frames * 1e6)


def parse_and_book(recordings: Path) -> Iterator[PerFrame]:
    """Time parser and book alone on recorded frames, in a process of its own; the best of five rounds."""
    for venue, name in (("binance", "spot-20210404-btc-eth-dot"), ("okx", "public-20220513")):
        file = recordings / venue / f"{name}.ndjson"
        command = [sys.executable, "-m", "benchmarks.parsing", venue, str(file)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
        frames, best_s = answer.stdout.split()
        cost = float(best_s) / int(frames) * 1e6
        yield PerFrame(f"parser and book alone, {venue} recording", int(frames), 1e6 / cost, cost)


def has_wrk() -> bool:
    """Return whether the program wrk is installed."""
    return shutil.which("wrk") is not None


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="numbers-") as folder:
        yield Path(folder)


def _courses(system: System, what: str, seconds: float) -> Iterator[Rate]:
    quotes = len(get_json(f"{system.url}/courses"))
    for encoding in ("identity", "gzip"):
        command = ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds:g}s", "--latency"]
        command += ["-H", f"Accept-Encoding: {encoding}", f"{system.url}/courses"]
        used, began = system.usage()["gateway"].cpu_s, time.perf_counter()
        said = subprocess.run(
            command, check=True, capture_output=True, text=True, timeout=seconds + 30
        ).stdout
        busy = (system.usage()["gateway"].cpu_s - used) / (time.perf_counter() - began) * 100
        if "Non-2xx" in said or "Socket errors" in said:
            raise RuntimeError(f"wrk met errors:\n{said}")
        requests, read = re.search(r"(\d+) requests in .*, ([\d.]+[KMG]?B) read", said).groups()  # type: ignore[union-attr]
        size = round(_bytes(read) / int(requests))
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
        yield Rate(what, quotes, encoding, size, rate, _at(said, 50), _at(said, 99), busy)


def _at(said: str, percent: int) -> float:
    number, unit = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", said).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _bytes(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)([KMG]?)B", text).groups()  # type: ignore[union-attr]
    return float(number) * float(1024 ** " KMG".index(unit or " "))


def _idle(system: System, viewers: int, seconds: float) -> Iterator[Idle]:
    time.sleep(min(2.0, seconds))  # exclude the start-up
    before, began = system.usage(), time.perf_counter()
    time.sleep(seconds)
    elapsed = time.perf_counter() - began
    for process, used in system.usage().items():
        yield _share(viewers, process, before[process], used, elapsed)


def _share(viewers: int, process: str, before: Usage, after: Usage, seconds: float) -> Idle:
    return Idle(viewers, process, (after.cpu_s - before.cpu_s) / seconds * 100, after.rss / 1e6)
