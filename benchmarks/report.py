"""What all measurements report: the machine, the progress, the table and the file of results."""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
_PACKAGES = ("crypto-stream", "websockets", "eventlet", "flask-socketio", "msgspec", "uvloop")


def machine() -> dict[str, Any]:
    """Return the conditions of a measurement: date, system, cores, load average (1 minute), versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "system": _system(),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return lines as a Markdown table with even columns; numbers are right-aligned."""
    lines = [[str(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    right = [
        all(row[place][:1].isdigit() or row[place] == "-" for row in lines) for place in range(len(widths))
    ]

    def line(cells: Sequence[str]) -> str:
        places = zip(cells, widths, right, strict=True)
        padded = (cell.rjust(width) if number else cell.ljust(width) for cell, width, number in places)
        return f"| {' | '.join(padded)} |"

    rule = "|".join(
        ("-" * (width + 1) + ":") if number else "-" * (width + 2)
        for width, number in zip(widths, right, strict=True)
    )
    return "\n".join([line(headings), f"|{rule}|", *map(line, lines)])


def save(path: Path, result: dict[str, Any]) -> None:
    """Write results as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"written: {path}")


class Progress:
    """Report the progress: in place on a terminal, else one line per finished step."""

    def __init__(self, steps: int) -> None:
        """Expect this many steps."""
        self._steps = steps
        self._step = 0
        self._painted = sys.stdout.isatty()

    def begin(self, what: str) -> None:
        """Report which step begins."""
        self._step += 1
        if self._painted:
            print(f"\r\x1b[K[{self._step}/{self._steps}] {what} …", end="", flush=True)

    def done(self, line: str) -> None:
        """Report the result of the current step."""
        start = "\r\x1b[K" if self._painted else ""
        print(f"{start}[{self._step}/{self._steps}] {line}", flush=True)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except ModuleNotFoundError:  # PackageNotFoundError: run from a checkout, not installed
        return None


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.platform()


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
