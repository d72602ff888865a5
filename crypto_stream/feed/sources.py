"""The kinds of sources: a venue on WebSockets, one polled over REST, a generator, a recording.

Each is a handler with its settings, and can run one session of itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import ClassVar, NamedTuple, Protocol

import httpx
import msgspec

from crypto_stream.errors import MalformedFrame, VenueError
from crypto_stream.feed.connection import Recorder, SessionConnection, open_connection
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
    """One session, as used by `Source.run`."""

    address: str | None

    @property
    def connect_s(self) -> float:
        """How many seconds opening a connection may take."""

    @property
    def recorder(self) -> Recorder | None:
        """The recorder of the frames, if there is one."""

    @property
    def running(self) -> Running:
        """What a generator may use of the session."""

    @property
    def by_id(self) -> Mapping[str, Instrument]:
        """The instruments of the session by the venue's id."""

    @property
    def instruments(self) -> Sequence[Instrument]:
        """The instruments of the session."""

    @property
    def counts(self) -> Counter[str]:
        """How many frames were received, by channel."""

    @property
    def dropped(self) -> Mapping[str, int]:
        """How many events were dropped, by reason or channel."""

    def opened(self, connection: SessionConnection | None) -> None:
        """Record that data may arrive from now on."""

    def begin(self, connection: SessionConnection, reader: Reading) -> None:
        """Subscribe over `connection`."""

    def sent(self, request: Request) -> None:
        """Record that a request was sent."""

    def read(self, reader: Reading, frames: Sequence[bytes]) -> None:
        """Read frames that arrived together."""

    def take(self, event: Event) -> None:
        """Handle one event."""

    def fail(self, error: VenueError) -> None:
        """Record why the session ends."""


class Rest(NamedTuple):
    """A venue's REST interface at `url`: its list of instruments, older bars, and 24 h volumes."""

    url: str
    instruments: Callable[[httpx.AsyncClient], Awaitable[list[Listed]]] | None = None
    candles: Callable[[httpx.AsyncClient, str, str], Awaitable[list[Bar]]] | None = None
    volumes: Callable[[httpx.AsyncClient], Awaitable[Mapping[str, str]]] | None = None


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """What all kinds of sources have.

    `location` is the handler's file, `carries` are its own instruments (None: the configured pairs),
    `without` symbols excluded by a setting, `names` its names of our currencies. A recording is not
    `is_real_time`: its times are in the past. A source that `can_move` can have two sessions at once; one
    that `sends_list` does so over its connection, so the list is not known before.
    """

    is_real_time: ClassVar[bool] = True
    can_move: ClassVar[bool] = True
    max_retry_s: ClassVar[float] = 60.0  # between two attempts
    sends_list: ClassVar[bool] = False

    name: str
    location: str
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
        """Return the source's id of a pair; None if it is known only from its list."""
        return pair.symbol

    async def run(self, session: Session) -> None:
        """Run one session to its end; raise VenueError unless the end is a regular one."""
        raise NotImplementedError


class Venue(Source, frozen=True, kw_only=True):
    """A venue on WebSockets: a reader for each connection to one of `urls`.

    `gives_depth`: its reader also reads books, the topic `depth`.
    """

    reader: Callable[[Mapping[str, Instrument]], Reading]
    identify: Callable[[Instrument], str | None]
    pair_of: Callable[[str], tuple[str, str] | None]
    opening: Callable[[httpx.AsyncClient, Mapping[str, str]], Awaitable[Opening]] | None = None
    gives_depth: bool = False

    def venue_id(self, pair: Instrument) -> str | None:
        """Return the venue's id of a pair; None if it is known only from its list."""
        return self.identify(pair)

    async def run(self, session: Session) -> None:
        """Connect, subscribe, and read until the connection ends."""
        assert session.address is not None
        opening = await self._opening(session.connect_s)
        async with (
            open_connection(
                session.address,
                opening,
                self.limits,
                connect_s=session.connect_s,
                sent=session.sent,
                recorder=session.recorder,
            ) as connection,
            asyncio.TaskGroup() as tasks,
        ):
            session.opened(connection)
            sender = tasks.create_task(connection.run(is_welcomed=opening.is_welcomed))
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
    """A venue that is polled over REST."""

    every_s: float
    poll: Callable[[httpx.AsyncClient, Mapping[str, Instrument]], Awaitable[list[Event]]]
    identify: Callable[[Instrument], str | None]

    def venue_id(self, pair: Instrument) -> str | None:
        """Return the venue's id of a pair; None if it is known only from its list."""
        return self.identify(pair)

    async def run(self, session: Session) -> None:
        """Poll every `every_s` seconds; a failure ends the session."""
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
    """A handler that generates its own events."""

    events: Callable[[Running, Sequence[Instrument]], AsyncGenerator[Event]]

    async def run(self, session: Session) -> None:
        """Handle the events that it generates."""
        session.opened(None)
        async with aclosing(self.events(session.running, session.instruments)) as events:
            async for event in events:
                session.take(event)
        raise VenueError("the handler ended by itself")


class Recording(Source, frozen=True, kw_only=True):
    """A venue's recorded frames, read by its own reader; ends at the end of the file."""

    is_real_time: ClassVar[bool] = False
    can_move: ClassVar[bool] = False

    venue: Venue
    file: Path
    speed: Speed

    def scan(self) -> list[Instrument]:
        """List the instruments with data in it; raise RecordingError if there are none."""
        return instruments_of(self.file, self.venue.name, self.venue.reader, self._discovered())

    async def run(self, session: Session) -> None:
        """Replay the whole file."""
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
