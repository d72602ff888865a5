"""Requests per second on /courses, side by side: `python -m benchmarks.courses` (about 5 minutes; --quick).

wrk with one thread and 64 connections on the second core, one server on the first. Three pairs; the peers
answer the very bytes and headers that our gateway gave, always the same, while ours change 20 times a second.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.on_core import CLIENTS, SERVER
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import OURS, Served, accepts, feeder, gateway, has_node, on_core
from benchmarks.system import free_port, until

_PAIRS = ["btcusdt", "ethusdt", "xrpusdt"]
_RATE = 20.0
_CONNECTIONS = 64
_PEERS = Path(__file__).parent / "peers"
_OWN_HEADERS = {"date", "server", "connection", "content-length", "keep-alive"}
_APP = "benchmarks.peers.bare_asgi:app"
_COMMANDS = {
    "stock Flask, eventlet": ("plain_flask.py", "python -m benchmarks.peers.plain_flask {port} {answer}"),
    "bare ASGI on uvicorn": (
        "bare_asgi.py",
        f"python -m uvicorn {_APP} --host 127.0.0.1 --port {{port}} --loop uvloop --http httptools"
        " --no-access-log --log-level warning --lifespan off",
    ),
    "bare ASGI on granian, 1 worker": (
        "bare_asgi.py",
        f"python -m granian --interface asginl --workers 1 --host 127.0.0.1 --port {{port}}"
        f" --no-access-log --log-level warning {_APP}",
    ),
    "Express": ("node/express.js", "node benchmarks/peers/node/express.js {port} {answer}"),
}
_HEADINGS = (
    *("server", "requests/s", "x stock Flask", "x uvicorn", "x granian", "x Express", "p50 ms", "p99 ms"),
    *("server %", "requests/CPU s", "wrk %", "runs"),
)


@click.command(help=__doc__)
@options("courses")
@click.option("--seconds", default=8.0, show_default=True, help="Of each run.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float) -> None:
    """Measure every server in turn, print the table, write the results."""
    if not shutil.which("wrk"):
        raise click.ClickException("the program wrk is not installed")
    if quick:
        runs, seconds = 1, 1.0
    names = chosen([name for name in (*_COMMANDS, *OURS) if has_node() or name != "Express"], only)
    with tempfile.TemporaryDirectory(prefix="courses-") as place:
        answer = _answer(Path(place))
        (file := Path(place) / "answer.json").write_text(json.dumps(answer), "utf-8")
        rows = interleaved(names, runs, partial(_measure, answer=file, seconds=seconds))
    middle = medians(names, rows)
    setting = {"connections": _CONNECTIONS, "wrk_threads": 1, "seconds": seconds, "our_changes_hz": _RATE}
    peers = {
        name: {"command": command, "code": (_PEERS / code).read_text("utf-8")}
        for name, (code, command) in _COMMANDS.items()
        if name in names
    }
    result = {"setting": setting, "answer": answer, "medians": middle, "runs": rows, "peers": peers}
    finish(output, _HEADINGS, [_line(name, middle) for name in names], result)


def _measure(name: str, answer: Path, seconds: float) -> Row:
    with _serving(name, answer) as server:
        url = f"{server.url}/courses"
        expected = None if name in OURS else json.loads(answer.read_text("utf-8"))
        _check(server.port, expected)
        before, began = server.used().cpu_s, time.perf_counter()
        row = _wrk(url, seconds)
        elapsed = time.perf_counter() - began
        row["server_percent"] = (server.used().cpu_s - before) / elapsed * 100
        row["requests_per_cpu_s"] = row["requests_per_s"] / row["server_percent"] * 100
        _check(server.port, expected)
        return row


@contextmanager
def _serving(name: str, answer: Path) -> Iterator[Served]:
    if server := OURS.get(name):
        with _ours(server) as ours:
            yield ours
        return
    port = free_port()
    words = _COMMANDS[name][1].format(port=port, answer=answer).split()
    words[0] = {"python": sys.executable}.get(words[0], words[0])
    with on_core(SERVER, words, ANSWER=str(answer), NODE_ENV="production") as process:
        until(lambda: accepts(port), f"{name} to listen")
        yield Served(process, port, False)


@contextmanager
def _ours(server: str) -> Iterator[Served]:
    with (
        tempfile.TemporaryDirectory(prefix="courses-") as place,
        feeder(Path(place), _PAIRS) as feed,
        gateway(Path(place), server) as ours,
    ):
        feed.start(_RATE)
        yield ours


def _answer(place: Path) -> dict[str, Any]:
    """Return our gateway's response: the body, and the headers that a server does not set by itself."""
    with _ours("eventlet") as ours:
        _, headers, body = _get(ours.port)
    kept = {name: value for name, value in headers.items() if name.lower() not in _OWN_HEADERS}
    return {"body": body.decode(), "headers": kept}


def _check(port: int, expected: Mapping[str, Any] | None) -> None:
    """Raise RuntimeError unless /courses responds with 200 and these bytes, or with three quotes."""
    status, headers, body = _get(port)
    if status != 200:
        raise RuntimeError(f"HTTP {status}: {body[:200]!r}")
    if expected is None:
        if [quote["symbol"] for quote in json.loads(body)] != _PAIRS:
            raise RuntimeError(f"not the three pairs: {body[:200]!r}")
        return
    lower = {name.lower(): value for name, value in headers.items()}
    if body.decode() != expected["body"] or any(
        lower.get(name.lower()) != value for name, value in expected["headers"].items()
    ):
        raise RuntimeError(f"not the same answer: {headers} {body[:200]!r}")


def _get(port: int) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", "/courses", headers={"Accept-Encoding": "identity"})
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()
    finally:
        connection.close()


def _wrk(url: str, seconds: float) -> Row:
    command = [sys.executable, "-m", "benchmarks.on_core", str(CLIENTS)]
    command += ["wrk", "-t1", f"-c{_CONNECTIONS}", f"-d{seconds:g}s", "--latency", url]
    began_s = _children_s()
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=seconds + 30)
    said = done.stdout
    if "Non-2xx" in said or "Socket errors" in said:
        raise RuntimeError(f"wrk met errors: {' '.join(said.split())}")
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert found
    return {
        "requests_per_s": float(found[1]),
        "p50_ms": _at(said, 50),
        "p99_ms": _at(said, 99),
        "wrk_percent": (_children_s() - began_s) / seconds * 100,
    }


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _at(said: str, percent: int) -> float:
    found = re.search(rf"{percent}%\s+([\d.]+)(us|ms|s)", said)
    assert found
    return float(found[1]) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[found[2]]


def _line(name: str, middle: Mapping[str, Row]) -> list[object]:
    row = middle.get(name)
    if row is None:
        return [name, "void", *[None] * (len(_HEADINGS) - 2)]
    others = ("stock Flask, eventlet", "bare ASGI on uvicorn", "bare ASGI on granian, 1 worker", "Express")
    mine = row["requests_per_s"]
    ratios = [ratio(mine, middle.get(other, {}).get("requests_per_s")) for other in others]
    return [
        name,
        mine,
        *ratios,
        *(
            row[key]
            for key in ("p50_ms", "p99_ms", "server_percent", "requests_per_cpu_s", "wrk_percent", "runs")
        ),
    ]


if __name__ == "__main__":
    main()
