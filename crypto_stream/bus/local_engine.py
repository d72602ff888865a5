"""The engine's end of the bus on a single machine: a server on a Unix socket."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from crypto_stream.addresses import make_private_folder
from crypto_stream.bus.answering import answer
from crypto_stream.bus.codec import decode_to_engine
from crypto_stream.bus.frames import Splitter, encode_frame
from crypto_stream.bus.interface import Backend
from crypto_stream.bus.messages import BusRequest, ToGateway, TopicUpdate
from crypto_stream.bus.orders import OrderCommands, OrderMessages
from crypto_stream.errors import BusError, UsageError
from crypto_stream.log_throttle import TroubleLog

log = logging.getLogger(__name__)

# With more unsent bytes than this a gateway gets no state messages, but a Snapshot once it has caught up,
# followed by the newest skipped update of each key of a topic.
_MAX_UNSENT_STATE = 4 * 1024 * 1024
# With more unsent bytes than this, order messages, which are never skipped, are held back by their sender.
_MAX_UNSENT_ORDERS = 1024 * 1024
_READ_BYTES = 256 * 1024
_CHECK_S = 1.0  # interval of checking that the socket still exists


class LocalEnginePort:
    """The engine's end: serves gateways on a Unix socket. Use as `async with`.

    Each gateway's unsent bytes are bounded: beyond the bound, state is skipped; once the gateway has caught
    up it is replaced by one Snapshot and the newest update of each key of a topic. Answers are never skipped,
    nor are order messages: beyond `max_unsent` bytes their sender holds them back. A gateway's messages are
    read at once, however many of its requests are being processed.
    """

    def __init__(self, path: Path, backend: Backend, max_unsent: int = _MAX_UNSENT_ORDERS) -> None:
        """Serve `backend` at `path`, replacing a socket that a dead engine left there."""
        self._path = path
        self._max_unsent = max_unsent
        self._backend = backend
        self._links: dict[str, _Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._own_inode: int | None = None
        self._trouble = TroubleLog(
            log, "the bus's socket cannot be created", level=logging.ERROR, each_reason=True
        )

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def run(self) -> None:
        """Touch the socket file, lest cleaners of temporary files delete it, and recreate it if they did."""
        while True:
            await asyncio.sleep(_CHECK_S)
            try:
                if self._inode() == self._own_inode:
                    os.utime(self._path)
                    os.utime(self._path.parent)
                    continue
                self._server.close()
                await self._listen()
                log.warning("the bus's socket was deleted and has been recreated", extra={"path": self._path})
            except (OSError, UsageError) as error:
                self._trouble.fails(str(error))

    async def _listen(self) -> None:
        make_private_folder(self._path.parent)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)
        self._own_inode = self._inode()
        self._trouble.works()

    def _inode(self) -> int | None:
        try:
            return self._path.lstat().st_ino
        except OSError:
            return None

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for link in self._links.values():
            link.writer.transport.abort()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._path.unlink(missing_ok=True)

    def publish(self, message: ToGateway) -> None:
        """Queue `message` for all gateways."""
        if self._links:
            frame = encode_frame(message)
            for link in self._links.values():
                link.push(frame)

    def send_topic(self, gateways: Sequence[str], update: TopicUpdate) -> None:
        """Queue an update for those gateways that have not disconnected."""
        if links := [link for gateway in gateways if (link := self._links.get(gateway))]:
            frame = encode_frame(update)
            for link in links:
                link.push_topic((update.topic, update.key), frame)

    def send_orders(self, gateway: str, messages: OrderMessages) -> bool:
        """Queue order messages for one gateway, never skipped; if False, stop until it has drained."""
        link = self._links.get(gateway)
        return link is None or link.send_orders(encode_frame(messages))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        name = f"link-{next(self._numbers)}"
        link = self._links[name] = _Link(name, writer, self._backend, self._max_unsent)
        log.info("gateway connected to the bus", extra={"link": name})
        try:
            link.push_snapshot()
            async with asyncio.TaskGroup() as tasks:
                background = [
                    tasks.create_task(link.snapshot_when_drained()),
                    tasks.create_task(link.report_when_drained()),
                ]
                await self._read(name, reader, link, tasks)
                for each in background:
                    each.cancel()
        except* (OSError, BusError) as group:
            log.warning("gateway dropped", extra={"link": name, "reason": str(group.exceptions[0])})
        finally:
            del self._links[name]
            self._backend.left(name)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            log.info("gateway left the bus", extra={"link": name})

    async def _read(
        self, name: str, reader: asyncio.StreamReader, link: _Link, tasks: asyncio.TaskGroup
    ) -> None:
        splitter = Splitter()
        running = 0

        async def respond(request: BusRequest) -> None:
            nonlocal running
            running += 1
            try:
                link.write(encode_frame(await answer(self._backend, name, request, running)))
            finally:
                running -= 1

        while data := await reader.read(_READ_BYTES):
            for body in splitter.feed(data):
                message = decode_to_engine(body)
                if isinstance(message, OrderCommands):
                    self._backend.orders(name, message.commands)
                    continue
                tasks.create_task(respond(message))


class _Link:
    """One connected gateway, seen from the engine."""

    def __init__(self, name: str, writer: asyncio.StreamWriter, backend: Backend, max_unsent: int) -> None:
        self.writer = writer
        self._transport = writer.transport
        self._name = name
        self._backend = backend
        self._max_unsent = max_unsent
        self._skipping_state = asyncio.Event()
        self._skipped: dict[tuple[str, str], bytes] = {}  # the newest update of each key of a topic
        self._holding_orders = asyncio.Event()
        self._transport.set_write_buffer_limits(high=64 * 1024)

    def write(self, frame: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(frame)

    def push(self, frame: bytes) -> None:
        if not self._skips():
            self.write(frame)

    def push_topic(self, key: tuple[str, str], frame: bytes) -> None:
        if self._skips():
            self._skipped[key] = frame
        else:
            self.write(frame)

    def send_orders(self, frame: bytes) -> bool:
        self.write(frame)
        if self._transport.get_write_buffer_size() > self._max_unsent:
            self._holding_orders.set()
        return not self._holding_orders.is_set()

    def push_snapshot(self) -> None:
        self.write(encode_frame(self._backend.snapshot()))

    async def snapshot_when_drained(self) -> None:
        while True:
            await self._skipping_state.wait()
            await self.writer.drain()
            self._skipping_state.clear()
            self.push_snapshot()
            skipped, self._skipped = self._skipped, {}
            for frame in skipped.values():
                self.write(frame)

    async def report_when_drained(self) -> None:
        while True:
            await self._holding_orders.wait()
            await self.writer.drain()
            self._holding_orders.clear()
            self._backend.drained(self._name)

    def _skips(self) -> bool:
        """Return whether the state must be skipped now."""
        if not self._skipping_state.is_set() and self._transport.get_write_buffer_size() > _MAX_UNSENT_STATE:
            self._skipping_state.set()
            log.warning("a gateway reads too slowly; it will get a new snapshot when it has caught up")
        return self._skipping_state.is_set()
