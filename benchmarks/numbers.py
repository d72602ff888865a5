"""Measure some basic numbers: `python -m benchmarks.numbers` (about 2 minutes; --quick to check).

Requests per second on /courses, start-up, idle CPU and memory, CPU per venue frame; all on this one machine,
load makers included. Recorded frames are timed where CRYPTO_STREAM_RECORDINGS names their folder.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click

from benchmarks import measures
from benchmarks.report import RESULTS, Progress, machine, save, table

_FRAMES_A_SECOND = 300.0  # top-of-book changes per second and symbol


class Lengths(NamedTuple):
    """Seconds each measurement lasts."""

    wrk: float
    idle: float
    frames: float


_OFFICIAL = Lengths(wrk=8, idle=30, frames=15)
_QUICK = Lengths(wrk=1, idle=1, frames=1)
_PARTS = ("courses", "start", "idle", "frames")


@click.command(help=__doc__)
@click.option("--quick", is_flag=True, help="A second each: for a quick check, not for figures.")
@click.option("--parts", default=",".join(_PARTS), show_default=True, help="Only these.")
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS / "numbers.json", show_default=True
)
def main(quick: bool, parts: str, output: Path) -> None:
    """Measure each part, print its table, write the results."""
    wanted = parts.split(",")
    if unknown := set(wanted) - set(_PARTS):
        raise click.BadParameter(f"{', '.join(unknown)}; known: {', '.join(_PARTS)}", param_hint="--parts")
    lengths = _QUICK if quick else _OFFICIAL
    facts = machine()
    print(f"{facts['cores']} cores, load {facts['load_before']} before")
    progress = Progress(len(wanted))
    results: dict[str, Any] = {"machine": facts, "lengths_s": lengths._asdict()}
    for part in wanted:
        progress.begin(part)
        headings, rows = _MEASURE[part](lengths)
        results[part] = [dict(zip(headings, row, strict=True)) for row in rows]
        progress.done(f"{part}\n\n{table(headings, [[_shown(cell) for cell in row] for row in rows])}\n")
    results["load_after"] = round(os.getloadavg()[0], 2)
    save(output, results)


def _courses(lengths: Lengths) -> tuple[Sequence[str], list[Sequence[object]]]:
    if not measures.has_wrk():
        raise click.ClickException("the program wrk is not installed; leave this part out with --parts")
    return measures.Rate._fields, _rows(measures.courses(lengths.wrk))


def _start(_lengths: Lengths) -> tuple[Sequence[str], list[Sequence[object]]]:
    return ("start", "seconds"), _rows(measures.start_up())


def _idle(lengths: Lengths) -> tuple[Sequence[str], list[Sequence[object]]]:
    rows = [row for viewers in (0, 100) for row in measures.idle(lengths.idle, viewers)]
    return measures.Idle._fields, _rows(rows)


def _frames(lengths: Lengths) -> tuple[Sequence[str], list[Sequence[object]]]:
    rows = [measures.engine_frames(lengths.frames, _FRAMES_A_SECOND)]
    if recordings := os.environ.get("CRYPTO_STREAM_RECORDINGS"):
        rows.extend(measures.parse_and_book(Path(recordings)))
    return measures.PerFrame._fields, _rows(rows)


_MEASURE = {"courses": _courses, "start": _start, "idle": _idle, "frames": _frames}


def _rows(rows: Iterable[Sequence[object]]) -> list[Sequence[object]]:
    return list(rows)


def _shown(cell: object) -> str:
    if isinstance(cell, float):
        return f"{cell:.0f}" if cell >= 1000 else f"{cell:.3g}"
    return str(cell)


if __name__ == "__main__":
    main()
