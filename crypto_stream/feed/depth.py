"""The books of one source, over a connection of its own, which is open while any of them is wanted.

Prices do not depend on it: a book is a burst of large frames, and its loss, refusal or silence says nothing
about the connection for prices.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec.structs import replace

from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.books import AWAITED, Books, Known, Requested
from crypto_stream.feed.connection import Recorder, SessionConnection
from crypto_stream.feed.frame_reader import FrameReader
from crypto_stream.feed.handler import (
    MAX_FRAME_BYTES,
    DepthChange,
    Event,
    Instrument,
    Moving,
    Reading,
    Refused,
    Reply,
    Request,
    Resync,
    Running,
    Wanted,
)
from crypto_stream.feed.retry_policy import Connected, RetryPolicy
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.sources import Source
from crypto_stream.feed.split import SplitSource
from crypto_stream.feed.subscriptions import bounded
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_NOT_NEEDED = "no book is wanted"
FULL = "no more of its books can be kept at once"
_BUG = "error in its handler, see the log"


class DepthSession:
    """One connection for books: requests those that are due, and applies what arrives."""

    def __init__(
        self, config: SessionConfig, address: str | None, books: Books, changed: Callable[[str], None]
    ) -> None:
        self.address = address
        self.connect_s = config.connect_s
        self.recorder: Recorder | None = None  # a recording is one connection
        self.running: Running = config
        self.error: VenueError | None = None
        self.received_ns: int | None = None  # since when it has received books
        self._config = config
        self._books = books
        self._changed = changed
        self._frames = FrameReader(config, ())
        self._connection: SessionConnection | None = None
        self._reader: Reading | None = None
        self._requested: dict[str, Wanted] = {}  # by symbol
        self._keys = Requested()
        self._throttle = LogThrottle()

    @property
    def by_id(self) -> Mapping[str, Instrument]:
        """The instruments by the venue's id."""
        return self._config.names.by_id

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments of the source."""
        return list(self.by_id.values())

    @property
    def counts(self) -> Counter[str]:
        """How many frames were received, by channel, on all connections of the source."""
        return self._config.counts

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many events of the source were dropped."""
        return self._config.book.dropped

    @property
    def is_needless(self) -> bool:
        """Whether it ends because no book is wanted, which says nothing about the venue."""
        return self.error is not None and str(self.error) == _NOT_NEEDED

    def opened(self, connection: SessionConnection | None) -> None:
        """Record that the connection is open."""

    def begin(self, connection: SessionConnection, reader: Reading) -> None:
        """Request the books over `connection`."""
        self._connection, self._reader = connection, reader
        if self.error:  # it ended while it was opened
            connection.abort(str(self.error))
        else:
            self.check(time.monotonic_ns())

    def sent(self, request: Request) -> None:
        """Ignore that a request was sent: what counts is whether its book arrives."""

    def take(self, event: Event) -> None:
        """Ignore events without a frame, which books never are."""

    def fail(self, error: VenueError) -> None:
        """Record why the session ends; the first reason counts, unless the venue asks us to wait."""
        if self.error is None or isinstance(error, RetryLaterError):
            self.error = error

    def end(self, reason: str) -> None:
        """End at once."""
        self.fail(VenueError(reason))
        if self._connection:
            self._connection.abort(reason)

    def check(self, now_ns: int) -> None:
        """Request the books that are due, unless earlier requests are still queued."""
        if self._connection and not self._connection.has_unsent and (due := self._books.due(now_ns)):
            self.cancel(due)
            wanted = self._named(due)
            self._requested.update(wanted)
            self._request("subscribe", list(wanted.values()))

    def cancel(self, symbols: Sequence[str]) -> None:
        """End the subscriptions to books, of those that were requested; their names may be gone by now."""
        cancelled = [self._requested.pop(symbol) for symbol in symbols if symbol in self._requested]
        self._request("unsubscribe", cancelled)

    def read(self, reader: Reading, frames: Sequence[bytes]) -> None:
        """Read frames that arrived together; one that cannot be read may have been a change of any book."""
        received_ns, counts = time.monotonic_ns(), self._config.counts
        for frame in frames:
            malformed = counts["malformed"]
            for event in self._frames.read(reader, frame):
                self._handle(event, received_ns)
            if counts["malformed"] != malformed:
                self._books.lose_all("a frame could not be read", received_ns)

    def _handle(self, event: Event, received_ns: int) -> None:
        if isinstance(event, DepthChange):
            self.received_ns = self.received_ns or received_ns
            if lost := self._books.take(event, received_ns):
                self._log_loss(event.instrument.symbol, lost)
            self._changed(event.instrument.symbol)
        elif isinstance(event, Resync) and event.instrument.symbol in self._books:
            self._books.lose(event.instrument.symbol, event.reason, received_ns)
            self._log_loss(event.instrument.symbol, event.reason)
            self._changed(event.instrument.symbol)
        elif isinstance(event, Refused):
            self._refuse(event)
        elif isinstance(event, Moving):
            self.end(event.reason)
        elif isinstance(event, Reply) and self._connection:
            self._connection.reply(event.text)

    def _refuse(self, event: Refused) -> None:
        """Note a refusal, of the books that its request was about; without a key it may be of any.

        A key that is not known is that of a cancellation: what was requested since then is not refused.
        """
        concerned = self._keys.of(event.key) if event.key else self._books.awaited()
        if event.instrument:
            symbol = event.instrument.symbol
            concerned = [symbol] if symbol in concerned or not event.key else ()
        for symbol in concerned:
            if event.key or event.instrument:
                self._requested.pop(symbol, None)  # there is no subscription to end
            self._books.refuse(symbol, f"refused: {event.reason}")
            self._changed(symbol)

    def _named(self, symbols: Sequence[str]) -> dict[str, Wanted]:
        """Return, by symbol, what to request of the venue; nothing of those whose id is not known."""
        by_id = self._config.names.by_id
        ids = {symbol: self._config.names.id_of(symbol) for symbol in symbols}
        return {symbol: Wanted(id_, by_id[id_], "depth") for symbol, id_ in ids.items() if id_ in by_id}

    def _request(self, verb: str, wanted: Sequence[Wanted]) -> None:
        """Queue the requests that the handler creates; a bug in it ends the session."""
        make = getattr(self._reader, verb, None)
        if not (wanted and make and self._connection):
            return
        try:
            requests = bounded(make, wanted, self._config.source.limits.request_bytes)
            if verb == "subscribe":
                for each in requests:
                    self._keys.note(each.keys, [self.by_id[one.id].symbol for one in each.wanted])
            self._connection.queue(requests)
        except Exception:
            log.exception("error in a handler", extra={"source": self._config.source.name})
            self.end(_BUG)

    def _log_loss(self, symbol: str, reason: str) -> None:
        if self._throttle.due(symbol):
            extra = {"source": self._config.source.name, "symbol": symbol, "reason": reason}
            log.warning("book lost, requested again", extra=extra)


class DepthFeed:
    """The wanted books of one source; `changed` is called with a symbol whenever its book changed."""

    def __init__(self, config: SessionConfig, prices: SplitSource, changed: Callable[[str], None]) -> None:
        """Share instruments and budget of attempts with `prices`; connect to nothing before `run`."""
        # The whole book of a busy instrument can have megabytes.
        limits = config.source.limits._replace(frame_bytes=MAX_FRAME_BYTES)
        self._config = config._replace(source=replace(config.source, limits=limits))
        self._changed = changed
        self._books = Books(config.ack_ns)
        self._carried = prices.carries  # a view: instruments come and go
        self._session: DepthSession | None = None
        self._wake = asyncio.Event()
        self._wanted: Collection[str] = ()
        self._left_over: Collection[str] = ()  # which the venue does not allow in addition
        self._retry = RetryPolicy(
            self._source.urls,
            prices.budget,
            first_host_retry_s=config.first_host_retry_ns / 1e9,
            now_s=time.monotonic(),
            chance=random.random,
        )

    @property
    def _source(self) -> Source:
        return self._config.source

    def want(self, symbols: Collection[str], now_ns: int) -> None:
        """Keep the books of those of these symbols that the source carries, and of no others.

        One whose id at the venue is not known yet is requested as soon as it is. If the venue allows fewer
        books, those that are kept already remain.
        """
        id_of = self._config.names.id_of
        wanted = [each for each in symbols if each in self._carried and id_of(each) is not None]
        most = self._source.limits.books or len(wanted)
        wanted.sort(key=lambda each: each not in self._books)
        self._wanted, self._left_over = wanted[:most], wanted[most:]
        gone = self._books.want(self._wanted, now_ns)
        if self._wanted:
            self._wake.set()
        if (session := self._session) is None:
            return
        if not self._wanted:
            session.end(_NOT_NEEDED)
            return
        session.cancel(gone)
        session.check(now_ns)

    def carries(self, symbol: str) -> bool:
        """Return whether the source carries an instrument."""
        return symbol in self._carried

    def known(self, symbol: str) -> Known | None:
        """Return the ladder of a symbol; None while it is unknown."""
        return self._books.known(symbol)

    def reason(self, symbol: str) -> str:
        """Return why there is no ladder."""
        return FULL if symbol in self._left_over else self._books.reason(symbol)

    def number(self, symbol: str) -> int:
        """Return a number that grows with each change of what is known of a symbol's book."""
        return self._books.number(symbol)

    def is_awaited(self, symbol: str) -> bool:
        """Return whether a book was requested, and neither came nor was refused."""
        return self._books.is_awaited(symbol)

    def lose(self, symbol: str, reason: str) -> None:
        """Forget a book that cannot be right, and request it again."""
        self._books.lose(symbol, reason, time.monotonic_ns())

    async def run(self) -> None:
        """Keep the connection open while a book is wanted, until cancelled."""
        while True:
            self._wake.clear()
            if not self._wanted:
                await self._wake.wait()
            elif (delay_s := self._retry.delay(time.monotonic())) > 0:
                await asyncio.sleep(delay_s)
            else:
                await self._connect()

    async def _connect(self) -> None:
        """Run one session to its end, and plan the next one."""
        address = self._retry.attempt(time.monotonic())
        session = self._session = DepthSession(self._config, address, self._books, self._changed)
        try:
            await self._source.run(session)
        except VenueError as error:
            session.fail(error)
        except Exception:
            log.exception("error in a handler", extra={"source": self._source.name})
            session.fail(VenueError(_BUG))
        finally:
            self._session = None
        self._ended(session, address)

    def _ended(self, session: DepthSession, address: str | None) -> None:
        error = session.error or VenueError("connection ended")
        now_ns = time.monotonic_ns()
        self._books.renew(AWAITED if session.is_needless else str(error), now_ns)
        for symbol in self._wanted:
            self._changed(symbol)
        if session.is_needless:  # even if books were wanted again meanwhile
            return
        live_s = 0.0 if session.received_ns is None else (now_ns - session.received_ns) / 1e9
        connected = Connected(live_s, session.received_ns is not None)
        self._retry.failed(address, error, now_ns / 1e9, connected)
        log.info("books lost", extra={"source": self._source.name, "reason": str(error)})
