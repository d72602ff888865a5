"""What may happen to the wire between two processes: it is cut, hangs, loses everything, or is slow."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

_READ_BYTES = 65536


class Wire:
    """Forwards TCP connections to a port of the loopback, on the running event loop. Use as `async with`."""

    def __init__(self, target: int, piece: int = _READ_BYTES) -> None:
        """Forward to the port `target`, at most `piece` bytes in one write."""
        self._target = target
        self._piece = piece
        self._flows = asyncio.Event()
        self._flows.set()
        self._loses = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.resume()
        self.cut()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def cut(self) -> None:
        """End all connections with an RST; new ones are forwarded."""
        for writer in list(self._writers):
            writer.transport.abort()

    def stall(self) -> None:
        """Forward nothing until `resume`; then everything that was sent meanwhile."""
        self._flows.clear()

    def lose(self) -> None:
        """Swallow everything and close nothing: connections are half-open until `resume` cuts them."""
        self._loses = True

    def resume(self) -> None:
        """Forward again."""
        self._flows.set()
        if self._loses:
            self._loses = False
            self.cut()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            await self._flows.wait()
            onward_reader, onward = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(onward)
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._pump(reader, onward))
                tasks.create_task(self._pump(onward_reader, writer))
        except* OSError:
            pass
        finally:
            for each in (writer, onward):
                self._writers.discard(each)
                each.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_READ_BYTES):
            await self._flows.wait()
            if self._loses:
                continue
            for start in range(0, len(data), self._piece):
                writer.write(data[start : start + self._piece])
                if self._piece < _READ_BYTES:
                    await asyncio.sleep(0)  # so that each piece is read by itself
                await writer.drain()
        raise ConnectionError("one side has closed the connection")
