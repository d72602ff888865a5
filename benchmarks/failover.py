"""Measure failover as viewers see it: `python -m benchmarks.failover` (about 11 minutes; --quick to check).

Fakes of Binance and OKX, the real `crypto_stream run`, viewers that check every frame, all on one machine.
Times are only reported; but one switch too many or too few makes the exit status 1.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.audience import audience
from benchmarks.faults import FAULTS, SYMBOLS, Fault, key
from benchmarks.rehearsal import HOME, OFFICIAL, OTHER, QUICK, Outcome, Rehearsal, Times
from benchmarks.report import RESULTS, Progress, machine, save, table
from benchmarks.system import crypto_stream, fake_venue

_RATE = 10.0  # top-of-book changes per second and symbol at each fake venue
_HEADINGS = (
    "fault",
    "mode",
    "median s",
    "worst s",
    "target s",
    "switches",
    "expected",
    "outages",
    "gap s",
    "",
)


def _chosen(_context: click.Context, _parameter: click.Parameter, value: str | None) -> list[Fault]:
    known = {key(fault.name): fault for fault in FAULTS}
    names = [name.strip() for name in value.split(",")] if value else list(known)
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{', '.join(unknown)}; known: {', '.join(known)}")
    return [known[name] for name in names]


@click.command(help=__doc__)
@click.option("--viewers", default=1000, show_default=True, type=click.IntRange(min=1))
@click.option("--faults", callback=_chosen, help="Only these, separated by commas.")
@click.option("--modes", default="warm,cold", show_default=True, help="With a standby, one source at a time.")
@click.option("--interval-ms", default=100, show_default=True, help="Conflation the viewers ask for.")
@click.option(
    "--quick", is_flag=True, help="Short limits (stale after 1 s): for a quick check, not for figures."
)
@click.option(
    "--output", type=click.Path(path_type=Path), default=RESULTS / "failover.json", show_default=True
)
def main(viewers: int, faults: list[Fault], modes: str, interval_ms: int, quick: bool, output: Path) -> None:
    """Rehearse each fault in each mode; print the table, write the results."""
    facts = machine()
    times = QUICK if quick else OFFICIAL
    plan = {mode: _possible(faults, mode) for mode in modes.split(",")}
    progress = Progress(sum(map(len, plan.values())))
    print(f"{viewers} viewers, {interval_ms} ms, {facts['cores']} cores, load {facts['load_before']} before")
    outcomes = [
        outcome
        for mode, possible in plan.items()
        for outcome in _rehearse(mode, possible, viewers, interval_ms, times, progress)
    ]
    print("\n" + table(_HEADINGS, map(_row, outcomes)) + "\n")
    settings = {"viewers": viewers, "interval_ms": interval_ms, "venue_rate": _RATE, **times._asdict()}
    ran = {"machine": facts, "load_after": round(os.getloadavg()[0], 2), "settings": settings}
    save(output, {**ran, "outcomes": [outcome._asdict() for outcome in outcomes]})
    sys.exit(not all(outcome.passed for outcome in outcomes))


def _possible(faults: list[Fault], mode: str) -> list[Fault]:
    """Leave out the faults that need a second connected source."""
    if mode not in ("warm", "cold"):
        raise click.BadParameter(f"{mode!r}; known: warm, cold", param_hint="--modes")
    return [fault for fault in faults if mode == "warm" or not fault.compared]


def _rehearse(
    mode: str, faults: list[Fault], viewers: int, interval_ms: int, times: Times, progress: Progress
) -> list[Outcome]:
    options = ["--sources", f"{HOME},{OTHER}", "--pairs", ",".join(SYMBOLS)]
    options += ["--standby", "1" if mode == "warm" else "0"]
    options += ["--stale-after", str(times.stale_after), "--failback-after", str(times.failback_after)]
    outcomes = []
    with (
        tempfile.TemporaryDirectory(prefix="failover-") as folder,
        fake_venue(HOME, rate=_RATE) as home,
        fake_venue(OTHER, rate=_RATE) as other,
        crypto_stream(Path(folder), *options, environment=home.settings | other.settings) as system,
        audience(system.url, viewers, symbols=SYMBOLS, interval_ms=interval_ms) as seeing,
    ):
        rehearsal = Rehearsal(system, seeing, {HOME: home, OTHER: other}, times, warm=mode == "warm")
        rehearsal.wait_for_home()
        for fault in faults:
            progress.begin(f"{mode} {fault.name}")
            outcome = rehearsal.run(fault)
            outcomes.append(outcome)
            progress.done(_line(outcome))
    return outcomes


def _line(outcome: Outcome) -> str:
    seconds = (
        "" if outcome.worst_s is None else f"median {outcome.median_s:.3f} s, worst {outcome.worst_s:.3f} s, "
    )
    away, back = outcome.switches
    verdict = "PASS" if outcome.passed else "FAIL: " + "\n    ".join(outcome.notes)
    return f"{outcome.mode} {outcome.fault}: {seconds}{away} away, {back} back: {verdict}"


def _row(outcome: Outcome) -> list[str]:
    return [
        outcome.fault,
        outcome.mode,
        _seconds(outcome.median_s),
        _seconds(outcome.worst_s),
        _seconds(outcome.target_s),
        _both(outcome.switches),
        _both(outcome.expected),
        str(outcome.outages),
        _seconds(outcome.gap_s),
        "PASS" if outcome.passed else "FAIL",
    ]


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _both(switches: tuple[int, int]) -> str:
    return f"{switches[0]} + {switches[1]}" if any(switches) else "0"


if __name__ == "__main__":
    main()
