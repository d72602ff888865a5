"""One connection for the books of a source: which are requested over it, and what arrives."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.books import Books, Requested
from crypto_stream.feed.connection import Recorder, SessionConnection
from crypto_stream.feed.frame_reader import FrameReader
from crypto_stream.feed.handler import (
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
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.subscriptions import bounded
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

NOT_NEEDED = "no book is wanted"
BUG = "error in its handler, see the log"


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
        return self.error is not None and str(self.error) == NOT_NEEDED

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
                    self._keys.note(each.keys, [one.instrument.symbol for one in each.wanted])
            self._connection.queue(requests)
        except Exception:
            log.exception("error in a handler", extra={"source": self._config.source.name})
            self.end(BUG)

    def _log_loss(self, symbol: str, reason: str) -> None:
        if self._throttle.due(symbol):
            extra = {"source": self._config.source.name, "symbol": symbol, "reason": reason}
            log.warning("book lost, requested again", extra=extra)
