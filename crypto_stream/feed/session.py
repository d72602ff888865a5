"""One session of a source: a single connection, from the attempt to its end.

Generators and recordings have sessions too, without a connection.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence, Set

from crypto_stream.errors import VenueError
from crypto_stream.feed.connection import SessionConnection
from crypto_stream.feed.frame_reader import FrameReader
from crypto_stream.feed.handler import (
    Acked,
    Event,
    Instrument,
    InstrumentStatus,
    ListReceived,
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
from crypto_stream.feed.liveness import Liveness
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.subscriptions import SubscriptionConfig, Subscriptions
from crypto_stream.market.status import SourceState

log = logging.getLogger(__name__)

_LONGEST_WORD = 40  # characters of a venue's word for a trading status


class FeedSession:
    """Run one connection to `address` and track its state; `changed` of the config is called on changes.

    `error` is the reason for the end, None after a regular one. `generation` numbers the sessions of a
    source.
    """

    def __init__(self, config: SessionConfig, address: str | None, generation: int) -> None:
        self.config = config
        # What sources need to run it.
        self.connect_s, self.recorder, self.running = config.connect_s, config.recorder, config
        self.counts = config.counts
        self.address = address
        self.error: VenueError | None = None
        self.done = False
        self.wants_move: str | None = None
        # While the old connection is still open, its copy of each event usually arrives first and is applied;
        # the successor's copy must count as data nevertheless.
        self.is_successor = False
        self._delivered: set[str] = set()
        # Symbols whose data was already passed to the subscriptions since they last changed.
        self._settled: set[str] = set()
        self.started_ns = time.monotonic_ns()
        self._known = {**config.carried, **config.watched}
        subscribed = SubscriptionConfig(
            source=config.source.name,
            instruments=self._known,
            names=config.names,
            request_bytes=config.source.limits.request_bytes,
            watched=config.watched.keys(),
        )
        self._subscriptions = Subscriptions(subscribed, config.ack_ns, self._on_bug)
        self._frames = FrameReader(config, self._known)
        self._generation = generation
        self._apply, self._accepted = config.book.apply, config.accepted
        self._connection: SessionConnection | None = None
        self._liveness = Liveness(config.stale_after_ns)
        self._move_at_ns: int | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> SourceState:
        """The state of the connection, from `connecting` to `stale`."""
        return self._liveness.state

    @property
    def reason(self) -> str | None:
        """Why it is in that state; None if that needs no reason."""
        return self._liveness.reason

    @property
    def live_ns(self) -> int:
        """How long data was received."""
        return self._liveness.live_ns

    @property
    def delivered(self) -> Set[str]:
        """The symbols whose data was received."""
        return self._delivered

    @property
    def refused(self) -> Mapping[str, str]:
        """The configured symbols for which the venue sends nothing, and why."""
        refused, watched = self._subscriptions.refused, self.config.watched
        return {symbol: why for symbol, why in refused.items() if symbol not in watched}

    def retry_times(self) -> Mapping[str, int]:
        """Return when each refused symbol is requested again, on the monotonic clock in ns."""
        return self._subscriptions.retry_times()

    @property
    def by_id(self) -> Mapping[str, Instrument]:
        """The instruments of the session by the venue's id."""
        return self.config.names.by_id

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments of the session."""
        return list(self._known.values())

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many events were dropped, by reason or channel."""
        return self.config.book.dropped

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Begin the session as one of `tasks`."""
        self._task = tasks.create_task(self._run())

    def abort(self, reason: str) -> None:
        """End at once with an error."""
        self.error = self.error or VenueError(reason)
        self.stop()

    def stop(self) -> None:
        """End at once, without an error."""
        if self._connection and self.state != "live":
            self._connection.abort("stopped")  # a silent peer would not answer the close handshake
        if self._task:
            self._task.cancel()

    def resubscribe(self, symbols: Sequence[str]) -> None:
        """Resubscribe to `symbols`."""
        self._subscriptions.resubscribe(symbols)

    def add(self, instruments: Sequence[Instrument]) -> None:
        """Subscribe to more instruments; one that was only watched is subscribed already."""
        if not self._known:
            self._liveness.requested(time.monotonic_ns())
        new = [each.symbol for each in instruments if each.symbol not in self._known]
        self._known.update((each.symbol, each) for each in instruments)
        self._settled.clear()
        self._subscriptions.add(new)

    def remove(self, symbols: Sequence[str]) -> None:
        """Unsubscribe from instruments; what still arrives of them is dropped."""
        self._subscriptions.remove([symbol for symbol in symbols if symbol in self._known])
        for symbol in symbols:
            self._known.pop(symbol, None)
            self._delivered.discard(symbol)
            self._settled.discard(symbol)

    def move(self, reason: str) -> None:
        """Request that another connection replaces this one."""
        if not self.wants_move and self.config.source.can_move:
            self.wants_move = reason
            self.config.changed()

    def check(self, now_ns: int) -> None:
        """Check for silence, overdue acknowledgements and age; called several times a second."""
        self._settled.clear()
        if self._known:  # nothing can be missing where nothing was requested
            self._check_silence(now_ns)
        if self._move_at_ns and now_ns >= self._move_at_ns and not self.wants_move:
            self.move("the connection reached its maximum age")
        self._subscriptions.retry_overdue(now_ns)

    def _check_silence(self, now_ns: int) -> None:
        if self._liveness.is_silent(now_ns):
            self._liveness.silence(all_refused=self._subscriptions.all_refused)
            self.config.changed()
            self._subscriptions.resubscribe_all()
        elif self._liveness.is_overdue(now_ns) and not self.done and self.config.source.is_real_time:
            # A recording may contain silence: it becomes stale, but continues.
            self.abort(f"{self.reason}, connection abandoned")

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

    # The following methods are for the source's `run`.

    def begin(self, connection: SessionConnection, reader: Reading) -> None:
        """Subscribe over `connection`, with the requests that `reader` makes."""
        self._subscriptions.begin(connection, reader)

    def sent(self, request: Request) -> None:
        """Record that a request was sent."""
        self._settled.clear()
        self._subscriptions.sent(request)

    def fail(self, error: VenueError) -> None:
        """Record why the session ends; the first reason counts."""
        self.error = self.error or error

    def read(self, reader: Reading, frames: Sequence[bytes]) -> None:
        """Read frames that arrived together and handle their events; a malformed one has none."""
        received_ns, now_ms = time.monotonic_ns(), self.config.now_ms()
        for frame in frames:
            for event in self._frames.read(reader, frame):
                self._handle(event, received_ns, now_ms)

    def take(self, event: Event) -> None:
        """Handle one event that arrived without a frame."""
        self._handle(event, time.monotonic_ns(), self.config.now_ms())

    def opened(self, connection: SessionConnection | None) -> None:
        """Record that data may arrive from now on; without a connection nothing has to be acknowledged."""
        self._connection = connection
        now_ns = time.monotonic_ns()
        self._liveness.opened(now_ns)
        if max_age_s := self.config.source.limits.max_age_s:
            # The random part prevents connections that began together from ending together.
            self._move_at_ns = now_ns + int(max_age_s * (1 - 0.05 * random.random()) * 1e9)
        if connection is None:
            self._acknowledged()

    def _on_bug(self, bug: Exception) -> None:
        self.error = self._blame(bug)
        self.stop()

    def _blame(self, bug: Exception) -> VenueError:
        while isinstance(bug, ExceptionGroup):
            bug = bug.exceptions[0]
        return VenueError(f"error in handler {self.config.source.name}, see the log: {bug!r}")

    def _handle(self, event: Event, received_ns: int, now_ms: int) -> None:
        if not isinstance(event, (Update, Trade)):
            self._settled.clear()
            if (handle := self._HANDLERS.get(type(event))) is not None:
                handle(self, event, received_ns)
        elif (allowed := self._frames.checked(event, received_ns, now_ms)) is not None:
            taken = self._apply(allowed, received_ns, self._generation)
            if taken or self.is_successor:
                self._note_data(event.instrument.symbol, received_ns)
            if taken:
                self._accepted(allowed)

    def _on_acked(self, event: Acked, received_ns: int) -> None:
        self._subscriptions.acked(event.key)
        self._liveness.answered(received_ns)
        if self._subscriptions.answered:
            self._acknowledged()

    def _on_refused(self, event: Refused, received_ns: int) -> None:
        self._liveness.answered(received_ns)
        self._subscriptions.refuse(event)

    def _on_reply(self, event: Reply, received_ns: int) -> None:
        if self._connection:
            self._connection.reply(event.text)

    def _on_resync(self, event: Resync, received_ns: int) -> None:
        self._subscriptions.resync(event)

    def _on_moving(self, event: Moving, received_ns: int) -> None:
        self.move(event.reason)

    def _on_status(self, event: InstrumentStatus, received_ns: int) -> None:
        self._report_status([event.instrument.symbol], event.word, whole=False)

    def _on_list(self, event: ListReceived, received_ns: int) -> None:
        if self.config.on_list:
            self.config.on_list(event.listed)

    def _on_venue_status(self, event: VenueStatus, received_ns: int) -> None:
        self._report_status([*self.config.carried], event.word, whole=True)

    def _report_status(self, symbols: Sequence[str], word: str, *, whole: bool) -> None:
        if self.config.on_status:
            self.config.on_status(symbols, word[:_LONGEST_WORD], whole)

    _HANDLERS: Mapping[type, Callable[..., None]] = {
        Acked: _on_acked,
        Refused: _on_refused,
        Reply: _on_reply,
        Resync: _on_resync,
        Moving: _on_moving,
        InstrumentStatus: _on_status,
        ListReceived: _on_list,
        VenueStatus: _on_venue_status,
    }

    def _note_data(self, symbol: str, received_ns: int) -> None:
        changed = self._liveness.data(received_ns)
        if symbol not in self._settled:
            self._settled.add(symbol)
            self._subscriptions.seen(symbol)
            if symbol not in self._delivered:  # this source can serve it from now on
                self._delivered.add(symbol)
                changed = True
        if changed:
            self.config.changed()

    def _acknowledged(self) -> None:
        if self._liveness.acknowledged():
            self.config.changed()
