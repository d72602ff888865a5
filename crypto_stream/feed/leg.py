"""One leg of a source: a single connection's life, from the attempt to its end.

A source whose handler runs its own loop (the synthetic generator) or that plays a recording has legs as well;
they only lack the connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Mapping, Sequence, Set
from contextlib import aclosing
from decimal import InvalidOperation

import msgspec

from crypto_stream.errors import MalformedFrame, VenueError
from crypto_stream.feed.asking import Asking
from crypto_stream.feed.connection import Connection, open_connection
from crypto_stream.feed.source import (
    Acked,
    Event,
    InstrumentStatus,
    Moving,
    Refused,
    Trade,
    Update,
)
from crypto_stream.feed.terms import Terms
from crypto_stream.market.status import SourceState

log = logging.getLogger(__name__)

_SHOWN = 200  # characters of a malformed frame in the log
_MOST_CHANNELS = 100  # counted by name: the names are the venue's choice
_LONGEST_NAME = 40
# What a handler may raise for a frame that it cannot read; anything else is a bug of its own.
_UNREADABLE = (
    *(MalformedFrame, msgspec.DecodeError, ValueError),
    *(OverflowError, InvalidOperation, RecursionError),
)
_REFUSED_EVERY_NS = 60_000_000_000
_LOG_EVERY_NS = 1_000_000_000  # malformed frames are all counted; at most one a second is shown


class Leg:
    """Run one connection and know its state; `error` says why it ended, None when it ended as it should."""

    def __init__(self, terms: Terms, address: str | None, generation: int) -> None:
        """Prepare a connection to `address`; `generation` numbers the source's legs."""
        self.terms = terms
        self.address = address
        self.state: SourceState = "connecting"
        self.reason: str | None = None
        self.error: VenueError | None = None
        self.done = False
        self.wants_move: str | None = None
        # While the old connection still runs, its copy of each event comes first: a successor's is as good.
        self.is_successor = False
        self._heard_of: set[str] = set()
        self.started_ns = time.monotonic_ns()
        self._instruments = [*terms.carried, *terms.watched]
        self._asking = Asking(
            terms.source, self._instruments, terms.ack_ns, self._handler_broke, terms.watched
        )
        self._generation = generation
        self._connection: Connection | None = None
        self._data_ns = self._first_data_ns = 0
        self._quiet_since_ns = 0
        self._move_at_ns: int | None = None
        self._logged_ns = 0
        self._refused_logged_ns = -_REFUSED_EVERY_NS
        self._task: asyncio.Task[None] | None = None

    @property
    def live_ns(self) -> int:
        """How long data flowed."""
        return self._data_ns - self._first_data_ns

    @property
    def heard_of(self) -> Set[str]:
        """Of which symbols data came."""
        return self._heard_of

    @property
    def refused(self) -> Mapping[str, str]:
        """Of which symbols that a person asked for the venue gives nothing, and why."""
        refused = self._asking.refused
        watched = {each.symbol for each in self.terms.watched}
        return {symbol: why for symbol, why in refused.items() if symbol not in watched}

    def asked_again(self) -> Mapping[str, int]:
        """Tell when each refused symbol is asked for again, on the monotonic clock in ns."""
        return self._asking.asked_again()

    @property
    def options(self) -> Mapping[str, str]:
        """The handler's own settings, for its `events`."""
        return self.terms.source.options

    @property
    def seed(self) -> int | None:
        """The seed of everything random, for the handler's `events`."""
        return self.terms.seed

    def last_price(self, symbol: str) -> str | None:
        """Tell the last price this source gave, for the handler's `events`."""
        return self.terms.last_price(symbol)

    def now_ms(self) -> int:
        """Tell the present by the engine's clock, for the handler's `events`."""
        return self.terms.now_ms()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin; `changed` of the terms is called at every change of state, and at the end."""
        self._task = tasks.create_task(self._run())

    def abort(self, reason: str) -> None:
        """End at once, for `reason`."""
        self.error = self.error or VenueError(reason)
        self.stop()

    def stop(self) -> None:
        """End at once, as wanted."""
        if self._connection and self.state != "live":
            self._connection.abort("stopped")  # nobody answers the close handshake there
        if self._task:
            self._task.cancel()

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Ask for `symbols` anew."""
        self._asking.again(symbols)

    def move(self, reason: str) -> None:
        """Have another connection take over."""
        if not self.wants_move and not self.terms.source.frames:  # a recording has nowhere to move to
            self.wants_move = reason
            self.terms.changed()

    def check(self, now_ns: int) -> None:
        """Judge silence, overdue acknowledgements and age; called several times a second."""
        limit = self.terms.stale_after_ns
        if self.state == "stale":
            # A recording may be silent where the venue was: it is stale then, but it goes on.
            if now_ns - self._quiet_since_ns >= 2 * limit and not self.done and not self.terms.source.frames:
                self.abort(f"{self.reason}, given up")
        elif self._quiet_since_ns and now_ns - self._quiet_since_ns >= limit:
            self._become("stale", f"{self._missing()} for {limit / 1e9:g} s")
            self._asking.all_again()
        if self._move_at_ns and now_ns >= self._move_at_ns and not self.wants_move:
            self.move("the connection reached its age")
        self._asking.chase(now_ns)

    def _missing(self) -> str:
        if self._data_ns or self.state == "connected":
            return "no data"
        refused = self._asking.instruments.keys() <= self._asking.refused.keys()
        return "every instrument refused, and no data" if refused else "neither data nor acknowledgement"

    async def _run(self) -> None:
        source = self.terms.source
        try:
            if source.frames:
                self._opened(None)
                async with aclosing(source.frames()) as frames:
                    async for frame in frames:
                        self._take(frame)
            elif source.events:
                self._opened(None)
                async with aclosing(source.events(self, self._instruments)) as events:
                    async for event in events:
                        self._handle(event, time.monotonic_ns())
                self.error = VenueError("the handler ended by itself")
            else:
                await self._run_connection()
        except VenueError as error:
            self.error = self.error or error
        except Exception as bug:
            log.exception("error in a handler", extra={"source": source.name})
            self.error = self._blame(bug)
        finally:
            self.done = True
            self.terms.changed()

    async def _run_connection(self) -> None:
        terms = self.terms
        assert self.address is not None
        async with (
            open_connection(
                terms.source,
                self.address,
                self._instruments,
                connect_s=terms.connect_s,
                sent=self._asking.sent,
                recorder=terms.recorder,
            ) as connection,
            asyncio.TaskGroup() as tasks,
        ):
            self._opened(connection)
            sender = tasks.create_task(connection.run())
            self._asking.begin(connection)
            try:
                async with aclosing(connection.frames()) as frames:
                    async for frame in frames:
                        self._take(frame)
            except VenueError as error:
                self.error = self.error or error
            finally:
                sender.cancel()

    def _opened(self, connection: Connection | None) -> None:
        self._connection = connection
        self._quiet_since_ns = time.monotonic_ns()
        if max_age_s := self.terms.source.max_age_s:
            # A random part keeps connections that began together from ending together.
            self._move_at_ns = self._quiet_since_ns + int(max_age_s * (1 - 0.05 * random.random()) * 1e9)
        if connection is None:
            self._become("connected", None)

    def _handler_broke(self, bug: Exception) -> None:
        self.error = self._blame(bug)
        self.stop()

    def _blame(self, bug: Exception) -> VenueError:
        while isinstance(bug, ExceptionGroup):
            bug = bug.exceptions[0]
        return VenueError(f"error in handler {self.terms.source.name}, see the log: {bug!r}")

    def _take(self, frame: bytes) -> None:
        """Read one frame: count it once, hand its events on. A malformed one costs itself."""
        received_ns = time.monotonic_ns()
        assert self.terms.source.parse is not None
        try:
            events = self.terms.source.parse(frame)
        except _UNREADABLE as error:
            self.terms.counts["malformed"] += 1
            self._log_malformed(frame, error, received_ns)
            return
        channel = str(events[0].channel)[:_LONGEST_NAME] if events else "empty"
        counts = self.terms.counts
        counts[channel if channel in counts or len(counts) < _MOST_CHANNELS else "other"] += 1
        for event in events:
            self._handle(event, received_ns)

    def _handle(self, event: Event, received_ns: int) -> None:
        if isinstance(event, (Update, Trade)):
            self._handle_data(event, received_ns)
        elif isinstance(event, Acked):
            self._asking.acked(event.key)
            self._note_answer(received_ns)
            if self._asking.answered and self.state == "connecting":
                self._become("connected", None)
        elif isinstance(event, Refused):
            self._note_answer(received_ns)
            self._asking.refuse(event)
        elif isinstance(event, Moving):
            self.move(event.reason)
        elif isinstance(event, InstrumentStatus) and self.terms.told:
            self.terms.told(event.symbol, event.word[:_LONGEST_NAME])

    def _handle_data(self, event: Update | Trade, received_ns: int) -> None:
        terms = self.terms
        if event.symbol not in self._asking.instruments:
            terms.book.dropped["not_asked"] += 1  # else a venue's nonsense could fill our memory
            return
        allowed = terms.judge.allow(event, terms.now_ms(), received_ns)
        if allowed is None:
            self._log_refused(event, received_ns)
            return
        taken = terms.book.apply(allowed, received_ns, self._generation)
        if taken or self.is_successor:
            self._note_data(event.symbol, received_ns)
        if taken:
            terms.accepted(allowed)

    def _note_data(self, symbol: str, received_ns: int) -> None:
        self._data_ns = self._quiet_since_ns = received_ns
        self._asking.seen(symbol)
        if self.state != "live":
            self._first_data_ns = self._first_data_ns or received_ns
            self._become("live", None)
        if symbol not in self._heard_of:  # from now on this source can serve it
            self._heard_of.add(symbol)
            self.terms.changed()

    def _note_answer(self, received_ns: int) -> None:
        """Until data came, a venue that still answers subscriptions is at work, not silent."""
        if not self._data_ns:
            self._quiet_since_ns = received_ns

    def _become(self, state: SourceState, reason: str | None) -> None:
        self.state, self.reason = state, reason
        self.terms.changed()

    def _log_refused(self, event: Update | Trade, now_ns: int) -> None:
        if now_ns - self._refused_logged_ns >= _REFUSED_EVERY_NS:
            self._refused_logged_ns = now_ns
            extra = {"source": self.terms.source.name, "dropped": dict(self.terms.book.dropped)}
            log.warning("event that cannot be true dropped", extra={**extra, "event": str(event)[:_SHOWN]})

    def _log_malformed(self, frame: bytes, error: Exception, now_ns: int) -> None:
        if now_ns - self._logged_ns >= _LOG_EVERY_NS:
            self._logged_ns = now_ns
            shown = frame[: 4 * _SHOWN].decode("utf-8", "replace")[:_SHOWN]
            extra = {"source": self.terms.source.name, "reason": str(error), "frame": shown}
            log.warning("malformed frame", extra={**extra, "so_far": self.terms.counts["malformed"]})
