"""A reconnect storm: `python -m benchmarks.accepts` (about 3 minutes; --quick to check).

20,000 viewers connect to one gateway as fast as one process can make them, as after the end of another
machine, while 100 who were there before watch a quote that changes twice a second. How soon all have joined,
the gateway's CPU for each, and what those who stayed see: the longest wait for the next change, and how many
of them saw the price turn stale. Aims: 3,000 joins a second, nothing stale. `benchmarks.joins` compares the
cost of a join with that of peers.
"""

from __future__ import annotations

import resource
import tempfile
import time
from functools import partial
from pathlib import Path

import click

from benchmarks.audience import Sighting, audience
from benchmarks.delivery import SYMBOL, wish
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options
from benchmarks.servers import OURS, feeder, gateway
from benchmarks.viewing import viewing

_STAYED = 100
_RATE = 2.0
_SETTLES_S = 2.0
_OTHER_FILES = 2_048  # of a process besides its viewers
_FIGURES = ("joins_s", "took_s", "us_per_join", "wait_s", "stale", "runs")
_HEADINGS = ("server", "joins/s", "all joined s", "µs/join", "longest wait s", "saw stale", "runs")


@click.command(help=__doc__)
@options("accepts", runs=3)
@click.option("--clients", default=20_000, show_default=True)
def main(runs: int, quick: bool, only: str, output: Path, clients: int) -> None:
    """Let the storm come over each server in turn, print the table, write the results."""
    if quick:
        runs, clients = 1, 50
    _allow_files(clients + _STAYED + _OTHER_FILES)
    names = chosen(OURS, only)
    rows = interleaved(names, runs, partial(_measure, clients=clients))
    middle = medians(names, rows)
    lines = [[name, *(middle.get(name, {}).get(figure) for figure in _FIGURES)] for name in names]
    result = {"setting": {"clients": clients, "stayed": _STAYED}, "medians": middle, "runs": rows}
    finish(output, _HEADINGS, lines, result)


def _allow_files(count: int) -> None:
    """Let the processes that we start open so many files; raise ClickException if that is not allowed."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if most != resource.RLIM_INFINITY and most < count:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (count, count))
        except (OSError, ValueError):
            raise click.ClickException(f"{count} open files are needed, `ulimit -Hn` is {most}") from None


def _limits(count: int) -> list[str]:
    return ["--max-viewers", str(count), "--max-per-address", str(count)]


def _measure(name: str, clients: int) -> Row:
    with (
        tempfile.TemporaryDirectory(prefix="accepts-") as place,
        feeder(Path(place), [SYMBOL]) as feed,
        gateway(Path(place), OURS[name], *_limits(clients + _STAYED)) as server,
        audience(server.url, _STAYED, **wish([SYMBOL])) as stayed,
    ):
        feed.start(_RATE)
        time.sleep(_SETTLES_S)
        stayed.mark()
        used = server.used().cpu_s
        with viewing(server, clients, wish([SYMBOL])) as viewers:
            cpu = server.used().cpu_s - used
            time.sleep(_SETTLES_S)
            seen = stayed.report()
    return {
        "joins_s": clients / viewers.took_s,
        "took_s": viewers.took_s,
        "us_per_join": cpu / clients * 1e6,
        "wait_s": max(seen.gaps.values()),
        "stale": _stale(seen),
    }


def _stale(seen: Sighting) -> int:
    """Return how many of those who stayed saw the price stale; raise RuntimeError if any had an error."""
    if seen.errors:
        raise RuntimeError(f"{seen.errors} errors of those who stayed: {seen.first_errors}")
    # A price that is live again arrives anew; one that is not has no source.
    still = sum(count for now, count in seen.now.items() if "null" in now)
    return sum(bool(arrived) for arrived in seen.arrived) + still


if __name__ == "__main__":
    main()
