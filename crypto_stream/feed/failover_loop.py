"""One round of the failover loop: check the sources, decide which serves what, connect those needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

from crypto_stream.feed.failover import Change, Decision, Failover
from crypto_stream.feed.missing_channels import DESCRIPTIONS, MissingChannel
from crypto_stream.feed.split import SplitSource
from crypto_stream.feed.standby import Standby
from crypto_stream.market.channels import Channel
from crypto_stream.market.instruments import few

# The few sources are checked this often, because silence causes no event. Deadlines of instruments, of which
# there may be many, wait for the next round, so that those close together share one.
_ROUND_EVERY_S = 0.1
# A round that is later than this means that this process was blocked (or the machine slept), not the venues:
# for as long again, nothing is judged, so that what arrived meanwhile can be read first.
_BLOCKED_NS = 1_000_000_000

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Receives the decisions of the loop."""

    def switched(self, changes: list[Change]) -> None:
        """Handle changes of serving sources."""

    def sources_changed(self) -> None:
        """Handle a change of a source's state."""


class FailoverLoop:
    """The sources, the failover state and the pin; `changed` must be called when a source's state changes.

    The cost of a round depends on the number of sources, and of instruments that changed or are due.

    `on_missing` is called with newly missing channels, `on_reconsidered` with the instruments that a
    round examined, which are those that changed or were due. Sources in `sought` are connected in any case,
    because their lists are needed; those in `resting` are not.
    """

    def __init__(
        self, sources: Mapping[str, SplitSource], failover: Failover, standby: Standby, pin: str | None
    ) -> None:
        self.sources = sources
        self.failover = failover
        self.standby = standby
        self.pin = pin
        self.resting: Collection[str] = ()
        self.sought: Collection[str] = ()
        self.on_missing: Callable[[list[MissingChannel]], None] = _ignore
        self.on_reconsidered: Callable[[Collection[str]], None] = _ignore
        self._wake = asyncio.Event()
        self._states: dict[str, str] = {}
        self._last_round_ns: int | None = None
        self._judge_from_ns = 0

    def changed(self) -> None:
        """Run the next round at once."""
        self._wake.set()

    def pin_to(self, source: str | None) -> None:
        """Let only `source` serve; None restores the order of preference."""
        self.pin = source
        self._wake.set()

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Add an instrument, served by the sources of its chain."""
        self.failover.add(symbol, chain)
        self.standby.add(tuple(chain))
        self._wake.set()

    def extend(self, symbol: str, chain: Sequence[str]) -> None:
        """Add sources to the chain of an instrument."""
        self.standby.remove(self.failover.chains[symbol])
        self.failover.extend(symbol, chain)
        self.standby.add(tuple(chain))
        self._wake.set()

    def remove(self, symbol: str) -> None:
        """Remove an instrument; callers must no longer look it up in `serving`."""
        chain = self.failover.chains[symbol]
        self.failover.remove(symbol)
        self.standby.remove(chain)
        self._wake.set()

    async def wait(self) -> None:
        """Wait until something changes or the next round is due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ROUND_EVERY_S):
                await self._wake.wait()
        self._wake.clear()

    def run_once(self, now_ns: int, listener: Listener) -> None:
        """Run one round: check the sources, decide which serves what, connect, notify the listener."""
        if self._was_blocked(now_ns):
            return
        for source in self.sources.values():
            source.check(now_ns)
        # Decide before disconnecting: otherwise "not needed" could become the reason of a switch.
        decision = self.failover.decide(now_ns, self.sources, self.pin)
        self.on_reconsidered(self.failover.reconsidered)
        wanted = self.standby.wanted(
            now_ns, self.sources, self.pin, self.failover.needs_all_sources(), self.failover.incomplete()
        ).union(self.sought)
        for name, source in self.sources.items():
            source.want(name in wanted and name not in self.resting)
        self._apply(decision)
        if decision.changes:
            listener.switched(decision.changes)
        states = {name: source.state for name, source in self.sources.items()}
        if states != self._states:
            self._states = {**states}
            listener.sources_changed()
        # Changes made by this round do not trigger another one: two lost sources would cause a busy loop.
        self._wake.clear()

    def _apply(self, decision: Decision) -> None:
        """Resubscribe to, log and report what the decision found missing."""
        if decision.missing_channels:
            self._log_missing(decision.missing_channels)
            self.on_missing(decision.missing_channels)
        for name, source in self.sources.items():
            if again := [symbol for of, symbol in decision.resubscribe if of == name]:
                source.resubscribe(again)
            if name in decision.move:
                source.move("some channels deliver nothing")
        for held in decision.held_back:
            log.warning("source held back: perhaps another coin", extra=held._asdict())

    def _log_missing(self, missing_channels: list[MissingChannel]) -> None:
        """Log each missing channel of a source, once for all its instruments."""
        groups: dict[tuple[str, Channel], list[str]] = {}
        for each in missing_channels:
            groups.setdefault((each.source, each.channel), []).append(each.symbol)
        for (source, channel), symbols in groups.items():
            extra = {"source": source, "reason": DESCRIPTIONS[channel], "instruments": len(symbols)}
            log.warning("channel fell silent", extra={**extra, "symbols": few(symbols)})

    def _was_blocked(self, now_ns: int) -> bool:
        last_round_ns, self._last_round_ns = self._last_round_ns, now_ns
        if last_round_ns is not None and now_ns - last_round_ns > _BLOCKED_NS:
            self._judge_from_ns = now_ns + _BLOCKED_NS
            log.warning("event loop was blocked", extra={"seconds": round((now_ns - last_round_ns) / 1e9, 3)})
        return now_ns < self._judge_from_ns


def _ignore(what: object) -> None:
    """Ignore it until a listener is set."""
