"""`bridge:NAME` as a source: it listens, and one session is the connection of one bridge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from crypto_stream.errors import VenueError
from crypto_stream.feed.bridge import messages
from crypto_stream.feed.bridge.connection import BridgeConnection
from crypto_stream.feed.bridge.lines import LineRate
from crypto_stream.feed.bridge.place import Place
from crypto_stream.feed.bridge.reader import MOST_UNREADABLE, BridgeReader
from crypto_stream.feed.bridge.reception import Expected, Reception
from crypto_stream.feed.handler import Instrument, ListReceived
from crypto_stream.feed.sources import Session, Source


class Bridge(Source, frozen=True, kw_only=True):
    """A program that connects to `place`; `command` starts it, if the supervisor is to do so.

    Python finds a program of ours in the folder `search_path`. A bridge cannot be connected to, only waited
    for: there is no moving to another connection, and waiting again costs nothing.
    """

    can_move: ClassVar[bool] = False
    max_retry_s: ClassVar[float] = 5.0
    sends_list: ClassVar[bool] = True

    place: Place
    expected: Expected
    command: Sequence[str] = ()
    search_path: str = ""

    @property
    def environment(self) -> Mapping[str, str]:
        """What its command is told: where to connect, and as whom."""
        told = {
            "BRIDGE_ADDRESS": self.place.address,
            "BRIDGE_NAME": self.expected.name,
            "BRIDGE_TOKEN": self.expected.token,
        }
        return {**told, "PYTHONPATH": self.search_path} if self.search_path else told

    def venue_id(self, pair: Instrument) -> str | None:
        """Return None: ids are known only from the bridge's list."""
        return None

    async def run(self, session: Session) -> None:
        """Wait for the bridge, and read what it sends until its connection ends."""
        listener = self.place.bind()
        inode = self.place.inode()
        try:
            async with asyncio.TaskGroup() as tasks:
                reception = Reception(self.name, self.expected, session, tasks)
                server = await self.place.serve(listener, reception.connected)
                try:
                    await self._converse(session, reception, tasks)
                except VenueError as error:
                    session.fail(error)
                finally:
                    server.close()
                    reception.close()
        finally:
            self.place.release(listener, inode)

    async def _converse(self, session: Session, reception: Reception, tasks: asyncio.TaskGroup) -> None:
        connection, listed = await reception.arrival(session.connect_s, self.place.shown)
        session.take(ListReceived(tuple(listed)))
        session.opened(connection)
        reader = BridgeReader(session.by_id)
        session.begin(connection, reader)
        watching = tasks.create_task(connection.watch(session.dropped))
        try:
            rate = LineRate(messages.ANNOUNCEMENTS_PER_S)
            await connection.read(partial(_read, session, connection, reader, rate))
        finally:
            watching.cancel()


def _read(
    session: Session,
    connection: BridgeConnection,
    reader: BridgeReader,
    rate: LineRate,
    lines: Sequence[bytes],
) -> None:
    before = reader.announcements
    session.read(reader, lines)
    for error in reader.take_errors():
        connection.error(error.code, error.reason)
    if reader.unreadable >= MOST_UNREADABLE:
        connection.end("unreadable", f"{MOST_UNREADABLE} lines in a row cannot be read")
    if rate.exceeds(reader.announcements - before, time.monotonic()):
        most = messages.ANNOUNCEMENTS_PER_S
        connection.end("too_fast", f"more than {most:,} lists and statuses in a second")
