"""What one turn of the failover loop does: judge the sources, decide who serves, connect what is wanted."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from crypto_stream.feed.channels import WHAT, Lack
from crypto_stream.feed.failover import Change, Decision, Failover
from crypto_stream.feed.split import KeptSource
from crypto_stream.feed.standby import Standby
from crypto_stream.market.channels import Channel
from crypto_stream.market.instruments import few

# Sources, which are few, are judged this often: their silence has no event of its own. Deadlines of
# instruments, which may be very many, wait for the next turn, so that those close together share one.
_TURN_EVERY_S = 0.1
# A look that comes later than this means that we were blocked (or the machine slept), not the venues: what
# waits in the sockets is read first, for as long again.
_BLOCKED_NS = 1_000_000_000

log = logging.getLogger(__name__)


class Listener(Protocol):
    """Who is told what the loop decides."""

    def switched(self, changes: list[Change]) -> None:
        """Instruments changed their serving source."""

    def sources_changed(self) -> None:
        """A source changed its state."""


class FailoverLoop:
    """The sources, who serves what, and the pin; `changed` must be called when a source's state changes.

    A turn costs what its sources cost, and the instruments of which something changed or fell due.

    `lacking` is told which channels were just found to give nothing although they should.
    """

    def __init__(
        self, sources: Mapping[str, KeptSource], failover: Failover, standby: Standby, pin: str | None
    ) -> None:
        """Join the parts; nothing runs yet."""
        self.sources = sources
        self.failover = failover
        self.standby = standby
        self.pin = pin
        self.lacking: Callable[[list[Lack]], None] = _nobody
        self._wake = asyncio.Event()
        self._states: dict[str, str] = {}
        self._looked_ns: int | None = None
        self._judge_from_ns = 0

    def changed(self) -> None:
        """Decide again soon."""
        self._wake.set()

    def pin_to(self, source: str | None) -> None:
        """Let only `source` serve; None lets the order decide again."""
        self.pin = source
        self._wake.set()

    def add(self, symbol: str, chain: Sequence[str]) -> None:
        """Serve another instrument, from the sources of its chain."""
        self.failover.add(symbol, chain)
        self.standby.add(tuple(chain))
        self._wake.set()

    def remove(self, symbol: str) -> None:
        """Serve an instrument no more; who reads `serving` by its symbol must have let go of it before."""
        chain = self.failover.chains[symbol]
        self.failover.remove(symbol)
        self.standby.remove(chain)
        self._wake.set()

    async def wait(self) -> None:
        """Return when something changed, or when it is time to judge the sources and what fell due."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_TURN_EVERY_S):
                await self._wake.wait()
        self._wake.clear()

    def look(self, now_ns: int, listener: Listener) -> None:
        """Go round once: judge the sources, decide who serves, connect what is wanted, tell the listener."""
        if self._was_blocked(now_ns):
            return
        for source in self.sources.values():
            source.check(now_ns)
        # First who serves: a source that is given up in this round is lost for its own reason.
        decision = self.failover.decide(now_ns, self.sources, self.pin)
        wanted = self.standby.wanted(
            now_ns, self.sources, self.pin, self.failover.at_a_loss(), self.failover.short()
        )
        for name, source in self.sources.items():
            source.want(name in wanted)
        self._obey(decision)
        if decision.changes:
            listener.switched(decision.changes)
        states = {name: source.state for name, source in self.sources.items()}
        if states != self._states:
            self._states = {**states}
            listener.sources_changed()
        # What this round itself changed needs none of its own: two lost sources would keep each other awake.
        self._wake.clear()

    def _obey(self, decision: Decision) -> None:
        """Ask again for what the decision found missing, and say it."""
        if decision.lacks:
            self._say(decision.lacks)
            self.lacking(decision.lacks)
        for name, source in self.sources.items():
            if again := [symbol for of, symbol in decision.resubscribe if of == name]:
                source.resubscribe(again)
            if name in decision.move:
                source.move("some channels give nothing")
        for held in decision.held:
            log.warning("source does not serve: perhaps another coin", extra=held._asdict())

    def _say(self, lacks: list[Lack]) -> None:
        """Log what a source does not give, once for all its instruments."""
        groups: dict[tuple[str, Channel], list[str]] = {}
        for lack in lacks:
            groups.setdefault((lack.source, lack.channel), []).append(lack.symbol)
        for (source, channel), symbols in groups.items():
            extra = {"source": source, "reason": WHAT[channel], "instruments": len(symbols)}
            log.warning("channel fell silent", extra={**extra, "symbols": few(symbols)})

    def _was_blocked(self, now_ns: int) -> bool:
        looked_ns, self._looked_ns = self._looked_ns, now_ns
        if looked_ns is not None and now_ns - looked_ns > _BLOCKED_NS:
            self._judge_from_ns = now_ns + _BLOCKED_NS
            log.warning("event loop was blocked", extra={"seconds": round((now_ns - looked_ns) / 1e9, 3)})
        return now_ns < self._judge_from_ns


def _nobody(lacks: list[Lack]) -> None:
    """Stand in until somebody listens."""
