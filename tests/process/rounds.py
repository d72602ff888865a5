"""A rehearsal of kills as a command: so many rounds, at moments that a seed repeats, judged at the end."""

from __future__ import annotations

import asyncio
import random
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, Protocol

import click


class Judged(Protocol):
    """What was found; `faults` must be empty, `str` tells the rest."""

    @property
    def faults(self) -> Sequence[str]:
        """What is wrong, a sentence each."""


Rehearsal = Callable[[int, random.Random, Path, Callable[[str], None]], Coroutine[Any, Any, Judged]]


def command(rehearse: Rehearsal, rounds: int, text: str | None) -> click.Command:
    """Make the command: it ends with status 1 when something is missing."""

    @click.command(help=text)
    @click.option("--rounds", default=rounds, show_default=True, help="How often something is killed.")
    @click.option("--seed", type=int, help="Repeat the moments of another run.")
    def main(rounds: int, seed: int | None) -> None:
        seed = random.randrange(2**32) if seed is None else seed
        click.echo(f"seed {seed}")
        with tempfile.TemporaryDirectory(prefix="crash-") as folder:
            report = asyncio.run(rehearse(rounds, random.Random(seed), Path(folder), click.echo))
        click.echo(f"{report}; {len(report.faults)} faults")
        for fault in report.faults[:20]:
            click.echo(fault, err=True)
        if report.faults:
            raise SystemExit(1)

    return main
