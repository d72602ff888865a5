"""Rehearse all that can fail: `python -m tests.rehearsal`.

Two engines, two relays, PostgreSQL with a synchronous standby, three gateways behind HAProxy, each on a
machine of its own, as root in network namespaces. Every row of docs/scale.md, kills of each process, cuts
between all that speak to each other; viewers and traders judge, also how long it takes.
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click

from tests.installed import installed
from tests.rehearsal.faults import Fault, cuts, kills, rows
from tests.rehearsal.network import NetworkError, network
from tests.rehearsal.rehearse import Report, rehearse
from tests.waiting import SCALE


@click.command(help=__doc__)
@click.option("--kills", "times", default=20, show_default=True, help="How often each process is killed.")
@click.option("--cuts/--no-cuts", "with_cuts", default=True, show_default=True, help="Cut machines off.")
@click.option("--only", help="Only faults whose name contains this.")
@click.option("--seed", type=int, help="Repeat the order of another run.")
@click.option("--loopback", is_flag=True, help="On one loopback, without what that cannot do; no times.")
def main(times: int, with_cuts: bool, only: str | None, seed: int | None, loopback: bool) -> None:
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
    try:
        report = asyncio.run(_rehearse(chosen, chance, folder, loopback))
    except NetworkError as error:
        raise click.ClickException(
            f"machines cannot have networks of their own here: {error}. Run it as root where that is "
            "possible, or with --loopback, which leaves out what needs them, and judges no times"
        ) from None
    for line in report.longest():
        click.echo(f"  {line}")
    click.echo(f"{report}; {len(report.faults)} wrong")
    for wrong in report.faults[:40]:
        click.echo(wrong, err=True)
    if report.faults:
        raise SystemExit(1)
    shutil.rmtree(folder)


async def _rehearse(faults: Sequence[Fault], chance: random.Random, folder: Path, loopback: bool) -> Report:
    async with network(loopback=loopback) as net:
        timed = net.separates and SCALE == 1
        return await rehearse(net, faults, chance, folder, _find, click.echo, timed=timed)


def _find(name: str) -> str:
    path = installed(name)
    if path is None:
        raise click.ClickException(f"{name} is not installed; .ci/run lists the packages")
    return path


if __name__ == "__main__":
    main()
