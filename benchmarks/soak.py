"""Does memory use grow? `python -m benchmarks.soak` (`make soak`, 20 minutes): 1,000 mixed viewers.

All of Crypto Stream on one pair of a fake Binance that changes 20 times a second. Viewers of every change,
of every 250 and 1,000 ms, of deltas, some that come and go, some that stop reading now and then. Sampled:
resident memory and open files of supervisor, engine and gateway.

The rule: the first quarter is warm-up. A straight line is fitted to the samples of the rest by least
squares; from its start to its end it must rise by less than --growth-mb and --growth-files in each process.
Any client error fails, and in the end every viewer must have the newest price.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import click
import psutil

from benchmarks.report import RESULTS, machine, save, table
from benchmarks.servers import Feeder, Served, bench_venue, whole
from benchmarks.viewing import Viewing, viewing

_SYMBOL = "btcusdt"
_RATE = 20.0
_TURN_S = 20.0  # in each, some viewers come and go, and some stop reading for half of it
_LEAST_TURNS = 6
_SAMPLES_A_TURN = 5
_WARM_PART = 0.25
_HEADINGS = ("process", "MB at first", "MB at last", "MB risen", "files at last", "files risen", "flat")


class Kind(NamedTuple):
    """A part of the audience: its share in tenths, its subscription, its behaviour."""

    tenths: int
    wish: Mapping[str, object]
    returns: bool = False
    slow: bool = False


_KINDS = {
    "every change": Kind(3, {"interval_ms": 0}),
    "250 ms": Kind(2, {"interval_ms": 250}),
    "1,000 ms": Kind(2, {"interval_ms": 1000}),
    "delta": Kind(1, {"interval_ms": 250, "delta": True}),
    "come and go": Kind(1, {"interval_ms": 0}, returns=True),
    "slow": Kind(1, {"interval_ms": 0}, slow=True),
}


class Sample(NamedTuple):
    """One sample of one process."""

    at_s: float
    rss_mb: float
    files: int


Samples = dict[str, list[Sample]]


class Growth(NamedTuple):
    """The result for one process: start, end and rise of both lines, and whether both are flat."""

    first_mb: float
    last_mb: float
    risen_mb: float
    files: int
    risen_files: float
    flat: bool


@click.command(help=__doc__)
@click.option("--seconds", default=1200.0, show_default=True)
@click.option("--clients", default=1000, show_default=True)
@click.option("--server", default="eventlet", show_default=True, help="Green server of the gateway.")
@click.option("--growth-mb", default=5.0, show_default=True)
@click.option("--growth-files", default=5.0, show_default=True)
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "soak.json", show_default=True)
def main(
    seconds: float, clients: int, server: str, growth_mb: float, growth_files: float, output: Path
) -> None:
    """Measure, apply the rule, print the table; status 1 if something grew or a client had an error."""
    facts = machine()
    samples, errors = watched(seconds, clients, server)
    judged = {name: growth(each, growth_mb, growth_files) for name, each in samples.items()}
    print(table(_HEADINGS, [[name, *_shown(row)] for name, row in judged.items()]))
    for error in errors:
        print(f"client error: {error}", file=sys.stderr)
    setting = {"seconds": seconds, "clients": clients, "server": server, "rate_hz": _RATE}
    bounds = {"growth_mb": growth_mb, "growth_files": growth_files}
    result = {"machine": facts, "setting": setting | bounds, "errors": errors, "samples": samples}
    save(output, result | {"growth": {name: row._asdict() for name, row in judged.items()}})
    if errors or not all(row.flat for row in judged.values()):
        sys.exit(1)


def growth(samples: Sequence[Sample], most_mb: float, most_files: float) -> Growth:
    """Apply the rule to one process; `samples` are in order of time, at least two after the warm-up."""
    begin_s = samples[0].at_s + (samples[-1].at_s - samples[0].at_s) * _WARM_PART
    kept = [sample for sample in samples if sample.at_s >= begin_s]
    times = [sample.at_s for sample in kept]
    memory = statistics.linear_regression(times, [sample.rss_mb for sample in kept])
    files = statistics.linear_regression(times, [float(sample.files) for sample in kept])
    lasted_s = times[-1] - times[0]
    risen_mb, risen_files = memory.slope * lasted_s, files.slope * lasted_s
    return Growth(
        memory.intercept + memory.slope * times[0],
        memory.intercept + memory.slope * times[-1],
        risen_mb,
        kept[-1].files,
        risen_files,
        risen_mb < most_mb and risen_files < most_files,
    )


def watched(seconds: float, clients: int, server: str) -> tuple[Samples, list[str]]:
    """Run everything; return the samples per process and the clients' errors."""
    with ExitStack() as stack:
        place = stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-"))
        venue, feed = stack.enter_context(bench_venue(_SYMBOL))
        feed.start(2)  # initial quotes: the source must be live
        running = stack.enter_context(whole(Path(place), server, venue, core=None))
        feed.start(_RATE)
        staying = {
            name: stack.enter_context(_join(running, name, clients))
            for name, kind in _KINDS.items()
            if not kind.returns
        }
        samples, errors = _turns(seconds, clients, running, staying)
        return samples, errors + _final(feed, staying)


def _turns(
    seconds: float, clients: int, running: Served, staying: Mapping[str, Viewing]
) -> tuple[Samples, list[str]]:
    """Have guests come and slow viewers stop reading for half of each turn; sample in its last quarter.

    So every sample has the same audience: the permanent viewers, all of them reading.
    """
    processes = _processes(running)
    samples: Samples = {name: [] for name in processes}
    turns = max(_LEAST_TURNS, int(seconds / _TURN_S))
    turn_s = seconds / turns
    slow, errors = staying["slow"], list[str]()
    begun = time.monotonic()
    for turn in range(turns):
        turn_at = begun + turn * turn_s
        for viewers in staying.values():
            viewers.ask("mark")  # viewers keep records of one turn only
        slow.ask(f"halt {slow.count}")
        with _join(running, "come and go", clients) as guests:
            _sleep_until(turn_at + turn_s / 2)
            errors += _trouble("come and go", guests.report({}))
        slow.ask("resume")
        for place in range(_SAMPLES_A_TURN):
            _sleep_until(turn_at + turn_s * (0.75 + 0.25 * place / _SAMPLES_A_TURN))
            for name, process in processes.items():
                samples[name].append(_sample(process, begun))
        _sleep_until(turn_at + turn_s)
        print(f"{turn + 1}/{turns}: {_now(samples)}", flush=True)
        for name, viewers in staying.items():
            errors += _trouble(name, viewers.report({}))
        if errors:
            break
    return samples, errors


def _join(running: Served, name: str, clients: int) -> AbstractContextManager[Viewing]:
    kind = _KINDS[name]
    count = max(1, clients * kind.tenths // 10)
    wish = {"symbols": [_SYMBOL], **kind.wish}
    return viewing(running, count, wish, core=None, small=count if kind.slow else 0)


def _trouble(name: str, seen: Mapping[str, Any]) -> list[str]:
    """Return the errors so far; whether the newest is still missing is checked only at the end."""
    if lost := seen["halted"]["lost"]:
        return [f"{name}: {lost} who stopped reading for a moment were disconnected"]
    return [f"{name}: {error}" for error in seen["first_errors"] if not error.startswith("not the last")]


def _final(feed: Feeder, staying: Mapping[str, Viewing]) -> list[str]:
    """Stop the venue; return an error for each kind with a viewer that did not get the last change."""
    last = feed.stop()["last"]
    changed = {
        symbol: [None, bid_size] for symbol, (_, bid_size) in last.items()
    }  # the price does not change any more
    errors = []
    for name, viewers in staying.items():
        seen = viewers.settle(changed if _KINDS[name].wish.get("delta") else last)
        errors += [f"{name}: {error}" for error in seen["first_errors"]]
        halted = seen["halted"]
        if halted["newest"] < halted["count"]:
            errors.append(f"{name}: {halted['newest']} of {halted['count']} have the newest")
    return errors


def _processes(running: Served) -> dict[str, psutil.Process]:
    found = {"supervisor": running.process}
    for child in running.process.children():
        found.update({half: child for half in ("engine", "gateway") if half in child.cmdline()})
    return found


def _sample(process: psutil.Process, begun: float) -> Sample:
    return Sample(time.monotonic() - begun, process.memory_info().rss / 1e6, process.num_fds())


def _now(samples: Samples) -> str:
    return ", ".join(
        f"{name} {each[-1].rss_mb:.1f} MB {each[-1].files} files" for name, each in samples.items()
    )


def _shown(row: Growth) -> list[object]:
    numbers = (f"{cell:.2f}" if isinstance(cell, float) else cell for cell in row[:-1])
    return [*numbers, "yes" if row.flat else "NO"]


def _sleep_until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


if __name__ == "__main__":
    main()
