"""One session of a source: a single connection's life, from the attempt to its end.

A generator and a recording have sessions as well; they only lack the connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence, Set

import msgspec

from crypto_stream.errors import VenueError
from crypto_stream.feed.connection import Connection, Recorder
from crypto_stream.feed.handler import (
    ARRIVAL,
    UNREADABLE,
    Acked,
    Event,
    Instrument,
    InstrumentStatus,
    Moving,
    Reading,
    Refused,
    Reply,
    Request,
    Resync,
    Trade,
    Update,
    VenueStatus,
)
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.subscriptions import Asked, Subscriptions
from crypto_stream.log_throttle import LogThrottle
from crypto_stream.market.status import SourceState

log = logging.getLogger(__name__)

_SHOWN = 200  # characters of a malformed frame in the log
_MOST_CHANNELS = 100  # counted by name: the names are the venue's choice
_LONGEST_NAME = 40


class FeedSession:
    """Run one connection and know its state; `error` says why it ended, None when it ended as it should."""

    def __init__(self, config: SessionConfig, address: str | None, generation: int) -> None:
        """Prepare a connection to `address`; `generation` numbers the source's sessions."""
        self.config = config
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
        self._instruments = [*config.carried, *config.watched]
        self._known = {each.symbol: each for each in self._instruments}
        asked = Asked(
            source=config.source.name,
            instruments=self._known,
            names=config.names,
            request_bytes=config.source.limits.request_bytes,
            watched=frozenset(each.symbol for each in config.watched),
        )
        self._subscriptions = Subscriptions(asked, config.ack_ns, self._handler_broke)
        self._generation = generation
        self._connection: Connection | None = None
        self._data_ns = self._first_data_ns = 0
        self._quiet_since_ns = 0
        self._move_at_ns: int | None = None
        self._arrivals = 0
        self._throttle = LogThrottle()
        self._malformed = LogThrottle(every_s=1.0)  # all are counted; one a second is shown
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
        refused = self._subscriptions.refused
        watched = {each.symbol for each in self.config.watched}
        return {symbol: why for symbol, why in refused.items() if symbol not in watched}

    def asked_again(self) -> Mapping[str, int]:
        """Tell when each refused symbol is asked for again, on the monotonic clock in ns."""
        return self._subscriptions.asked_again()

    @property
    def by_id(self) -> Mapping[str, Instrument]:
        """What the session carries, by the venue's id."""
        return self.config.names.by_id

    @property
    def instruments(self) -> Sequence[Instrument]:
        """What the session carries."""
        return self._instruments

    @property
    def connect_s(self) -> float:
        """Seconds that a connection may take."""
        return self.config.connect_s

    @property
    def recorder(self) -> Recorder | None:
        """Who keeps the frames."""
        return self.config.recorder

    @property
    def options(self) -> Mapping[str, str]:
        """The handler's own settings, for its `events`."""
        return self.config.source.options

    @property
    def seed(self) -> int | None:
        """The seed of everything random, for the handler's `events`."""
        return self.config.seed

    def last_price(self, symbol: str) -> str | None:
        """Tell the last price this source gave, for the handler's `events`."""
        return self.config.last_price(symbol)

    def now_ms(self) -> int:
        """Tell the present by the engine's clock, for the handler's `events`."""
        return self.config.now_ms()

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin; `changed` of the config is called at every change of state, and at the end."""
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
        self._subscriptions.again(symbols)

    def move(self, reason: str) -> None:
        """Have another connection take over."""
        if not self.wants_move and self.config.source.of_now:
            self.wants_move = reason
            self.config.changed()

    def check(self, now_ns: int) -> None:
        """Judge silence, overdue acknowledgements and age; called several times a second."""
        limit = self.config.stale_after_ns
        if self.state == "stale":
            # A recording may be silent where the venue was: it is stale then, but it goes on.
            if now_ns - self._quiet_since_ns >= 2 * limit and not self.done and self.config.source.of_now:
                self.abort(f"{self.reason}, given up")
        elif self._quiet_since_ns and now_ns - self._quiet_since_ns >= limit:
            self._become("stale", f"{self._missing()} for {limit / 1e9:g} s")
            self._subscriptions.all_again()
        if self._move_at_ns and now_ns >= self._move_at_ns and not self.wants_move:
            self.move("the connection reached its age")
        self._subscriptions.chase(now_ns)

    def _missing(self) -> str:
        if self._data_ns or self.state == "connected":
            return "no data"
        refused = self._subscriptions.all_refused
        return "every instrument refused, and no data" if refused else "neither data nor acknowledgement"

    async def _run(self) -> None:
        source = self.config.source
        try:
            await source.run(self)
        except VenueError as error:
            self.fail(error)
        except Exception as bug:
            log.exception("error in a handler", extra={"source": source.name})
            self.error = self._blame(bug)
        finally:
            self.done = True
            self.config.changed()

    # What a source's `run` uses.

    def begin(self, connection: Connection, reader: Reading) -> None:
        """Subscribe over `connection`, in the words of `reader`."""
        self._subscriptions.begin(connection, reader)

    def sent(self, request: Request) -> None:
        """Take note that a request went out."""
        self._subscriptions.sent(request)

    def fail(self, error: VenueError) -> None:
        """Take note why the session ends; the first reason counts."""
        self.error = self.error or error

    def read(self, reader: Reading, frame: bytes) -> None:
        """Read one frame: count it once, take its events. A malformed one costs itself."""
        received_ns = time.monotonic_ns()
        try:
            events = list(reader.read(frame))
        except UNREADABLE as error:
            self.config.counts["malformed"] += 1
            self._log_malformed(frame, error)
            return
        channel = str(events[0].channel)[:_LONGEST_NAME] if events else "empty"
        counts = self.config.counts
        counts[channel if channel in counts or len(counts) < _MOST_CHANNELS else "other"] += 1
        for event in events:
            self._handle(event, received_ns)

    def take(self, event: Event) -> None:
        """Take one event that came without a frame."""
        self._handle(event, time.monotonic_ns())

    def opened(self, connection: Connection | None) -> None:
        """Take note that data may come from now on."""
        self._connection = connection
        self._quiet_since_ns = time.monotonic_ns()
        if max_age_s := self.config.source.limits.max_age_s:
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
        return VenueError(f"error in handler {self.config.source.name}, see the log: {bug!r}")

    def _handle(self, event: Event, received_ns: int) -> None:
        if isinstance(event, (Update, Trade)):
            self._handle_data(event, received_ns)
        elif (handle := self._HANDLERS.get(type(event))) is not None:
            handle(self, event, received_ns)

    def _handle_data(self, event: Update | Trade, received_ns: int) -> None:
        config = self.config
        if event.instrument.symbol not in self._known:
            config.book.dropped["not_asked"] += 1  # else a venue's nonsense could fill our memory
            return
        if event.key == ARRIVAL:
            self._arrivals = max(self._arrivals + 1, received_ns)
            event = msgspec.structs.replace(event, key=self._arrivals)
        allowed = config.judge.allow(event, config.now_ms(), received_ns)
        if allowed is None:
            self._log_refused(event)
            return
        taken = config.book.apply(allowed, received_ns, self._generation)
        if taken or self.is_successor:
            self._note_data(event.symbol, received_ns)
        if taken:
            config.accepted(allowed)

    def _on_acked(self, event: Acked, received_ns: int) -> None:
        self._subscriptions.acked(event.key)
        self._note_answer(received_ns)
        if self._subscriptions.answered and self.state == "connecting":
            self._become("connected", None)

    def _on_refused(self, event: Refused, received_ns: int) -> None:
        self._note_answer(received_ns)
        self._subscriptions.refuse(event)

    def _on_reply(self, event: Reply, received_ns: int) -> None:
        if self._connection:
            self._connection.reply(event.text)

    def _on_resync(self, event: Resync, received_ns: int) -> None:
        self._subscriptions.resync(event)

    def _on_moving(self, event: Moving, received_ns: int) -> None:
        self.move(event.reason)

    def _on_status(self, event: InstrumentStatus, received_ns: int) -> None:
        if self.config.on_status:
            self.config.on_status(event.instrument.symbol, event.word[:_LONGEST_NAME])

    def _on_venue_status(self, event: VenueStatus, received_ns: int) -> None:
        if self.config.on_status:
            for instrument in self.config.carried:
                self.config.on_status(instrument.symbol, event.word[:_LONGEST_NAME])

    _HANDLERS: Mapping[type, Callable[..., None]] = {
        Acked: _on_acked,
        Refused: _on_refused,
        Reply: _on_reply,
        Resync: _on_resync,
        Moving: _on_moving,
        InstrumentStatus: _on_status,
        VenueStatus: _on_venue_status,
    }

    def _note_data(self, symbol: str, received_ns: int) -> None:
        self._data_ns = self._quiet_since_ns = received_ns
        self._subscriptions.seen(symbol)
        if self.state != "live":
            self._first_data_ns = self._first_data_ns or received_ns
            self._become("live", None)
        if symbol not in self._heard_of:  # from now on this source can serve it
            self._heard_of.add(symbol)
            self.config.changed()

    def _note_answer(self, received_ns: int) -> None:
        """Until data came, a venue that still answers subscriptions is at work, not silent."""
        if not self._data_ns:
            self._quiet_since_ns = received_ns

    def _become(self, state: SourceState, reason: str | None) -> None:
        self.state, self.reason = state, reason
        self.config.changed()

    def _log_refused(self, event: Update | Trade) -> None:
        if self._throttle.due("event"):
            extra = {"source": self.config.source.name, "dropped": dict(self.config.book.dropped)}
            log.warning("event that cannot be true dropped", extra={**extra, "event": str(event)[:_SHOWN]})

    def _log_malformed(self, frame: bytes, error: Exception) -> None:
        if self._malformed.due("frame"):
            shown = frame[: 4 * _SHOWN].decode("utf-8", "replace")[:_SHOWN]
            extra = {"source": self.config.source.name, "reason": str(error), "frame": shown}
            log.warning("malformed frame", extra={**extra, "so_far": self.config.counts["malformed"]})
