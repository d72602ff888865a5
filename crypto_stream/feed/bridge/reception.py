"""The beginning of a bridge's connection: `hello`, the list of instruments, and who is refused why."""

from __future__ import annotations

import asyncio
import hmac
import logging
from typing import NamedTuple

from crypto_stream import __version__
from crypto_stream.errors import MalformedFrame, VenueError
from crypto_stream.feed.bridge import messages
from crypto_stream.feed.bridge.connection import BridgeConnection
from crypto_stream.feed.bridge.reader import ListBuilder
from crypto_stream.feed.handler import Listed
from crypto_stream.feed.sources import Session
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

_MAX_WAITING = 8  # connections that have not said hello
_HELLO_S = 5.0
_LIST_S = 10.0


class Expected(NamedTuple):
    """The bridge that is expected: its `name`, and its `token` (empty: it needs none)."""

    name: str
    token: str = ""


class Arrived(NamedTuple):
    """A bridge that has said hello, and the list that it sent."""

    connection: BridgeConnection
    listed: list[Listed]


class _Refusal(Exception):  # noqa: N818 - an answer to the bridge rather than a failure
    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


class Reception:
    """Receive connections, in `tasks`, until one is the expected bridge; refuse all others.

    The refused ones are logged, once a minute for each reason, and counted as `refused_connection`.
    """

    def __init__(self, source: str, expected: Expected, session: Session, tasks: asyncio.TaskGroup) -> None:
        self._source = source
        self._expected = expected
        self._session = session
        self._tasks = tasks
        self._throttle = LogThrottle()
        self._receiving: dict[BridgeConnection, asyncio.Task[None]] = {}
        self._bridge: BridgeConnection | None = None
        self._has_bridge = asyncio.Event()
        self._outcome: Arrived | VenueError | None = None
        self._has_outcome = asyncio.Event()
        self._last_refusal = ""
        self._is_closed = False

    def connected(self, stream: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Receive one connection."""
        connection = BridgeConnection(stream, writer, self._session.sent)
        if self._is_closed:  # it was accepted just before
            connection.close()
        elif self._bridge is not None:
            self._refuse(connection, "connected_twice", f"{self._source} is connected already")
        elif len(self._receiving) >= _MAX_WAITING:
            self._refuse(connection, "busy", f"{_MAX_WAITING} connections have not said hello yet")
        else:
            self._receiving[connection] = self._tasks.create_task(self._receive(connection))

    async def arrival(self, connect_s: float, where: str) -> Arrived:
        """Wait for the bridge; raise VenueError if none came within `connect_s`, or it sent no list."""
        try:
            async with asyncio.timeout(connect_s):
                await self._has_bridge.wait()
        except TimeoutError:
            refused = f"; the last one was refused: {self._last_refusal}" if self._last_refusal else ""
            raise VenueError(f"no bridge connected to {where} within {connect_s:g} s{refused}") from None
        await self._has_outcome.wait()
        assert self._outcome is not None
        if isinstance(self._outcome, VenueError):
            raise self._outcome
        return self._outcome

    def close(self) -> None:
        """End all connections, and receive none any more."""
        self._is_closed = True
        for connection, task in self._receiving.items():
            connection.end("closing", "the source is not needed now, or the server stops")
            task.cancel()
        if self._bridge is not None:
            self._bridge.end("closing", "the source is not needed now, or the server stops")

    async def _receive(self, connection: BridgeConnection) -> None:
        try:
            venue = await self._hello(connection)
        except _Refusal as refusal:
            self._refuse(connection, refusal.code, str(refusal))
            return
        except VenueError:  # it has ended, or did not keep within the limits
            connection.close()
            return
        finally:
            del self._receiving[connection]
        if self._bridge is not None:
            self._refuse(connection, "connected_twice", f"{self._source} is connected already")
            return
        self._bridge = connection
        self._has_bridge.set()
        log.info("bridge connected", extra={"source": self._source, "venue": venue})
        connection.reply(messages.encode(_WELCOME))
        self._outcome = await self._list(connection)
        self._has_outcome.set()

    async def _hello(self, connection: BridgeConnection) -> str:
        """Return the venue that the bridge names; raise _Refusal if it is not the expected one."""
        try:
            async with asyncio.timeout(_HELLO_S):
                hello = messages.decode(await connection.line())
        except TimeoutError:
            raise _Refusal("no_hello", f"no hello within {_HELLO_S:g} s") from None
        except MalformedFrame as error:
            raise _Refusal("no_hello", f"the first line must be a hello; {error}") from None
        if not isinstance(hello, messages.Hello):
            raise _Refusal("no_hello", "the first line must be a hello")
        name, token = self._expected
        if hello.protocol != messages.PROTOCOL:
            raise _Refusal(
                "wrong_protocol",
                f"the bridge speaks protocol {hello.protocol}, this server {messages.PROTOCOL}",
            )
        if token and not hmac.compare_digest(hello.token.encode(), token.encode()):
            raise _Refusal("wrong_token", "the token is wrong")
        if hello.name != name:
            raise _Refusal("wrong_name", f"here the bridge {name!r} is expected, not {hello.name!r}")
        return hello.venue

    async def _list(self, connection: BridgeConnection) -> Arrived | VenueError:
        builder = ListBuilder()
        try:
            async with asyncio.timeout(_LIST_S):
                while True:
                    message = messages.decode(await connection.line())
                    if isinstance(message, messages.Instruments):
                        if (listed := builder.add(message)) is not None:
                            return Arrived(connection, listed)
                    elif not isinstance(message, (messages.Heartbeat, messages.Unknown)):
                        raise MalformedFrame("the list of instruments must follow the hello")
        except VenueError as error:
            return error
        except TimeoutError:
            reason = f"no complete list of instruments within {_LIST_S:g} s"
        except MalformedFrame as error:
            reason = str(error)
        connection.end("no_list", reason)
        return VenueError(f"the bridge sent no list: {reason}")

    def _refuse(self, connection: BridgeConnection, code: str, reason: str) -> None:
        self._session.counts["refused_connection"] += 1
        self._last_refusal = reason
        if self._throttle.due(code):
            extra = {"source": self._source, "code": code, "reason": reason}
            log.warning("connection of a bridge refused", extra=extra)
        connection.end(code, reason)


_WELCOME = messages.Welcome(
    protocol=messages.PROTOCOL,
    server=f"Crypto Stream {__version__}",
    line_bytes=messages.LINE_BYTES,
    lines_per_s=messages.LINES_PER_S,
    heartbeat_s=messages.HEARTBEAT_S,
)
