"""The books of one source, over a connection of its own, which is open while any of them is wanted.

Prices do not depend on it: a book is a burst of large frames, and its loss, refusal or silence says nothing
about the connection for prices.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from msgspec.structs import replace

from crypto_stream.errors import VenueError
from crypto_stream.feed.books import Books, Known
from crypto_stream.feed.connection import Connection, Recorder
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
from crypto_stream.feed.retry_policy import ConnectBudget, Connected, RetryPolicy
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.sources import Source
from crypto_stream.feed.subscriptions import bounded
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_NOT_NEEDED = "no book is wanted"


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
        self._carried = {each.symbol: each for each in config.carried}
        self._connection: Connection | None = None
        self._reader: Reading | None = None
        self._requested: set[str] = set()
        self._throttle = LogThrottle()

    @property
    def by_id(self) -> Mapping[str, Instrument]:
        """The instruments by the venue's id."""
        return self._config.names.by_id

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments of the source."""
        return self._config.carried

    def opened(self, connection: Connection | None) -> None:
        """Record that the connection is open."""

    def begin(self, connection: Connection, reader: Reading) -> None:
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
        """Record why the session ends; the first reason counts."""
        self.error = self.error or error

    def end(self, reason: str) -> None:
        """End at once."""
        self.fail(VenueError(reason))
        if self._connection:
            self._connection.abort(reason)

    def check(self, now_ns: int) -> None:
        """Request the books that are due, unless earlier requests are still queued."""
        if self._connection and not self._connection.has_unsent and (due := self._books.due(now_ns)):
            self.cancel(due)
            self._requested.update(due)
            self._request("subscribe", due)

    def cancel(self, symbols: Sequence[str]) -> None:
        """End the subscriptions to books, of those that were requested."""
        self._request("unsubscribe", [symbol for symbol in symbols if symbol in self._requested])
        self._requested.difference_update(symbols)

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
        elif isinstance(event, Resync):
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
        """Note a refusal; one that names no instrument may be of any book that was requested."""
        named = [event.instrument.symbol] if event.instrument else self._books.awaited()
        for symbol in named:
            self._books.refuse(symbol, f"refused: {event.reason}")
            self._changed(symbol)

    def _request(self, verb: str, symbols: Sequence[str]) -> None:
        make = getattr(self._reader, verb, None)
        wanted = [
            Wanted(named, self._carried[symbol], "depth")
            for symbol in symbols
            if (named := self._config.names.id_of(symbol)) is not None
        ]
        if wanted and make and self._connection:
            self._connection.queue(bounded(make, wanted, self._config.source.limits.request_bytes))

    def _log_loss(self, symbol: str, reason: str) -> None:
        if self._throttle.due(symbol):
            extra = {"source": self._config.source.name, "symbol": symbol, "reason": reason}
            log.warning("book lost, requested again", extra=extra)


class DepthFeed:
    """The wanted books of one source; `changed` is called with a symbol whenever its book changed."""

    def __init__(self, config: SessionConfig, budget: ConnectBudget, changed: Callable[[str], None]) -> None:
        """Share the `budget` of attempts with the connections for prices; connect to nothing before `run`."""
        # The whole book of a busy instrument can have megabytes.
        limits = config.source.limits._replace(frame_bytes=MAX_FRAME_BYTES)
        self._config = config._replace(source=replace(config.source, limits=limits))
        self._changed = changed
        self._books = Books(config.ack_ns)
        self._carried = {each.symbol for each in config.carried}
        self._session: DepthSession | None = None
        self._wake = asyncio.Event()
        self._wanted: Collection[str] = ()
        self._retry = RetryPolicy(
            self._source.urls,
            budget,
            first_host_retry_s=config.first_host_retry_ns / 1e9,
            now_s=time.monotonic(),
            chance=random.random,
        )

    @property
    def _source(self) -> Source:
        return self._config.source

    def want(self, symbols: Collection[str], now_ns: int) -> None:
        """Keep the books of those of these symbols that the source carries, and of no others."""
        self._wanted = [symbol for symbol in symbols if symbol in self._carried]
        gone = self._books.want(self._wanted, now_ns)
        if self._wanted:
            self._wake.set()
        if (session := self._session) is None:
            return
        if not self._wanted:
            session.end(_NOT_NEEDED)
            return
        if gone:
            session.cancel(gone)
        session.check(now_ns)

    def known(self, symbol: str) -> Known | None:
        """Return the ladder of a symbol; None while it is unknown."""
        return self._books.known(symbol)

    def reason(self, symbol: str) -> str:
        """Return why there is no ladder."""
        return self._books.reason(symbol)

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
            session.fail(VenueError("error in its handler, see the log"))
        finally:
            self._session = None
        self._ended(session, address)

    def _ended(self, session: DepthSession, address: str | None) -> None:
        error = session.error or VenueError("connection ended")
        now_ns = time.monotonic_ns()
        self._books.renew(str(error), now_ns)
        for symbol in self._wanted:
            self._changed(symbol)
        if not self._wanted:
            return
        live_s = 0.0 if session.received_ns is None else (now_ns - session.received_ns) / 1e9
        connected = Connected(live_s, session.received_ns is not None)
        self._retry.failed(address, error, now_ns / 1e9, connected)
        log.info("books lost", extra={"source": self._source.name, "reason": str(error)})
