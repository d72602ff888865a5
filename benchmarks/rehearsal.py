"""One fault rehearsed on the running system: cause it, watch the viewers, undo it, judge the switches."""

from __future__ import annotations

import json
import statistics
import time
from typing import Any, NamedTuple

from benchmarks.audience import Audience, Sighting
from benchmarks.faults import Fault
from benchmarks.system import FakeVenue, System, until

HOME, OTHER = "binance", "okx"
_DEADLINE_S = 30.0
_SWITCHED_WITHIN_S = 0.3  # of what reveals the loss


class Times(NamedTuple):
    """Seconds: the settings of the system, how long to go on watching, and until a venue counts as proven."""

    stale_after: float
    failback_after: float
    watch: float
    proven: float


OFFICIAL = Times(stale_after=5.0, failback_after=2.0, watch=1.0, proven=5.3)
QUICK = Times(stale_after=1.0, failback_after=0.5, watch=0.3, proven=0.5)


class Outcome(NamedTuple):
    """What one fault did. Seconds count from the moment before the fault was asked for.

    `target_s`: the required time with a standby; None if there is no requirement.
    `median_s` and `worst_s`: until a viewer had fresh quotes of all affected symbols from the other source;
    None where no switch may happen, or none came. `switches`: away and back, summed over symbols, as most
    viewers saw them. `outages`: symbols that nothing served for a moment. `gap_s`: the longest time any
    viewer waited for the next fresh quote of a symbol.
    """

    fault: str
    mode: str
    target_s: float | None
    median_s: float | None
    worst_s: float | None
    switches: tuple[int, int]
    expected: tuple[int, int]
    outages: int
    gap_s: float | None
    passed: bool
    notes: list[str]


class Rehearsal:
    """A system, its viewers and its two venues; `warm` with a standby, else one source at a time."""

    def __init__(
        self, system: System, audience: Audience, venues: dict[str, FakeVenue], times: Times, *, warm: bool
    ) -> None:
        """Connect the parts; all viewers must soon see the home venue."""
        self._system = system
        self._audience = audience
        self._venues = venues
        self._times = times
        self._warm = warm

    def wait_for_home(self) -> None:
        """Wait until every viewer sees every symbol fresh from the home venue."""
        until(lambda: self._audience.report().all_served_by(HOME), f"all at {HOME}", _DEADLINE_S, 0.1)

    def run(self, fault: Fault) -> Outcome:
        """Rehearse one fault; problems are listed in the outcome's notes."""
        notes: list[str] = []
        log_from = self._system.log_end
        self._audience.mark()
        begun_s = self._cause(fault)
        try:
            if fault.symbols:
                until(lambda: self._has_arrived(fault), f"all at {OTHER}", _DEADLINE_S, 0.1)
                time.sleep(self._times.watch)
            else:
                time.sleep(self._times.stale_after + 2 * self._times.watch)
        except RuntimeError as error:
            notes.append(str(error))
        self._undo(fault)
        try:
            self._come_home(fault)
        except RuntimeError as error:
            notes.append(str(error))
        outcome = self._judge(fault, self._audience.report(), begun_s, notes)
        if not outcome.passed:
            outcome.notes.extend(line for line in self._system.log_since(log_from) if "client " not in line)
        return outcome

    def _cause(self, fault: Fault) -> float:
        venues = self._venues.values() if fault.both else [self._venues[HOME]]
        return min(venue.control(**step) for venue in venues for step in fault.steps)

    def _undo(self, fault: Fault) -> None:
        for venue in self._venues.values():
            venue.control(fault="none")
            for step in fault.steps:
                if "calm" in step:
                    venue.control(calm="0", symbol=step["symbol"])
                if "announce" in step:  # refused subscriptions are only repeated on a new connection
                    venue.control(announce="1")

    def _come_home(self, fault: Fault) -> None:
        """Wait for failback (without a standby, only a loss causes it), then check that it is stable."""
        if fault.symbols and not self._warm:
            time.sleep(self._times.proven)  # otherwise the next attempt at the other venue would be delayed
            self._venues[OTHER].control(fault="drop")
        self.wait_for_home()
        time.sleep(self._times.proven)

    def _has_arrived(self, fault: Fault) -> bool:
        wanted = {f"{symbol} {OTHER}" for symbol in fault.symbols}
        return all(wanted <= arrived.keys() for arrived in self._audience.report().arrived)

    def _target(self, fault: Fault) -> float | None:
        if not self._warm or not fault.begins:
            return None
        return _SWITCHED_WITHIN_S + (self._times.stale_after if fault.begins == "silent" else 0.0)

    def _judge(self, fault: Fault, seen: Sighting, begun_s: float, notes: list[str]) -> Outcome:
        seconds = [
            max(arrived[f"{symbol} {OTHER}"] for symbol in fault.symbols) - begun_s
            for arrived in seen.arrived
            if fault.symbols and all(f"{symbol} {OTHER}" in arrived for symbol in fault.symbols)
        ]
        expected = {f"{symbol} to {venue}": 1 for symbol in fault.symbols for venue in (HOME, OTHER)}
        switches, outages = _most(seen.switches), _most(seen.outages)
        if set(seen.switches) != {json.dumps(expected, sort_keys=True)}:
            notes.append(f"switches by viewers: {dict(seen.switches)}")
        if (self._warm or not fault.symbols) and set(seen.outages) != {"{}"}:
            notes.append(f"outages by viewers: {dict(seen.outages)}")
        if seen.errors:
            notes.append(f"{seen.errors} errors of viewers: {seen.first_errors}")
        return Outcome(
            fault.name,
            "warm" if self._warm else "cold",
            self._target(fault),
            statistics.median(seconds) if seconds else None,
            max(seconds) if seconds else None,
            _both_ways(switches),
            (len(fault.symbols), len(fault.symbols)),
            sum(outages.values()),
            None if fault.both else max(seen.gaps.values()),
            not notes,
            notes,
        )


def _most(tally: dict[str, int]) -> dict[str, int]:
    most: Any = json.loads(max(tally, key=lambda seen: tally[seen]))
    return dict(most)


def _both_ways(switches: dict[str, int]) -> tuple[int, int]:
    away = sum(count for name, count in switches.items() if name.endswith(f" to {OTHER}"))
    return away, sum(switches.values()) - away
