"""The engine's end of the bus on one machine: a Unix socket that it serves."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from crypto_stream.addresses import own_folder
from crypto_stream.bus.codec import decode_to_engine, encode_value
from crypto_stream.bus.frames import Splitter, encode_frame
from crypto_stream.bus.interface import Backend
from crypto_stream.bus.messages import Answer, GetHistory, Request, ToGateway
from crypto_stream.bus.orders import OrderCommands, OrderNews
from crypto_stream.errors import BusError, RefusedError, UsageError

log = logging.getLogger(__name__)

# Bytes a gateway may leave unread before state messages are skipped for it (it gets a Snapshot instead).
_BEHIND_BYTES = 4 * 1024 * 1024
# Bytes a gateway may leave unread before order news, which are never skipped, wait at their sender.
_UNREAD_NEWS_BYTES = 1024 * 1024
# Requests of one gateway under way at once, most of them for the history; further ones are refused. Nothing
# waits in the socket: behind it could be an order.
_AT_ONCE = 256
# Share of a request's time that the engine may use: the rest is for the way back.
_OURS = 0.9
_READ_BYTES = 256 * 1024
_LOOK_S = 1.0  # between two looks whether the socket is still there


class LocalEnginePort:
    """The engine's end: serve gateways on a Unix socket. Use as `async with`.

    Each gateway's unsent bytes are bounded: past the bound state is skipped and, when it has drained,
    replaced by one Snapshot. Answers are never skipped. Nor are order news: past `most_unread` bytes they
    wait at their sender until the gateway has read. What it sends is read at once, however many of its
    requests are under way.
    """

    def __init__(self, path: Path, backend: Backend, most_unread: int = _UNREAD_NEWS_BYTES) -> None:
        """Serve `backend` at `path`; a socket left there by a dead engine is replaced."""
        self._path = path
        self._most_unread = most_unread
        self._backend = backend
        self._links: dict[str, _Link] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._numbers = itertools.count(1)
        self._own: int | None = None
        self._complaint = ""

    async def __aenter__(self) -> Self:
        await self._listen()
        return self

    async def keep(self) -> None:
        """Keep the socket where gateways look for it, for ever: cleaners of temporary files may delete it.

        They leave alone what was touched lately.
        """
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                if self._inode() == self._own:
                    os.utime(self._path)
                    os.utime(self._path.parent)
                    continue
                self._server.close()
                await self._listen()
                log.warning("the socket of the bus was gone and is made anew", extra={"path": self._path})
            except (OSError, UsageError) as error:
                if str(error) != self._complaint:  # told once: it is tried again each second
                    self._complaint = str(error)
                    log.error("the socket of the bus cannot be made", extra={"reason": str(error)})

    async def _listen(self) -> None:
        own_folder(self._path.parent)
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path)
        self._path.chmod(0o600)
        self._own = self._inode()
        self._complaint = ""

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
        """Hand `message` to every gateway without waiting."""
        if self._links:
            frame = encode_frame(message)
            for link in self._links.values():
                link.push(frame)

    def send(self, gateway: str, message: ToGateway) -> None:
        """Hand `message` to one gateway; nothing happens when it has left."""
        if link := self._links.get(gateway):
            link.push(encode_frame(message))

    def tell(self, gateway: str, news: OrderNews) -> bool:
        """Hand order news to one gateway, never skipped; False: give no more before it has read."""
        link = self._links.get(gateway)
        return link is None or link.tell(encode_frame(news))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        name = f"link-{next(self._numbers)}"
        link = self._links[name] = _Link(name, writer, self._backend, self._most_unread)
        log.info("gateway connected to the bus", extra={"link": name})
        try:
            link.push_snapshot()
            async with asyncio.TaskGroup() as tasks:
                waiting = [
                    tasks.create_task(work)
                    for work in (link.refresh_when_drained(), link.tell_when_drained())
                ]
                await self._read(name, reader, link, tasks)
                for task in waiting:
                    task.cancel()
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
        under_way = 0

        async def work(request: Request) -> None:
            nonlocal under_way
            under_way += 1
            try:
                link.write(encode_frame(await self._answer(name, request, under_way > _AT_ONCE)))
            finally:
                under_way -= 1

        while data := await reader.read(_READ_BYTES):
            for body in splitter.feed(data):
                message = decode_to_engine(body)
                if isinstance(message, OrderCommands):
                    self._backend.orders(name, message.commands)
                    continue
                tasks.create_task(work(message))

    async def _answer(self, name: str, request: Request, crowded: bool) -> Answer:
        try:
            if crowded and isinstance(request.ask, GetHistory):
                raise RefusedError("busy", "the engine is asked too much of the history at once")
            async with asyncio.timeout(request.within_s * _OURS):
                value = await self._backend.answer(name, request.ask)
            return Answer(request.id, encode_value(value))
        except RefusedError as refused:
            return Answer(request.id, code=refused.code, reason=str(refused))
        except TimeoutError:
            return Answer(request.id, code="busy", reason="the engine has too much to do to answer in time")


class _Link:
    """One connected gateway, seen from the engine."""

    def __init__(self, name: str, writer: asyncio.StreamWriter, backend: Backend, most_unread: int) -> None:
        self.writer = writer
        self._name = name
        self._backend = backend
        self._most_unread = most_unread
        self._behind = asyncio.Event()
        self._unread = asyncio.Event()
        writer.transport.set_write_buffer_limits(high=64 * 1024)

    def write(self, frame: bytes) -> None:
        if not self.writer.is_closing():
            self.writer.write(frame)

    def push(self, frame: bytes) -> None:
        if self._behind.is_set():
            return
        if self.writer.transport.get_write_buffer_size() > _BEHIND_BYTES:
            self._behind.set()
            log.warning("a gateway reads too slowly; it gets a new snapshot when it has caught up")
            return
        self.write(frame)

    def tell(self, frame: bytes) -> bool:
        self.write(frame)
        if self.writer.transport.get_write_buffer_size() > self._most_unread:
            self._unread.set()
        return not self._unread.is_set()

    def push_snapshot(self) -> None:
        self.write(encode_frame(self._backend.snapshot()))

    async def refresh_when_drained(self) -> None:
        while True:
            await self._behind.wait()
            await self.writer.drain()
            self._behind.clear()
            self.push_snapshot()

    async def tell_when_drained(self) -> None:
        while True:
            await self._unread.wait()
            await self.writer.drain()
            self._unread.clear()
            self._backend.drained(self._name)
