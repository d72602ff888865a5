"""Does the board's memory grow in a browser? `python -m benchmarks.page` (`make soak-page`, an hour).

The real gateway, 100 tickers that change 10 times a second (with --instruments 2000 so many), and the board
in the machine's Chromium. Each turn the page's garbage is collected; then its JavaScript heap, its nodes and
its listeners are counted, and how many frames the browser painted since the last turn.

The rule: the first quarter is warm-up; a straight line by least squares through the heap after it must rise
by less than --growth-mb. The fewest nodes and listeners of the last half must be no more than the fewest
before it, and every row must show the newest price in the end.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

import click
from playwright.sync_api import CDPSession, Page

from benchmarks.report import RESULTS, machine, save, table
from benchmarks.servers import feeder, gateway
from benchmarks.system import until
from tests.browser.chromium import Visitor, chromium

_SYMBOLS = [f"ticker_{number:02d}" for number in range(100)]
_RATE = 10.0
_TURN_S = 5.0
_WARM_PART = 0.25
_HEADINGS = ("minute", "heap MB", "nodes", "listeners", "frames/s", "longest frame ms")
# Counts animation frames, and keeps the longest time between two.
_COUNT = """
  window.seen = {frames: 0, longest: 0, last: performance.now()};
  const step = (now) => {
    const seen = window.seen;
    seen.frames += 1;
    seen.longest = Math.max(seen.longest, now - seen.last);
    seen.last = now;
    requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
"""
_TAKE = """() => {
  const {frames, longest} = window.seen;
  Object.assign(window.seen, {frames: 0, longest: 0});
  return [frames, longest];
}"""
_PRICES = (
    "() => [...document.querySelectorAll('tr[data-symbol]')]"
    ".map((row) => [row.dataset.symbol, row.querySelector('.price .value').textContent])"
)


class Look(NamedTuple):
    """One turn of the page."""

    minute: float
    heap_mb: float
    nodes: int
    listeners: int
    frames_per_s: float
    longest_ms: float


@click.command(help=__doc__)
@click.option("--minutes", default=60.0, show_default=True)
@click.option("--server", default="eventlet", show_default=True, help="Green server of the gateway.")
@click.option("--growth-mb", default=1.0, show_default=True)
@click.option("--instruments", default=100, show_default=True, help="Instruments; above 100, as real pairs.")
@click.option("--quick", is_flag=True, help="Tiny: to see that it works, not for figures.")
@click.option("--output", type=click.Path(path_type=Path), default=RESULTS / "page.json", show_default=True)
def main(minutes: float, server: str, growth_mb: float, instruments: int, quick: bool, output: Path) -> None:
    """Measure, apply the rule, print the table; status 1 if something grew."""
    symbols = _symbols(instruments)
    minutes, growth_mb = (0.1, 1_000.0) if quick else (minutes, growth_mb)
    with (
        tempfile.TemporaryDirectory(prefix="page-") as place,
        feeder(Path(place), symbols) as feed,
        gateway(Path(place), server) as running,
        chromium() as browser,
    ):
        visitor = Visitor(browser, running.url)
        page = visitor.page
        page.add_init_script(_COUNT)
        page.goto("/")
        page.wait_for_selector("tr[data-symbol]:not([data-stale])")
        feed.start(_RATE)
        looks = _watch(page, minutes)
        last = {symbol: Decimal(price) for symbol, (price, _) in feed.stop()["last"].items()}
        until(lambda: all(last[symbol] == price for symbol, price in _prices(page)), "the newest prices")
        visitor.close()
    faults = grown(looks, growth_mb)
    shown = looks[:: max(1, len(looks) // 12)]
    print(f"\n{table(_HEADINGS, [[f'{figure:.3g}' for figure in look] for look in shown])}\n")
    save(
        output,
        {
            "machine": machine(),
            "rate_hz": _RATE,
            "instruments": instruments,
            "looks": [look._asdict() for look in looks],
            "faults": faults,
        },
    )
    if faults:
        sys.exit(f"it grew: {'; '.join(faults)}")


def grown(looks: list[Look], growth_mb: float) -> list[str]:
    """List what grew after the warm-up."""
    rest = looks[round(len(looks) * _WARM_PART) :]
    times = [look.minute for look in rest]
    line = statistics.linear_regression(times, [look.heap_mb for look in rest])
    risen = line.slope * (times[-1] - times[0])
    faults = [f"heap by {risen:.2f} MB"] if risen >= growth_mb else []
    for name in ("nodes", "listeners"):
        counts = [getattr(look, name) for look in rest]
        first, last = min(counts[: len(counts) // 2]), min(counts[len(counts) // 2 :])
        if last > first:
            faults.append(f"{name} from {first} to {last}")
    return faults


def _symbols(count: int) -> list[str]:
    """Name 100 tickers and, beyond those, pairs."""
    return [*(f"c{number:04d}usdt" for number in range(count - 100)), *_SYMBOLS]


def _prices(page: Page) -> list[tuple[str, Decimal]]:
    """Return the prices of the rows in the document."""
    return [(symbol, Decimal(shown.replace(",", ""))) for symbol, shown in page.evaluate(_PRICES)]


def _watch(page: Page, minutes: float) -> list[Look]:
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    began = remaining = time.monotonic()
    page.evaluate(_TAKE)
    looks: list[Look] = []
    while (now := time.monotonic()) - began < minutes * 60 or len(looks) < 4:
        page.wait_for_timeout(min(_TURN_S, minutes * 60 / 8) * 1000)
        frames, longest = page.evaluate(_TAKE)
        passed, remaining = time.monotonic() - remaining, time.monotonic()
        looks.append(_look(session, (now - began) / 60, frames / passed, longest))
    return looks


def _look(session: CDPSession, minute: float, frames_per_s: float, longest_ms: float) -> Look:
    session.send("HeapProfiler.collectGarbage")
    figures = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
    return Look(
        minute,
        figures["JSHeapUsedSize"] / 1e6,
        int(figures["Nodes"]),
        int(figures["JSEventListeners"]),
        frames_per_s,
        longest_ms,
    )


if __name__ == "__main__":
    main()
