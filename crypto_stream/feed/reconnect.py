"""A source that reconnects: its state, its successive sessions, and its status for users."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence

from crypto_stream.errors import VenueError
from crypto_stream.feed.handler import Instrument, Listed
from crypto_stream.feed.listing import Listing
from crypto_stream.feed.retry_policy import ConnectBudget, Connected, RetryPolicy
from crypto_stream.feed.session import FeedSession
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.sessions import Sessions
from crypto_stream.feed.states import INITIAL_SOURCE_STATE, after, source_state
from crypto_stream.feed.subscriptions import UNNAMED
from crypto_stream.market.instruments import few
from crypto_stream.market.status import SourceState, SourceStatus
from crypto_stream.wall_clock import wall_ms

log = logging.getLogger(__name__)


class ReconnectingSource:
    """Keep one source connected while it is wanted.

    `remember_ban(name, until_ms)` is called with a ban that must survive a restart; `banned_until_ms` is the
    one of the previous run. Several connections of one source share the list and the budget of the `first`.
    All methods but `run` return at once. Times in `_s` and `_ns` are monotonic, in `_ms` wall clock.
    """

    def __init__(
        self,
        config: SessionConfig,
        remember_ban: Callable[[str, int], None],
        banned_until_ms: int = 0,
        first: ReconnectingSource | None = None,
    ) -> None:
        source = config.source
        self.name = source.name
        self.carries = config.carried.keys()  # a view, which `add` and `remove` change
        self.failed = False
        self.live_since_ns = 0
        self.unbroken_since_ns = 0
        self.since_ms = wall_ms()
        self.last_error: str | None = None
        self.reconnects = 0
        self._is_first = first is None
        self.listing: Listing = first.listing if first else Listing(source, config.names)
        self.listing.relisted.append(self._on_listed)
        self._changed = config.changed
        self._config = config._replace(
            changed=self._on_session, on_status=self._on_status, on_list=self._on_list
        )
        self._on_ban = remember_ban
        self._wake = asyncio.Event()
        self._own_state = self._last_state = INITIAL_SOURCE_STATE
        self._sessions = Sessions(self._config, self.carries)
        self.budget: ConnectBudget = first.budget if first else ConnectBudget(source.limits.attempts)
        now_s = time.monotonic()
        self.budget.ban(now_s + max(0, banned_until_ms - config.now_ms()) / 1000)
        self._retry = RetryPolicy(
            source.urls,
            self.budget,
            first_host_retry_s=config.first_host_retry_ns / 1e9,
            now_s=now_s,
            chance=random.random,
            max_delay_s=source.max_retry_s,
        )
        self._retry_reason = f"banned until {_clock(banned_until_ms)}" if banned_until_ms else "not tried yet"

    def of(self, symbol: str) -> ReconnectingSource:
        """Return the connection that carries an instrument: this one."""
        return self

    @property
    def state(self) -> SourceState:
        """The state of the source; see `states`."""
        serving = self._sessions.serving
        return source_state(self._own_state, serving.state if serving else None)

    @property
    def reason(self) -> str | None:
        """Why it is in that state; None while it is live."""
        state, serving = self.state, self._sessions.serving
        if state == "ended":
            return "the recording is over"
        if state == "off":
            return "not needed now"
        if serving is None:
            return self._retry_reason
        return serving.reason or (self._retry_reason if state == "connecting" and self.failed else None)

    @property
    def refused(self) -> Mapping[str, str]:
        """Why it does not deliver some of the requested instruments."""
        if (serving := self._sessions.serving) is None:
            return self.listing.unavailable(self.carries, frozenset())
        unavailable = self.listing.unavailable(self.carries, serving.delivered)
        refused = serving.refused.items()
        return unavailable | {
            symbol: why for symbol, why in refused if why != UNNAMED or symbol not in unavailable
        }

    @property
    def halted(self) -> Mapping[str, str]:
        """The instruments that do not trade now according to the venue, and its word for it."""
        return self.listing.halted

    def want(self, wanted: bool) -> None:
        """Connect, or disconnect."""
        before = self.state
        if wanted == (before != "off"):
            return
        may_try = self._sessions.serving is not None or time.monotonic() >= self._retry.due_s
        self._own_state = after(before, ("wanted" if may_try else "postponed") if wanted else "unwanted")
        if self.state != before:
            self._wake.set()
            self._update_state()

    def add(self, instruments: Sequence[Instrument]) -> None:
        """Carry more instruments from now on."""
        for each in instruments:
            self._config.carried[each.symbol] = each
            self._config.watched.pop(each.symbol, None)
        self._sessions.add(instruments)

    def watch(self, instrument: Instrument) -> None:
        """Subscribe to an instrument that is not carried, as a sign of life."""
        self._config.watched[instrument.symbol] = instrument
        self._sessions.add([instrument])

    def remove(self, symbols: Sequence[str]) -> None:
        """Carry, or watch, these instruments no longer."""
        for symbol in symbols:
            self._config.carried.pop(symbol, None)
            self._config.watched.pop(symbol, None)
        self._sessions.remove(symbols)

    def check(self, now_ns: int) -> None:
        """Check the sessions for silence, overdue acknowledgements and age."""
        self._sessions.check(now_ns)
        if self._sessions.serving and len(self._config.source.urls) > 1:
            self._judge_host(self._sessions.serving, now_ns)

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Resubscribe to instruments that fell silent, or miss a channel, on a live connection."""
        extra = {"source": self.name, "instruments": len(symbols), "symbols": few(symbols)}
        log.warning("instruments went silent, resubscribing", extra=extra)
        self._on_listed(symbols)

    def move(self, reason: str) -> None:
        """Open a new connection, which replaces the current one once it is live."""
        if self._sessions.serving:
            self._sessions.serving.move(reason)

    def status(self, now_ns: int, *, pin: str | None, serving: int) -> SourceStatus:
        """Return the status for users and programs."""
        config, session, state = self._config, self._sessions.serving, self.state
        received_ns = config.book.received_ns
        waiting = session is None and state not in ("off", "ended")
        return SourceStatus(
            name=self.name,
            state=state,
            since=self.since_ms,
            pinned=self.name == pin,
            reason=self.reason,
            last_error=self.last_error,
            age_ms=None if received_ns is None else (now_ns - received_ns) // 1_000_000,
            reconnects=self.reconnects,
            serving=serving,
            carries=len(self.carries),
            url=self._sessions.address,
            retry_at=_wall_ms_in(self._retry.due_s - time.monotonic()) if waiting else None,
            frames=dict(config.counts),
            dropped=dict(config.book.dropped),
            refused=dict(self.refused),
            real=0 if config.source.synthetic else len(self.carries),
            next_retry=self._retry_times(session, now_ns) if session else {},
            left_out=list(config.left_out),
        )

    def _retry_times(self, session: FeedSession, now_ns: int) -> dict[str, int]:
        now_ms, times = wall_ms(), session.retry_times()
        return {symbol: now_ms + (at_ns - now_ns) // 1_000_000 for symbol, at_ns in times.items()}

    async def run(self) -> None:
        """Keep the source connected while it is wanted, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            if self._is_first:
                tasks.create_task(self.listing.run())
            while True:
                pause = self._step(tasks, time.monotonic())
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(pause):
                        await self._wake.wait()
                self._wake.clear()

    def _step(self, tasks: asyncio.TaskGroup, now_s: float) -> float | None:
        """Begin, replace and end sessions as needed; return the seconds to the next step, if known."""
        sessions = self._sessions
        while sessions.serving and sessions.serving.done:  # its successor may have ended too
            self._on_end(sessions.serving, now_s)
        if sessions.successor and sessions.successor.done:
            self._on_failed_move(sessions.successor, now_s)
        if self.state in ("off", "ended"):
            sessions.stop()
            return None
        if sessions.hand_over():
            log.info("source moved to its new connection", extra={"source": self.name})
        if sessions.serving is None or (sessions.serving.wants_move and not sessions.successor):
            if (delay_s := self._retry.delay(now_s)) > 0:
                return delay_s
            self._begin(tasks, sessions.serving, now_s)
        self._update_state()
        return None

    def _begin(self, tasks: asyncio.TaskGroup, serving: FeedSession | None, now_s: float) -> None:
        """Open a connection; if another one is `serving`, as its successor."""
        if serving:
            extra = {"source": self.name, "reason": serving.wants_move}
            log.info("source moves to a new connection", extra=extra)
        else:
            self._own_state = after(self.state, "attempt")
        session = self._sessions.begin(tasks, self._retry.attempt(now_s))
        if not serving:
            self.unbroken_since_ns = session.started_ns

    def _judge_host(self, session: FeedSession, now_ns: int) -> None:
        """Abandon a host that refuses everything; retry the first one while another delivers only part."""
        if self.carries and self.carries <= session.refused.keys():
            session.abort(f"this host refuses every instrument: {next(iter(session.refused.values()))}")
            return
        complete = session.state != "live" or session.delivered >= self.carries - self.listing.unlisted.keys()
        if not self._sessions.successor and self._retry.tries_first_host(
            session.address, now_ns / 1e9, complete=complete
        ):
            session.move("this host delivers only part of the instruments: the first host is tried again")

    def _on_end(self, session: FeedSession, now_s: float) -> None:
        """Handle the end of the serving session; its successor, if any, replaces it."""
        if successor := self._sessions.successor:
            self.unbroken_since_ns = successor.started_ns
            why = str(session.error)
            log.info("connection ended during the move", extra={"source": self.name, "reason": why})
        elif session.error:
            self._own_state = after(self.state, "failed")
            self.failed = True
            # Warn once that a venue cannot be reached, not after each further attempt.
            is_new = session.state != "connecting" or self.last_error != str(session.error)
            self._plan_retry(session, session.error, now_s)
            self.reconnects += 1
            extra = {"source": self.name, "reason": self._retry_reason, "url": session.address}
            log.log(logging.WARNING if is_new else logging.INFO, "source lost", extra=extra)
        else:
            self._own_state = after(self.state, "finished")
            if self.state == "ended":
                log.info("source ended", extra={"source": self.name, "frames": self._config.counts.total()})
        self._sessions.drop_serving()
        self._update_state()

    def _on_failed_move(self, successor: FeedSession, now_s: float) -> None:
        self._sessions.drop_successor()
        serving, error = self._sessions.serving, successor.error
        if serving and successor.address != serving.address:
            serving.wants_move = None
            ban_s = self._retry.trial_failed(successor.address, error, now_s, current=serving.address)
            self._remember_ban(ban_s)
            extra = {"source": self.name, "url": successor.address, "reason": str(error)}
            log.info("the first host delivers no more", extra=extra)
        elif error:
            self._plan_retry(successor, error, now_s)

    def _plan_retry(self, session: FeedSession, error: VenueError, now_s: float) -> None:
        """Schedule the next attempt, and mention it in the reason."""
        connected = Connected(session.live_ns / 1e9, bool(session.delivered & self.carries))
        retry = self._retry.failed(session.address, error, now_s, connected)
        self._remember_ban(retry.ban_s)
        self._retry_reason = self.last_error = str(error)
        if retry.is_requested:
            self._retry_reason += f", next try at {_clock(_wall_ms_in(retry.delay_s))}"

    def _remember_ban(self, ban_s: float) -> None:
        if ban_s:
            self._on_ban(self.name, self._config.now_ms() + round(ban_s * 1000))

    def _on_session(self) -> None:
        self._wake.set()
        self._update_state()

    def _on_status(self, symbols: Sequence[str], word: str, whole: bool) -> None:
        if self.listing.set_status(symbols, word, whole=whole):
            self._changed()

    def _on_list(self, listed: Sequence[Listed]) -> None:
        """Apply the venue's list, which subscribes to what it names for the first time."""
        self.listing.learn(listed)
        self._changed()

    def _on_listed(self, symbols: Sequence[str]) -> None:
        """Resubscribe to what the venue trades again or newly lists; others' instruments are ignored."""
        if self._sessions.serving:
            self._sessions.serving.resubscribe(symbols)

    def _update_state(self) -> None:
        """Record and log a change of state, and wake the failover loop."""
        before, state = self._last_state, self.state
        if state != before:
            self._last_state, self.since_ms = state, wall_ms()
            if state == "live":
                self.live_since_ns = time.monotonic_ns()
                log.info("source live", extra={"source": self.name, "url": self._sessions.address})
            elif state == "stale":
                self.failed = True
                self.unbroken_since_ns = time.monotonic_ns()
                self.last_error = self.reason
                log.warning("source stale", extra={"source": self.name, "reason": self.reason})
        self._changed()


def _wall_ms_in(seconds: float) -> int:
    return wall_ms() + round(seconds * 1000)


def _clock(at_ms: int) -> str:
    return time.strftime("%H:%M:%S UTC", time.gmtime(at_ms / 1000))
