"""CPU per frame of a venue on the way in: `python -m benchmarks.ingest` (about 6 minutes; --quick).

One fake Binance on the second core sends tops of book of three pairs: 1,000 a second, each in a write of its
own, and 10,000 a second, twenty in one write. On the first core, in turn: a loop of `websockets` that drops
every frame, one of `picows`, cryptofeed, ccxt, and our whole engine, which keeps its book and publishes to
its gateway (that one runs beside the venue). CPU of the receiving process per frame that it received.
"""

from __future__ import annotations

import http.client
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import click
import psutil

from benchmarks.ingest_venue import PAIRS
from benchmarks.on_core import CLIENTS, SERVER
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import on_core
from benchmarks.system import Process, System, answers, cpu_s, free_port, get_json, run_command, until

_RATES = {1_000: 1, 10_000: 20}  # frames a second: frames in one write
_BARE = "bare websockets"
_PEERS = {_BARE: "websockets", "bare picows": "picows", "cryptofeed": "cryptofeed", "ccxt": "ccxt"}
_OURS = {"Crypto Stream": ""}
# ccxt 4.5 corrects the size of aiohttp's queue by hand, and that of aiohttp 3.14 not by enough: it reads no
# more after some thousand frames that came several at once.
_STALLS = "ccxt, 10,000/s"
_HEADINGS = ("receiver", "frames/s", "CPU µs/frame", f"x {_BARE}", "frames", "runs")


class Receiver(NamedTuple):
    """A process that receives, and how to ask it how many frames came."""

    process: psutil.Process
    frames: Callable[[], int]

    @property
    def cpu_s(self) -> float:
        """CPU seconds since its start."""
        return cpu_s(self.process)


@click.command(help=__doc__)
@options("ingest")
@click.option("--seconds", default=5.0, show_default=True, help="Of each run.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float) -> None:
    """Measure every receiver in turn, print the table, write the results."""
    if quick:
        runs, seconds = 1, 0.5
    names = [f"{name}, {rate:,}/s" for rate in _RATES for name in _available()]
    names = chosen([name for name in names if name != _STALLS], only)
    rows = interleaved(names, runs, partial(_measure, seconds=seconds))
    middle = medians(names, rows)
    lines: list[list[object]] = []
    for name in names:
        row, (receiver, rate) = middle.get(name), name.split(", ", 1)
        bare = middle.get(f"{_BARE}, {rate}", {}).get("us_per_frame")
        mine = row["us_per_frame"] if row else None
        figures = (row["frames"], row["runs"]) if row else (None, None)
        lines.append([receiver, rate, mine, ratio(mine, bare), *figures])
    setting = {"rates": _RATES, "pairs": PAIRS, "seconds": seconds}
    finish(output, _HEADINGS, lines, {"setting": setting, "medians": middle, "runs": rows})


def _available() -> list[str]:
    """Return who can be measured; say who is not installed."""
    missing = [name for name, module in _PEERS.items() if importlib.util.find_spec(module) is None]
    if missing:
        print(f"not installed, left out: {', '.join(missing)}")
    return [name for name in (*_PEERS, *_OURS) if name not in missing]


def _measure(name: str, seconds: float) -> Row:
    receiver_name, rate = name.split(", ", 1)
    frames_s = int(rate.removesuffix("/s").replace(",", ""))
    with (
        tempfile.TemporaryDirectory(prefix="ingest-") as place,
        on_core(CLIENTS, [sys.executable, "-m", "benchmarks.ingest_venue"]) as venue,
    ):
        port = int(venue.line())
        begin = f"start {frames_s} {_RATES[frames_s]}"
        with _receiving(receiver_name, Path(place), port, partial(venue.send_line, begin)) as receiver:
            until(receiver.frames, "the first frames")
            time.sleep(min(1.0, seconds))
            frames, used = _sent(venue), receiver.cpu_s
            time.sleep(seconds)
            frames, used = _sent(venue) - frames, receiver.cpu_s - used
            venue.send_line("stop")
            sent = _sent(venue)
            until(lambda: receiver.frames() >= sent, "all frames at the receiver")
    return {"us_per_frame": used / frames * 1e6, "frames": frames}


def _sent(venue: Process) -> int:
    venue.send_line("count")
    return int(venue.line())


@contextmanager
def _receiving(name: str, place: Path, port: int, begin: Callable[[], None]) -> Iterator[Receiver]:
    """Run a receiver on the first core, the venue having begun to send."""
    if name in _OURS:
        with _engine(place, port, begin, *_OURS[name].split()) as engine:
            yield engine
        return
    command = [sys.executable, "-m", "benchmarks.peers.receivers", _PEERS[name], str(port)]
    with on_core(SERVER, command, quiet=True) as process:
        begin()

        def frames() -> int:
            process.send_line("")
            return int(process.line())

        yield Receiver(psutil.Process(process.pid), frames)


@contextmanager
def _engine(place: Path, port: int, begin: Callable[[], None], *more: str) -> Iterator[Receiver]:
    """Run all of Crypto Stream beside the venue, but its engine on the first core."""
    options = ["--sources", "binance", "--pairs", ",".join(PAIRS), *more]
    options += ["--quiet-after", "3600"]  # the tops of book alone are no fault
    command = run_command(place, own := free_port(), *options)
    address = {"URL": f"ws://127.0.0.1:{port}", "REST_URL": f"http://127.0.0.1:{port}"}
    settings = {f"CRYPTO_STREAM_BINANCE_{name}": value for name, value in address.items()}
    with on_core(CLIENTS, [sys.executable, "-m", *command], quiet=True, **settings) as process:
        url = f"http://127.0.0.1:{own}"
        until(lambda: _frames(url), "an acknowledgement of the venue")
        system = System(process, url, place / "app.log")
        engine = psutil.Process(system.pid("engine"))
        if hasattr(engine, "cpu_affinity"):
            engine.cpu_affinity(sorted(os.sched_getaffinity(0))[SERVER : SERVER + 1])
        begin()
        until(lambda: answers(url), "a fresh quote on /courses")
        yield Receiver(engine, partial(_frames, url))


def _frames(url: str) -> int:
    """Return how many frames the engine has read so far, 0 where nobody answers yet."""
    try:
        sources = get_json(f"{url}/sources")["sources"]
    except (OSError, RuntimeError, http.client.HTTPException):
        return 0
    return sum(sum(each["frames"].values()) for each in sources)


if __name__ == "__main__":
    main()
