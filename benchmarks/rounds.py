"""What the side-by-side measurements share: rounds, medians, facts about the machine, command line."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import click

from benchmarks.report import RESULTS, Progress, machine, save, table

_PACKAGES = (
    *("flask", "gevent", "python-socketio", "python-engineio", "uvicorn", "httptools", "granian"),
    *("ccxt", "cryptofeed", "picows", "orjson", "simple-websocket", "greenlet"),
)
_NODE = Path(__file__).parent / "peers" / "node" / "node_modules"

Row = dict[str, Any]


def options(name: str, *, runs: int = 5) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command --runs, --quick, --only and --output (`benchmarks/results/NAME.json`)."""
    given = [
        click.option(
            "--runs", default=runs, show_default=True, help="Rounds, interleaved; the median counts."
        ),
        click.option("--quick", is_flag=True, help="Tiny: to see that it works, not for figures."),
        click.option("--only", default="", help="Only what has one of these words in its name (commas)."),
        click.option(
            "--output",
            type=click.Path(path_type=Path),
            default=RESULTS / f"{name}.json",
            show_default=True,
        ),
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(given):
            command = option(command)
        return command

    return decorate


def chosen(names: Iterable[str], only: str) -> list[str]:
    """Return the names that contain one of the words; raise BadParameter if none does."""
    known = list(names)
    words = [word.strip().lower() for word in only.split(",") if word.strip()]
    found = [name for name in known if not words or any(word in name.lower() for word in words)]
    if not found:
        raise click.BadParameter(f"nothing is called so; known: {', '.join(known)}", param_hint="--only")
    return found


def interleaved(names: Sequence[str], runs: int, measure: Callable[[str], Row]) -> list[Row]:
    """Measure each name once per round, every round starting with a different one; a void row has `error`.

    A void run is reported and excluded from the medians.
    """
    progress = Progress(len(names) * runs)
    rows: list[Row] = []
    for run in range(runs):
        first = run % len(names)
        for name in (*names[first:], *names[:first]):
            progress.begin(name)
            row = {"name": name, "run": run + 1, "load": round(os.getloadavg()[0], 2)}
            try:
                row |= measure(name)
            except RuntimeError as error:
                row["error"] = str(error)
            rows.append(row)
            progress.done(f"{name}: {_said(row)}")
    return rows


def medians(names: Sequence[str], rows: Iterable[Row]) -> dict[str, Row]:
    """Return per name the median of every number over its runs that were not void."""
    found: dict[str, Row] = {}
    for name in names:
        good = [row for row in rows if row["name"] == name and not row.get("error")]
        if good:
            found[name] = {
                key: statistics.median(values)
                for key in good[0]
                if key != "run"
                and len(values := [row[key] for row in good if isinstance(row.get(key), (int, float))])
                == len(good)
            }
            found[name]["runs"] = len(good)
    return found


def shown(cells: Iterable[object]) -> list[str]:
    """Format figures for people."""
    return [_shown(cell) for cell in cells]


def finish(
    output: Path, headings: Sequence[str], lines: Sequence[Sequence[object]], result: Mapping[str, Any]
) -> None:
    """Print the table and write the result with the facts about this machine.

    Raises ClickException (status 1) if anything had no valid run.
    """
    print(f"\n{table(headings, [shown(line) for line in lines])}\n")
    machine_then = facts() | {"load_before": result["runs"][0]["load"]}
    save(output, {"machine": machine_then, **result, "load_after": round(os.getloadavg()[0], 2)})
    if void := sorted({row["name"] for row in result["runs"]} - result["medians"].keys()):
        raise click.ClickException(f"no valid run of: {'; '.join(void)}")


def facts() -> dict[str, Any]:
    """Return machine and versions, the peers' too."""
    found = machine()
    for name in _PACKAGES:
        try:
            found["packages"][name] = version(name)
        except PackageNotFoundError:
            continue
    for name in ("express", "socket.io", "ws"):
        if (package := _NODE / name / "package.json").is_file():
            found["packages"][f"npm {name}"] = json.loads(package.read_text("utf-8"))["version"]
    try:
        found["node"] = subprocess.run(
            ["node", "--version"], check=True, capture_output=True, text=True, timeout=10
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        found["node"] = None
    return found


def ratio(mine: float | None, other: float | None) -> float | None:
    """Return the ratio of my figure to the other's; None if one is missing."""
    return None if mine is None or not other else mine / other


def _said(row: Row) -> str:
    if row.get("error"):
        return f"VOID: {row['error']}"
    numbers = {key: value for key, value in row.items() if key not in {"name", "run", "load"}}
    return ", ".join(f"{key} {_shown(value)}" for key, value in list(numbers.items())[:6])


def _shown(cell: object) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 1000 else f"{cell:.3g}"
    return str(cell)
