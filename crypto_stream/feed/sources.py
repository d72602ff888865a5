"""The kinds of source: a venue on WebSockets, one asked over REST, a generator, a recording.

Each is a handler with its settings, and knows how to run one session of itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

import httpx
import msgspec

from crypto_stream.errors import MalformedFrame, VenueError
from crypto_stream.feed.connection import Connection, Recorder, open_connection
from crypto_stream.feed.handler import (
    Bar,
    Event,
    Instrument,
    Limits,
    Listed,
    Opening,
    Reading,
    Request,
    Rules,
    Running,
)
from crypto_stream.feed.names import Discovered
from crypto_stream.feed.recordings import Speed, instruments_of, play
from crypto_stream.feed.rest import rest_client


class Session(Protocol):
    """One session of a source, as the source's `run` uses it."""

    address: str | None

    @property
    def connect_s(self) -> float:
        """Seconds that a connection may take."""

    @property
    def recorder(self) -> Recorder | None:
        """Who keeps the frames."""

    @property
    def running(self) -> Running:
        """What a generator may know of the session."""

    @property
    def by_id(self) -> Mapping[str, Instrument]:
        """What the session carries, by the venue's id."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """What the session carries."""

    def opened(self, connection: Connection | None) -> None:
        """Take note that data may come from now on."""

    def begin(self, connection: Connection, reader: Reading) -> None:
        """Subscribe."""

    def sent(self, request: Request) -> None:
        """Take note that a request went out."""

    def read(self, reader: Reading, frames: Sequence[bytes]) -> None:
        """Read frames that came together."""

    def take(self, event: Event) -> None:
        """Take one event."""

    def fail(self, error: VenueError) -> None:
        """Take note why the session ends."""


class Rest(NamedTuple):
    """A venue's REST interface at `url`: what it lists, and the bars of before we came."""

    url: str
    instruments: Callable[[httpx.AsyncClient], Awaitable[list[Listed]]] | None = None
    candles: Callable[[httpx.AsyncClient, str, str], Awaitable[list[Bar]]] | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What every kind of source has.

    `found` is the file of the handler, `carries` what it brings itself (None: the configured pairs).
    `without` are symbols that a person took from it, `names` what it calls our currencies. `of_now` says that
    its times are those of now, unlike a recording's.
    """

    of_now: ClassVar[bool] = True

    name: str
    found: str
    carries: Sequence[Instrument] | None = None
    synthetic: bool = False
    rules: Mapping[str, Rules] = MappingProxyType({})
    options: Mapping[str, str] = MappingProxyType({})
    without: frozenset[str] = frozenset()
    names: Mapping[str, str] = MappingProxyType({})
    limits: Limits = Limits()
    rest: Rest | None = None
    urls: Sequence[str] = ()
    busy: str | None = None

    def venue_id(self, pair: Instrument) -> str | None:
        """Return what the source calls a pair; None where only its list knows."""
        return pair.symbol

    async def run(self, session: Session) -> None:
        """Run one session to its end; VenueError says why it ended, where it should not."""
        raise NotImplementedError


class Venue(Source, frozen=True, kw_only=True):
    """A venue on WebSockets: a reader for each connection to one of `urls`."""

    reader: Callable[[Mapping[str, Instrument]], Reading]
    identify: Callable[[Instrument], str | None]
    pair_of: Callable[[str], tuple[str, str] | None]
    opening: Callable[[httpx.AsyncClient, Mapping[str, str]], Awaitable[Opening]] | None = None

    def venue_id(self, pair: Instrument) -> str | None:
        """Return what the venue calls a pair; None where only its list knows."""
        return self.identify(pair)

    async def run(self, session: Session) -> None:
        """Connect, subscribe, and read until the connection ends."""
        assert session.address is not None
        async with (
            open_connection(
                session.address,
                await self._opening(session.connect_s),
                self.limits,
                connect_s=session.connect_s,
                sent=session.sent,
                recorder=session.recorder,
            ) as connection,
            asyncio.TaskGroup() as tasks,
        ):
            session.opened(connection)
            sender = tasks.create_task(connection.run())
            reader = self.reader(session.by_id)
            session.begin(connection, reader)
            try:
                await connection.read(partial(session.read, reader))
            except VenueError as error:
                session.fail(error)
            finally:
                sender.cancel()

    async def _opening(self, connect_s: float) -> Opening:
        if self.opening is None:
            return Opening("/")
        url = self.rest.url if self.rest else ""
        try:
            async with asyncio.timeout(connect_s), rest_client(url) as http:
                return await self.opening(http, self.options)
        except (httpx.HTTPError, MalformedFrame, TimeoutError) as error:
            raise VenueError(f"no opening: {str(error) or type(error).__name__}") from None


class Poller(Source, frozen=True, kw_only=True):
    """A venue that is asked over REST, every so many seconds."""

    every_s: float
    poll: Callable[[httpx.AsyncClient, Mapping[str, Instrument]], Awaitable[list[Event]]]
    identify: Callable[[Instrument], str | None]

    def venue_id(self, pair: Instrument) -> str | None:
        """Return what the venue calls a pair; None where only its list knows."""
        return self.identify(pair)

    async def run(self, session: Session) -> None:
        """Ask one round after the other; the first one that fails ends the session."""
        assert self.rest is not None
        async with rest_client(self.rest.url) as http:
            session.opened(None)
            while True:
                began = time.monotonic()
                try:
                    events = await self.poll(http, session.by_id)
                except (httpx.HTTPError, MalformedFrame) as error:
                    raise VenueError(str(error) or type(error).__name__) from None
                for event in events:
                    session.take(event)
                await asyncio.sleep(max(0.0, began + self.every_s - time.monotonic()))


class Generator(Source, frozen=True, kw_only=True):
    """A handler that makes its events itself."""

    events: Callable[[Running, Sequence[Instrument]], AsyncGenerator[Event]]

    async def run(self, session: Session) -> None:
        """Take what it makes."""
        session.opened(None)
        async with aclosing(self.events(session.running, session.instruments)) as events:
            async for event in events:
                session.take(event)
        raise VenueError("the handler ended by itself")


class Recording(Source, frozen=True, kw_only=True):
    """A venue's frames, read out of a file by its own reader; it ends with them."""

    of_now: ClassVar[bool] = False

    venue: Venue
    file: Path
    speed: Speed

    def scan(self) -> list[Instrument]:
        """List the instruments it has data of; RecordingError where there are none."""
        return instruments_of(self.file, self.venue.name, self.venue.reader, self._discovered())

    async def run(self, session: Session) -> None:
        """Read all of it."""
        session.opened(None)
        carried = {each.symbol: each for each in session.instruments}
        discovered = self._discovered(carried)
        reader = self.venue.reader(discovered)
        async with aclosing(play(self.file, self.speed)) as frames:
            async for frame in frames:
                if frame is None:  # a new connection began here
                    reader = self.venue.reader(discovered)
                else:
                    session.read(reader, [frame])

    def _discovered(self, carried: Mapping[str, Instrument] = MappingProxyType({})) -> Discovered:
        return Discovered(self.venue.pair_of, self.names, carried)
