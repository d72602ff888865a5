"""A source's sessions, one after the other (two while it moves), and when to try again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

from crypto_stream.backoff import Backoff
from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.hosts import Hosts
from crypto_stream.feed.listing import Listing
from crypto_stream.feed.retry import ConnectBudget
from crypto_stream.feed.session import FeedSession
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.market.instruments import few
from crypto_stream.market.status import SourceState, SourceStatus

log = logging.getLogger(__name__)

# Data must have flowed this long before the delays begin anew: greeting and hanging up is no success.
_PROVEN_NS = 5_000_000_000
_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.5, 60.0


class ReconnectingSource:
    """Keep one source connected while it is wanted; know its state at any moment.

    `remember(name, until_ms)` is told of bans, whose end must outlive a restart. All methods but `run`
    return at once. Times ending in `_s` and `_ns` are monotonic, in `_ms` wall clock.
    """

    def __init__(
        self,
        config: SessionConfig,
        remember: Callable[[str, int], None],
        banned_until_ms: int = 0,
        first: ReconnectingSource | None = None,
    ) -> None:
        """Stay off until wanted, and unconnected until a remembered ban is over.

        Of several connections of one source all share the list and the budget of the `first`.
        """
        source = config.source
        self.name = source.name
        self.carries = frozenset(instrument.symbol for instrument in config.carried)
        self.failed = False
        self.live_since_ns = 0
        self.unbroken_since_ns = 0
        self.since_ms = _wall_ms()
        self.last_error: str | None = None
        self.reconnects = 0
        self._is_first = first is None
        self.listing: Listing = first.listing if first else Listing(source, config.names)
        self.listing.relisted.append(self._on_listed)
        self._changed = config.changed
        self._config = config._replace(changed=self._on_session, on_status=self._on_status)
        self._remember = remember
        self._backoff = Backoff(_FIRST_RETRY_S, _LONGEST_RETRY_S, random.random)
        self._budget: ConnectBudget = first._budget if first else ConnectBudget(source.limits.attempts)
        self._wake = asyncio.Event()
        self._wanted = False
        self._finished = False
        self._lost = False
        self._session: FeedSession | None = None
        self._successor: FeedSession | None = None
        self._generation = 0
        self._hosts = Hosts(source.urls, config.look_again_ns / 1e9)
        # What a new connection at another host has to prove itself.
        self._trial_ns = round(config.connect_s * 1e9) + config.ack_ns + config.stale_after_ns
        self._retry_s = time.monotonic() + max(0, banned_until_ms - config.now_ms()) / 1000
        self._retry_reason = f"banned until {_clock(banned_until_ms)}" if banned_until_ms else "not tried yet"
        self._noted: SourceState = "off"

    def of(self, symbol: str) -> ReconnectingSource:
        """Return the connection that carries an instrument: there is only this one."""
        return self

    @property
    def state(self) -> SourceState:
        """Where the source stands."""
        if self._finished:
            return "ended"
        if not self._wanted:
            return "off"
        if self._session is None:
            # Lost until tried again, however soon that is: every look in between must see it.
            return "lost" if self._lost or time.monotonic() < self._retry_s else "connecting"
        return self._session.state

    @property
    def reason(self) -> str | None:
        """Why it stands there; None while it is live."""
        if self._finished:
            return "the recording is over"
        if not self._wanted:
            return "not needed now"
        if self._session is None:
            return self._retry_reason
        return self._session.reason or (
            self._retry_reason if self.state == "connecting" and self.failed else None
        )

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not carry some of the instruments asked for."""
        listing = self.listing
        missing = listing.unlisted.keys() & self.carries
        if self._session:
            # A list can be older than the pair: what gives data is not missing there.
            missing -= self._session.heard_of - listing.halted.keys()
        refused = self._session.refused if self._session else {}
        return {**{symbol: listing.unlisted[symbol] for symbol in missing}, **refused}

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
        """Let the sessions judge silence, acknowledgements and age."""
        for session in (self._session, self._successor):
            if session:
                session.check(now_ns)
        if self._session and len(self._config.source.urls) > 1:
            self._judge_host(self._session, now_ns)

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Ask for instruments anew that fell silent, whole or in part, on a live connection."""
        extra = {"source": self.name, "instruments": len(symbols), "symbols": few(symbols)}
        log.warning("instruments went silent, resubscribing", extra=extra)
        if self._session:
            self._session.resubscribe(symbols)

    def move(self, reason: str) -> None:
        """Open a new connection; the present one goes when that is live."""
        if self._session:
            self._session.move(reason)

    def status(self, now_ns: int, *, pin: str | None, serving: int) -> SourceStatus:
        """Describe the source for people and programs."""
        received_ns = self._config.book.received_ns
        waiting = self._session is None and self._wanted and not self._finished
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
            self._session.address if self._session else None,
            _wall_ms() + round((self._retry_s - time.monotonic()) * 1000) if waiting else None,
            dict(self._config.counts),
            dict(self._config.book.dropped),
            dict(self.refused),
            sum(not instrument.synthetic for instrument in self._config.carried),
            asked_again=self._asked_again(now_ns),
            left_out=list(self._config.left_out),
        )

    def _asked_again(self, now_ns: int) -> dict[str, int]:
        if not self._session:
            return {}
        wall_ms, times = _wall_ms(), self._session.asked_again()
        return {symbol: wall_ms + (at_ns - now_ns) // 1_000_000 for symbol, at_ns in times.items()}

    def _on_listed(self, symbols: list[str]) -> None:
        """Ask for instruments that the venue now lists, or trades again."""
        if self._session and (carried := [symbol for symbol in symbols if symbol in self.carries]):
            self._session.resubscribe(carried)

    async def run(self) -> None:
        """Keep the source as wanted, for ever."""
        async with asyncio.TaskGroup() as tasks:
            if self._is_first:
                tasks.create_task(self.listing.follow())
            while True:
                pause = self._step(tasks, time.monotonic())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                self._wake.clear()

    def _step(self, tasks: asyncio.TaskGroup, now_s: float) -> float | None:
        """Look at the sessions, begin and end them as needed; return the seconds until the next look."""
        if self._session and self._session.done:
            self._on_end(self._session, now_s)
        if self._successor and self._successor.done:
            self._on_failed_move(self._successor, now_s)
        if not self._wanted or self._finished:
            self._stop_all()
            return None
        if self._session and self._successor and self._takes_over(self._session, self._successor):
            log.info("source moved to its new connection", extra={"source": self.name})
            self._session.stop()
            self._session, self._successor = self._successor, None
            self._session.is_successor = False
        pause = max(self._retry_s - now_s, self._budget.delay(now_s))
        if self._session is None:
            if pause > 0:
                return pause
            self._lost = False
            self._session = self._begin(tasks, now_s)
            self.unbroken_since_ns = self._session.started_ns
        elif self._session.wants_move and not self._successor:
            if pause > 0:
                return pause
            log.info(
                "source moves to a new connection",
                extra={"source": self.name, "reason": self._session.wants_move},
            )
            self._successor = self._begin(tasks, now_s)
            self._successor.is_successor = True
        self._note()
        return None

    def _begin(self, tasks: asyncio.TaskGroup, now_s: float) -> FeedSession:
        self._generation += 1
        self._budget.spend(now_s)
        session = FeedSession(self._config, self._hosts.choose(now_s), self._generation)
        session.start(tasks)
        return session

    def _judge_host(self, session: FeedSession, now_ns: int) -> None:
        """Leave a host that refuses everything; try the first one again while another gives only part."""
        if self.carries and self.carries <= session.refused.keys():
            session.abort(f"this host refuses every instrument: {next(iter(session.refused.values()))}")
            return
        trial = self._successor
        if trial and trial.address != session.address and now_ns - trial.started_ns > self._trial_ns:
            trial.abort("it gives no more than the present host")
        whole = session.state != "live" or session.heard_of >= self.carries - self.listing.unlisted.keys()
        if not trial and self._hosts.look_again(session.address, now_ns / 1e9, whole=whole):
            session.move("only part of the instruments is given here: the first host is tried again")

    def _takes_over(self, session: FeedSession, successor: FeedSession) -> bool:
        """Say whether `successor` is as good; at another host it must give as much."""
        if successor.address == session.address:
            return successor.state == "live"
        return successor.state == "live" and not (session.heard_of - successor.heard_of) & self.carries

    def _on_end(self, session: FeedSession, now_s: float) -> None:
        """Account for the end of the serving session; a successor under way takes its place."""
        self._session, self._successor = self._successor, None
        if self._session:
            self._session.is_successor = False
            self.unbroken_since_ns = self._session.started_ns
            log.info(
                "connection ended during the move", extra={"source": self.name, "reason": str(session.error)}
            )
        elif session.error:
            self.failed = self._lost = True
            before = self.last_error
            self._plan_retry(session, session.error, now_s)
            self.reconnects += 1
            # A venue that cannot be reached says so once; that it still cannot is no news for a terminal.
            news = session.state != "connecting" or self.last_error != before
            extra = {"source": self.name, "reason": self._retry_reason, "url": session.address}
            log.log(logging.WARNING if news else logging.INFO, "source lost", extra=extra)
        elif self._wanted:
            self._finished = True
            log.info("source ended", extra={"source": self.name, "frames": self._config.counts.total()})
        self._note()

    def _on_failed_move(self, successor: FeedSession, now_s: float) -> None:
        self._successor = None
        if self._session and successor.address != self._session.address:
            self._session.wants_move = None
            self._hosts.stay(self._session.address)
            if isinstance(successor.error, RetryLaterError):
                self._hosts.bar(successor.address, now_s + successor.error.seconds)
            extra = {"source": self.name, "url": successor.address, "reason": str(successor.error)}
            log.info("the first host is no better", extra=extra)
        elif successor.error:
            self._plan_retry(successor, successor.error, now_s)

    def _plan_retry(self, session: FeedSession, error: VenueError, now_s: float) -> None:
        """Decide when the next attempt is due, and at which host."""
        if session.live_ns > _PROVEN_NS:
            self._backoff.reset()
        seconds = self._backoff.next_delay()
        reason = self.last_error = str(error)
        if not session.heard_of & self.carries:  # this host never answered as it should: the next may
            self._hosts.leave(session.address)
        if isinstance(error, RetryLaterError):
            if error.next_host:
                self._hosts.bar(session.address, now_s + error.seconds)
            asked = self._hosts.delay(now_s) if error.next_host else error.seconds
            seconds = max(seconds, asked)
            if error.breaker and asked:
                self._remember(self.name, self._config.now_ms() + round(asked * 1000))
            reason += f", next try at {_clock(_wall_ms() + round(seconds * 1000))}"
        self._retry_s = now_s + seconds
        self._retry_reason = reason

    def _stop_all(self) -> None:
        for session in (self._session, self._successor):
            if session and not session.done:
                session.stop()
        self._session = self._successor = None

    def _on_session(self) -> None:
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
                url = self._session.address if self._session else None
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
