"""The order client's connection: opened again whenever it ends, and what is unanswered is asked again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn
from urllib.parse import urlsplit

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.http11 import Response

from crypto_stream.backoff import Backoff
from crypto_stream.client.errors import UnreachableError
from crypto_stream.client.messages import Answer, Request, Update, decode, encode
from crypto_stream.proxies import proxy_for

_LOG = logging.getLogger(__name__)
_FIRST_S = 0.1  # the longest first wait before connecting again; doubles up to
_MOST_S = 5.0
_PING_S = 5.0  # a peer that is silent as long, and then does not answer a ping as long, is gone
_CLOSE_S = 1.0
_MOST_FRAME = 16 * 1024 * 1024  # bytes: some thousand orders

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class _LostError(Exception):
    """The connection ended before the answer came."""


def address(url: str) -> str:
    """Return the order gateway's address of the server at `url`; UnreachableError for what is no address."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise UnreachableError(f"{url!r} is no address; write http://host:port")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}/ws?mode=extended"


class Answered(NamedTuple):
    """An answer, and whether the request had to be sent more than once."""

    answer: Answer
    again: bool


class _Problem(msgspec.Struct):
    """What a gateway says of a connection that it refuses."""

    detail: str


def _refusal(response: Response) -> str:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(response.body or b"", type=_Problem).detail
    return f"HTTP {response.status_code}; is this a Crypto Stream?"


class Link:
    """A conversation that outlives its connections.

    `opened` runs beside the reading of each new connection, `take` gets every message in its order and may
    hold up the reading.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        take: Callable[[Answer | Update], Awaitable[None]],
        opened: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Talk to the server at `url` (http, https, ws or wss) as the owner `client_id`."""
        self._url = url
        self._address = address(url)
        # Not in the address: those stand in the logs of proxies.
        self._headers = {"X-Client-Id": client_id}
        self._take = take
        self._opened = opened
        self._numbers = itertools.count(1)
        self._waiting: dict[int | str, asyncio.Future[Answer]] = {}
        self._socket: ClientConnection | None = None
        self._open = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection now."""
        return self._open.is_set()

    async def connect(self, timeout_s: float) -> None:
        """Open the first connection; UnreachableError says why it could not be."""
        self._socket = await self._connect(timeout_s)
        self._open.set()

    async def run(self) -> NoReturn:
        """Read the connection, and open the next one when it ended, until cancelled."""
        backoff = Backoff(_FIRST_S, _MOST_S, random.random)
        while True:
            if self._socket is not None:
                since_s = time.monotonic()
                await self._converse(self._socket)
                if time.monotonic() - since_s > _MOST_S:
                    backoff.reset()
            await asyncio.sleep(backoff.next_delay())
            try:
                await self.connect(timeout_s=2 * _MOST_S)
            except UnreachableError as error:
                _LOG.debug("%s", error)

    async def ask(self, request: Request, message: Mapping[str, Any]) -> Answered:
        """Send a request and return its answer; sent again on the next connection where this one ends."""
        again = False
        while True:
            await self._open.wait()
            socket = self._socket
            assert socket is not None
            number = next(self._numbers)
            self._waiting[number] = answer = asyncio.get_running_loop().create_future()
            try:
                await socket.send(encode(request, {**message, "request_id": number}))
                return Answered(await answer, again)
            except ConnectionClosed:
                answer.cancel()
                self._end(socket)
            except _LostError:
                _LOG.debug("the connection ended before the answer to request %d: sent again", number)
            finally:
                del self._waiting[number]
            again = True

    async def close(self) -> None:
        """Close the connection that is left when `run` was cancelled."""
        socket = self._socket
        if socket is not None:
            self._end(socket)
            await socket.close()

    async def _connect(self, timeout_s: float) -> ClientConnection:
        try:
            return await connect(
                self._address,
                additional_headers=self._headers,
                proxy=proxy_for(self._address),
                open_timeout=timeout_s,
                ping_interval=_PING_S,
                ping_timeout=_PING_S,
                close_timeout=_CLOSE_S,
                max_size=_MOST_FRAME,
            )
        except InvalidStatus as error:
            raise UnreachableError(f"{self._url} takes no orders: {_refusal(error.response)}") from None
        except (OSError, WebSocketException) as error:
            why = "connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
            raise UnreachableError(f"no answer from {self._url}: {why}; is it running?") from None

    async def _converse(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                beside = tasks.create_task(self._opened())
                try:
                    await self._read(socket)
                finally:
                    beside.cancel()
        finally:
            self._end(socket)
            await socket.close()

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                frame = await socket.recv()
                try:
                    message = decode(frame)
                except msgspec.DecodeError as error:
                    _LOG.warning("a frame of %s cannot be read: %s", self._url, error)
                    continue
                if message is not None:
                    self._settle(message)
                    await self._take(message)
        except ConnectionClosed as closed:
            _LOG.info("the connection to %s ended: %s", self._url, closed)

    def _settle(self, message: Answer | Update) -> None:
        if isinstance(message, Update) or message.request_id is None:
            return
        answer = self._waiting.get(message.request_id)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _end(self, socket: ClientConnection) -> None:
        if self._socket is not socket:
            return
        self._socket = None
        self._open.clear()
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(_LostError())
