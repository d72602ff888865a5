"""The books of one source, over a connection of its own, which is open while any of them is wanted.

Prices do not depend on it: a book is a burst of large frames, and its loss, refusal or silence says nothing
about the connection for prices.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Collection, Container

from msgspec.structs import replace

from crypto_stream.errors import VenueError
from crypto_stream.feed.books import AWAITED, Books, Known
from crypto_stream.feed.depth_session import BUG, NOT_NEEDED, DepthSession
from crypto_stream.feed.handler import MAX_FRAME_BYTES
from crypto_stream.feed.retry_policy import Connected, RetryPolicy
from crypto_stream.feed.session_config import SessionConfig
from crypto_stream.feed.sources import Source
from crypto_stream.feed.split import SplitSource

log = logging.getLogger(__name__)

FULL = "no more of its books can be kept at once"


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

    def want(self, symbols: Collection[str], now_ns: int, watched: Container[str] = ()) -> None:
        """Keep the books of those of these symbols that the source carries, and of no others.

        One whose id at the venue is not known yet is requested as soon as it is. If the venue allows fewer
        books, those of `watched` symbols come first, then those that are kept already.
        """
        id_of = self._config.names.id_of
        wanted = [each for each in symbols if each in self._carried and id_of(each) is not None]
        most = self._source.limits.books or len(wanted)
        wanted.sort(key=lambda each: (each not in watched, each not in self._books))
        self._wanted, self._left_over = wanted[:most], wanted[most:]
        gone = self._books.want(self._wanted, now_ns)
        if self._wanted:
            self._wake.set()
            if self._session is not None:
                self._session.cancel(gone)
        self.check(now_ns)

    def check(self, now_ns: int) -> None:
        """Request the books that are due, or end a connection that is not needed: several times a second."""
        if self._session is None:
            return
        if self._wanted:
            self._session.check(now_ns)
        else:
            self._session.end(NOT_NEEDED)

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
        """Return whether a book was requested, and neither came nor was refused.

        Nothing is awaited while the next attempt to connect must wait.
        """
        is_tried = self._session is not None or self._retry.delay(time.monotonic()) <= 0
        return is_tried and self._books.is_awaited(symbol)

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
            session.fail(VenueError(BUG))
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
