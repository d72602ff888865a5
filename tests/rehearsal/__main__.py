"""Rehearse all that can fail: `python -m tests.rehearsal`.

Two engines, two relays, PostgreSQL with a synchronous standby, three gateways behind HAProxy, each on a
machine of its own: as root in network namespaces. Every row of docs/scale.md, kills of each process, cuts
between all that speak to each other; viewers and traders judge.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import tempfile
from pathlib import Path

import click

from tests.installed import installed
from tests.rehearsal.faults import cuts, kills, rows
from tests.rehearsal.rehearse import rehearse


@click.command(help=__doc__)
@click.option("--kills", "times", default=20, show_default=True, help="How often each process is killed.")
@click.option("--cuts/--no-cuts", "with_cuts", default=True, show_default=True, help="Cut machines off.")
@click.option("--only", help="Only faults whose name contains this.")
@click.option("--seed", type=int, help="Repeat the order of another run.")
def main(times: int, with_cuts: bool, only: str | None, seed: int | None) -> None:
    """Rehearse, and end with status 1 when something is wrong: then the logs are kept."""
    seed = random.randrange(2**32) if seed is None else seed
    click.echo(f"seed {seed}")
    chance = random.Random(seed)
    *shown, last = rows()
    faults = [*shown, *(cuts() if with_cuts else ()), *kills(times, chance), last]
    chosen = [fault for fault in faults if only is None or only in fault.name]
    # Whoever ends it lets it end everything that it has started.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    folder = Path(tempfile.mkdtemp(prefix="rehearsal-"))
    click.echo(f"files and logs in {folder}")
    report = asyncio.run(rehearse(chosen, chance, folder, _find, click.echo))
    click.echo(f"{report}; {len(report.faults)} wrong")
    for wrong in report.faults[:40]:
        click.echo(wrong, err=True)
    if report.faults:
        raise SystemExit(1)
    shutil.rmtree(folder)


def _find(name: str) -> str:
    path = installed(name)
    if path is None:
        raise click.ClickException(f"{name} is not installed; .ci/run lists the packages")
    return path


if __name__ == "__main__":
    main()
