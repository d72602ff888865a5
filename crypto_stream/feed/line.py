"""A source's line: its legs one after the other (two while it moves), and when to try again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.backoff import Backoff, ConnectBudget
from crypto_stream.feed.hosts import Hosts
from crypto_stream.feed.leg import Leg
from crypto_stream.feed.listing import Listing
from crypto_stream.feed.terms import Terms
from crypto_stream.market.instruments import few
from crypto_stream.market.status import SourceState, SourceStatus

log = logging.getLogger(__name__)

# Data must have flowed this long before the delays begin anew: greeting and hanging up is no success.
_PROVEN_NS = 5_000_000_000


class Line:
    """Keep one source connected while it is wanted; know its state at any moment.

    `remember(name, until_ms)` is told of bans, whose end must outlive a restart. All methods but `run`
    return at once. Times ending in `_s` and `_ns` are monotonic, in `_ms` wall clock.
    """

    def __init__(self, terms: Terms, remember: Callable[[str, int], None], banned_until_ms: int = 0) -> None:
        """Stay off until wanted, and unconnected until a remembered ban is over."""
        source = terms.source
        self.name = source.name
        self.carries = frozenset(instrument.symbol for instrument in terms.carried)
        self.failed = False
        self.live_since_ns = 0
        self.unbroken_since_ns = 0
        self.since_ms = _wall_ms()
        self.last_error: str | None = None
        self.reconnects = 0
        self.listing = Listing(source, self.carries)
        self.listing.relisted = self._on_listed
        self._changed = terms.changed
        self._terms = terms._replace(changed=self._on_leg, told=self._on_status)
        self._remember = remember
        self._backoff = Backoff(random.random)
        self._budget = ConnectBudget(source.connects)
        self._wake = asyncio.Event()
        self._wanted = False
        self._finished = False
        self._lost = False
        self._leg: Leg | None = None
        self._successor: Leg | None = None
        self._generation = 0
        self._hosts = Hosts(source.urls, terms.look_again_ns / 1e9)
        # What a new connection at another host has to prove itself.
        self._trial_ns = round(terms.connect_s * 1e9) + terms.ack_ns + terms.stale_after_ns
        self._retry_s = time.monotonic() + max(0, banned_until_ms - terms.now_ms()) / 1000
        self._retry_reason = f"banned until {_clock(banned_until_ms)}" if banned_until_ms else "not tried yet"
        self._noted: SourceState = "off"

    @property
    def state(self) -> SourceState:
        """Where the line stands."""
        if self._finished:
            return "ended"
        if not self._wanted:
            return "off"
        if self._leg is None:
            # Lost until tried again, however soon that is: every look in between must see it.
            return "lost" if self._lost or time.monotonic() < self._retry_s else "connecting"
        return self._leg.state

    @property
    def reason(self) -> str | None:
        """Why it stands there; None while it is live."""
        if self._finished:
            return "the recording is over"
        if not self._wanted:
            return "not needed now"
        if self._leg is None:
            return self._retry_reason
        return self._leg.reason or (
            self._retry_reason if self.state == "connecting" and self.failed else None
        )

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not carry some of the instruments asked for."""
        listing = self.listing
        if not self._leg:
            return listing.unlisted
        # A list can be older than the pair: what gives data is not missing there.
        missing = listing.unlisted.keys() - (self._leg.heard_of - listing.halted.keys())
        return {**{symbol: listing.unlisted[symbol] for symbol in missing}, **self._leg.refused}

    @property
    def halted(self) -> Mapping[str, str]:
        """Which instruments the venue itself says do not trade now."""
        return self.listing.halted

    def want(self, wanted: bool) -> None:
        """Connect from now on, or hang up."""
        if wanted != self._wanted:
            self._wanted = wanted
            self._lost = False
            self._wake.set()
            self._note()

    def check(self, now_ns: int) -> None:
        """Let the legs judge silence, acknowledgements and age."""
        for leg in (self._leg, self._successor):
            if leg:
                leg.check(now_ns)
        if self._leg and len(self._terms.source.urls) > 1:
            self._judge_host(self._leg, now_ns)

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Ask for instruments anew that fell silent, whole or in part, on a live connection."""
        extra = {"source": self.name, "instruments": len(symbols), "symbols": few(symbols)}
        log.warning("instruments went silent, resubscribing", extra=extra)
        if self._leg:
            self._leg.resubscribe(symbols)

    def move(self, reason: str) -> None:
        """Open a new connection; the present one goes when that is live."""
        if self._leg:
            self._leg.move(reason)

    def status(self, now_ns: int, *, pin: str | None, serving: int) -> SourceStatus:
        """Describe the line for people and programs."""
        received_ns = self._terms.book.received_ns
        waiting = self._leg is None and self._wanted and not self._finished
        return SourceStatus(
            self.name,
            self.state,
            self.since_ms,
            self.name == pin,
            self.reason,
            self.last_error,
            None if received_ns is None else (now_ns - received_ns) // 1_000_000,
            self.reconnects,
            serving,
            len(self.carries),
            self._leg.address if self._leg else None,
            _wall_ms() + round((self._retry_s - time.monotonic()) * 1000) if waiting else None,
            dict(self._terms.counts),
            dict(self._terms.book.dropped),
            dict(self.refused),
            sum(not instrument.synthetic for instrument in self._terms.carried),
            asked_again=self._asked_again(now_ns),
            left_out=list(self._terms.left_out),
        )

    def _asked_again(self, now_ns: int) -> dict[str, int]:
        if not self._leg:
            return {}
        wall_ms, times = _wall_ms(), self._leg.asked_again()
        return {symbol: wall_ms + (at_ns - now_ns) // 1_000_000 for symbol, at_ns in times.items()}

    def _on_listed(self, symbols: list[str]) -> None:
        """Ask for instruments that the venue now lists, or trades again."""
        if self._leg:
            self._leg.resubscribe(symbols)

    async def run(self) -> None:
        """Keep the line as wanted, for ever."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.listing.follow())
            while True:
                pause = self._step(tasks, time.monotonic())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                self._wake.clear()

    def _step(self, tasks: asyncio.TaskGroup, now_s: float) -> float | None:
        """Look at the legs, begin and end them as needed; return the seconds until the next look."""
        if self._leg and self._leg.done:
            self._on_end(self._leg, now_s)
        if self._successor and self._successor.done:
            self._on_failed_move(self._successor, now_s)
        if not self._wanted or self._finished:
            self._stop_all()
            return None
        if self._leg and self._successor and self._takes_over(self._leg, self._successor):
            log.info("source moved to its new connection", extra={"source": self.name})
            self._leg.stop()
            self._leg, self._successor = self._successor, None
            self._leg.is_successor = False
        pause = max(self._retry_s - now_s, self._budget.delay(now_s))
        if self._leg is None:
            if pause > 0:
                return pause
            self._lost = False
            self._leg = self._begin(tasks, now_s)
            self.unbroken_since_ns = self._leg.started_ns
        elif self._leg.wants_move and not self._successor:
            if pause > 0:
                return pause
            log.info(
                "source moves to a new connection",
                extra={"source": self.name, "reason": self._leg.wants_move},
            )
            self._successor = self._begin(tasks, now_s)
            self._successor.is_successor = True
        self._note()
        return None

    def _begin(self, tasks: asyncio.TaskGroup, now_s: float) -> Leg:
        self._generation += 1
        self._budget.spend(now_s)
        leg = Leg(self._terms, self._hosts.choose(now_s), self._generation)
        leg.start(tasks)
        return leg

    def _judge_host(self, leg: Leg, now_ns: int) -> None:
        """Leave a host that refuses everything; try the first one again while another gives only part."""
        if self.carries and self.carries <= leg.refused.keys():
            leg.abort(f"this host refuses every instrument: {next(iter(leg.refused.values()))}")
            return
        trial = self._successor
        if trial and trial.address != leg.address and now_ns - trial.started_ns > self._trial_ns:
            trial.abort("it gives no more than the present host")
        whole = leg.state != "live" or leg.heard_of >= self.carries - self.listing.unlisted.keys()
        if not trial and self._hosts.look_again(leg.address, now_ns / 1e9, whole=whole):
            leg.move("only part of the instruments is given here: the first host is tried again")

    def _takes_over(self, leg: Leg, successor: Leg) -> bool:
        """Say whether `successor` is as good; at another host it must give as much."""
        if successor.address == leg.address:
            return successor.state == "live"
        return successor.state == "live" and not (leg.heard_of - successor.heard_of) & self.carries

    def _on_end(self, leg: Leg, now_s: float) -> None:
        """Account for the end of the serving leg; a successor under way takes its place."""
        self._leg, self._successor = self._successor, None
        if self._leg:
            self._leg.is_successor = False
            self.unbroken_since_ns = self._leg.started_ns
            log.info(
                "connection ended during the move", extra={"source": self.name, "reason": str(leg.error)}
            )
        elif leg.error:
            self.failed = self._lost = True
            before = self.last_error
            self._plan_retry(leg, leg.error, now_s)
            self.reconnects += 1
            # A venue that cannot be reached says so once; that it still cannot is no news for a terminal.
            news = leg.state != "connecting" or self.last_error != before
            extra = {"source": self.name, "reason": self._retry_reason, "url": leg.address}
            log.log(logging.WARNING if news else logging.INFO, "source lost", extra=extra)
        elif self._wanted:
            self._finished = True
            log.info("source ended", extra={"source": self.name, "frames": self._terms.counts.total()})
        self._note()

    def _on_failed_move(self, successor: Leg, now_s: float) -> None:
        self._successor = None
        if self._leg and successor.address != self._leg.address:
            self._leg.wants_move = None
            self._hosts.stay(self._leg.address)
            if isinstance(successor.error, RetryLaterError):
                self._hosts.bar(successor.address, now_s + successor.error.seconds)
            extra = {"source": self.name, "url": successor.address, "reason": str(successor.error)}
            log.info("the first host is no better", extra=extra)
        elif successor.error:
            self._plan_retry(successor, successor.error, now_s)

    def _plan_retry(self, leg: Leg, error: VenueError, now_s: float) -> None:
        """Decide when the next attempt is due, and at which host."""
        if leg.live_ns > _PROVEN_NS:
            self._backoff.reset()
        seconds = self._backoff.next_delay()
        reason = self.last_error = str(error)
        if not leg.heard_of & self.carries:  # this host never answered as it should: the next may
            self._hosts.leave(leg.address)
        if isinstance(error, RetryLaterError):
            if error.next_host:
                self._hosts.bar(leg.address, now_s + error.seconds)
            asked = self._hosts.delay(now_s) if error.next_host else error.seconds
            seconds = max(seconds, asked)
            if error.breaker and asked:
                self._remember(self.name, self._terms.now_ms() + round(asked * 1000))
            reason += f", next try at {_clock(_wall_ms() + round(seconds * 1000))}"
        self._retry_s = now_s + seconds
        self._retry_reason = reason

    def _stop_all(self) -> None:
        for leg in (self._leg, self._successor):
            if leg and not leg.done:
                leg.stop()
        self._leg = self._successor = None

    def _on_leg(self) -> None:
        self._wake.set()
        self._note()

    def _on_status(self, symbol: str, word: str) -> None:
        self.listing.told(symbol, word)
        self._changed()

    def _note(self) -> None:
        """Keep what depends on changes of state, log them, and tell the loop that decides."""
        before, state = self._noted, self.state
        if state != before:
            self._noted, self.since_ms = state, _wall_ms()
            if state == "live":
                self.live_since_ns = time.monotonic_ns()
                url = self._leg.address if self._leg else None
                log.info("source live", extra={"source": self.name, "url": url})
            elif state == "stale":
                self.failed = True
                self.unbroken_since_ns = time.monotonic_ns()
                self.last_error = self.reason
                log.warning("source stale", extra={"source": self.name, "reason": self.reason})
        self._changed()


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _clock(wall_ms: int) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(wall_ms / 1000))
