"""The effect of slow readers on others: `python -m benchmarks.slow` (about 15 minutes; --quick to check).

1,000 clients of one quote at 20 Hz; 100 of them stop reading, for 20 s (each must get one snapshot and then
the newest) and for 60 s (each must be disconnected after 30 s). The other 900 are compared with a run in
which nobody stops. Those that will stop have small kernel buffers, like a phone out of reach.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks.delivery import SYMBOL, wish
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import OURS, Feeder, Served, feeder, gateway
from benchmarks.system import get
from benchmarks.viewing import Viewing, viewing

_RATE = 20.0
_CALM_S = 3.0
_UNTIL_GONE_S = 15.0
_LOOK_S = 0.5
_COUNTED = ("skipped", "caught_up", "disconnected_slow")
_BEHIND = "viewers_behind"
_TIMES = ("all_behind_s", "first_cut_s", "all_cut_s")  # after the others stopped
_HEADINGS = (
    *("gateway", "stopped for s", "p50 ms", "p99 ms", "p99 x undisturbed", "others' missing", "skipped"),
    *("one snapshot", "newest", "disconnected", "of", "all behind s", "first cut s", "all cut s"),
    *("kB/stopped client", "runs"),
)


class Size(NamedTuple):
    """How many viewers there are, and how many of them stop."""

    clients: int
    stopping: int


@click.command(help=__doc__)
@options("slow", runs=3)
@click.option("--clients", default=1000, show_default=True)
@click.option("--stopping", default=100, show_default=True)
@click.option("--servers", default="eventlet", show_default=True, help="Green servers, separated by commas.")
@click.option("--lengths", default="20,60", show_default=True, help="Seconds without reading.")
def main(
    runs: int, quick: bool, only: str, output: Path, clients: int, stopping: int, servers: str, lengths: str
) -> None:
    """Measure undisturbed and disturbed in turn, print the table, write the results."""
    size, seconds = Size(clients, stopping), [float(each) for each in lengths.split(",")]
    if quick:
        runs, size, seconds = 1, Size(20, 2), [2.0]
    known = [name for name, server in OURS.items() if server in servers.split(",")]
    names = chosen(
        [f"{name}, {each:g} s{calm}" for name in known for each in seconds for calm in _KINDS], only
    )
    rows = interleaved(names, runs, partial(_measure, size=size))
    middle = medians(names, rows)
    setting = {**size._asdict(), "rate_hz": _RATE, "symbols": [SYMBOL], "interval_ms": 0}
    lines = [_line(name, middle) for name in names]
    finish(output, _HEADINGS, lines, {"setting": setting, "medians": middle, "runs": rows})


_KINDS = ("", " undisturbed")


def _measure(name: str, size: Size) -> Row:
    server, _, rest = name.rpartition(", ")
    seconds, _, kind = rest.partition(" s")
    with _watched(OURS[server], size) as (feed, running, viewers):
        feed.start(_RATE)
        time.sleep(_CALM_S)
        before, counted = running.used().rss, _counted(running)
        viewers.ask("mark")
        if not kind:
            viewers.ask(f"halt {size.stopping}")
        times = _watch(running, float(seconds), size.stopping, counted)
        used, at_end = running.used().rss, viewers.report({})
        if not kind:
            viewers.ask("resume")
        seen = _settled(feed, viewers)
        if others := seen["errors"]:
            raise RuntimeError(f"{others} client errors: {seen['first_errors']}")
        halted = seen["halted"]
        return {
            "p50_ms": at_end["age_ms"]["p50"],
            "p99_ms": at_end["age_ms"]["p99"],
            "others_skipped": seen["skipped"],
            "halted": halted["count"],
            "halted_lost": halted["lost"],
            "halted_skipped": halted["skipped"],
            "halted_without_skips": halted["without_skips"],
            "halted_one_snapshot": halted["snapshots"].get("1", 0),
            "halted_newest": halted["newest"],
            "kb_per_halted": (used - before) / size.stopping / 1000 if not kind else None,
            **times,
            **{key: _counted(running)[key] - counted[key] for key in _COUNTED},
        }


@contextmanager
def _watched(server: str, size: Size) -> Iterator[tuple[Feeder, Served, Viewing]]:
    with (
        tempfile.TemporaryDirectory(prefix="slow-") as place,
        feeder(Path(place), [SYMBOL]) as feed,
        gateway(Path(place), server) as running,
        viewing(running, size.clients, wish([SYMBOL]), small=size.stopping) as viewers,
    ):
        yield feed, running, viewers


def _watch(
    running: Served, seconds: float, stopping: int, before: dict[str, float]
) -> dict[str, float | None]:
    """Measure how long until all that stop are behind, and when the first and the last were disconnected."""
    began = time.monotonic()
    seen: dict[str, float | None] = dict.fromkeys(_TIMES)
    while (passed := time.monotonic() - began) < seconds:
        now = _counted(running)
        cut = now["disconnected_slow"] - before["disconnected_slow"]
        reached = (now[_BEHIND] >= stopping, cut > 0, cut >= stopping)
        for name, there in zip(seen, reached, strict=True):
            if there and seen[name] is None:
                seen[name] = round(passed, 1)
        time.sleep(min(_LOOK_S, max(0.0, seconds - passed)))
    return seen


def _settled(feed: Feeder, viewers: Viewing) -> dict[str, Any]:
    """Publish a little longer, stop, and wait until the others and those that drained have the newest."""
    time.sleep(_CALM_S)
    last = feed.stop()["last"]
    deadline = time.monotonic() + _UNTIL_GONE_S
    while True:
        seen = viewers.report(last)
        halted = seen["halted"]
        arrived = not seen["errors"] and halted["newest"] + halted["lost"] == halted["count"]
        if arrived or time.monotonic() > deadline:
            return seen
        time.sleep(0.5)


def _counted(running: Served) -> dict[str, float]:
    """Read the gateway's own counters."""
    said = get(f"{running.url}/metrics").decode().splitlines()
    found = dict.fromkeys((*_COUNTED, _BEHIND), 0.0)
    for line in said:
        for name in found:
            if line.startswith((f"crypto_stream_{name}_total ", f"crypto_stream_{name} ")):
                found[name] += float(line.rpartition(" ")[2])
    return found


def _line(name: str, middle: dict[str, Row]) -> Sequence[object]:
    server, _, rest = name.rpartition(", ")
    row = middle.get(name)
    if row is None:
        return [server, rest, "void", *[None] * (len(_HEADINGS) - 3)]
    undisturbed = middle.get(name if name.endswith(_KINDS[1]) else name + _KINDS[1], {})
    return [
        *(server, rest, row["p50_ms"], row["p99_ms"], ratio(row["p99_ms"], undisturbed.get("p99_ms"))),
        *(row["others_skipped"], row["halted_skipped"], row["halted_one_snapshot"], row["halted_newest"]),
        *(row["halted_lost"], row["halted"], *(row.get(name) for name in _TIMES)),
        *(row.get("kb_per_halted"), row["runs"]),
    ]


if __name__ == "__main__":
    main()
