"""The order client's connection: reconnects whenever it ends, and resends unanswered requests."""

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
from crypto_stream.client.messages import Answer, RequestKind, Update, decode, encode
from crypto_stream.proxies import proxy_for
from crypto_stream.tls import websocket_tls

_LOG = logging.getLogger(__name__)
_FIRST_DELAY_S = 0.1  # upper bound of the first delay before reconnecting
_MAX_DELAY_S = 5.0
_PING_S = 5.0  # interval of pings, and timeout of their answers
_CLOSE_S = 1.0
_MAX_FRAME = 16 * 1024 * 1024  # bytes: several thousand orders

_SCHEMES = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class _LostError(Exception):
    """The connection ended before the answer arrived."""


def address(url: str) -> str:
    """Return the WebSocket URL for orders of the server at `url`; raise UnreachableError if invalid."""
    parts = urlsplit(url)
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise UnreachableError(f"{url!r} is not a URL; write http://host:port")
    return f"{_SCHEMES[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}/ws?mode=extended"


class Answered(NamedTuple):
    """An answer, and whether the request was sent more than once."""

    answer: Answer
    resent: bool


class _Problem(msgspec.Struct):
    """The reason why a gateway refuses a connection (application/problem+json)."""

    detail: str


def _refusal(response: Response) -> str:
    with suppress(msgspec.DecodeError):
        return msgspec.json.decode(response.body or b"", type=_Problem).detail
    return f"HTTP {response.status_code}; is this a Crypto Stream?"


class ReconnectingConnection:
    """A WebSocket that is reopened whenever it ends.

    `on_open` runs concurrently with the reading of each new connection. `receive` gets all messages in their
    order; reading waits for it.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        receive: Callable[[Answer | Update], Awaitable[None]],
        on_open: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Use the server at `url` (http, https, ws or wss) as the owner `client_id`."""
        self._url = url
        self._address = address(url)
        # Not in the URL, which proxies write to their logs.
        self._headers = {"X-Client-Id": client_id}
        self._receive = receive
        self._on_open = on_open
        self._numbers = itertools.count(1)
        self._pending: dict[int | str, asyncio.Future[Answer]] = {}
        self._socket: ClientConnection | None = None
        self._open = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether there is a connection at present."""
        return self._open.is_set()

    async def connect(self, timeout_s: float) -> None:
        """Open a connection; raise UnreachableError, saying why, if that fails."""
        self._socket = await self._connect(timeout_s)
        self._open.set()

    async def run(self) -> NoReturn:
        """Read the connection and reconnect whenever it ends, until cancelled."""
        backoff = Backoff(_FIRST_DELAY_S, _MAX_DELAY_S, random.random)
        while True:
            if self._socket is not None:
                since_s = time.monotonic()
                await self._serve(self._socket)
                if time.monotonic() - since_s > _MAX_DELAY_S:
                    backoff.reset()
            await asyncio.sleep(backoff.next_delay())
            try:
                await self.connect(timeout_s=2 * _MAX_DELAY_S)
            except UnreachableError as error:
                _LOG.debug("%s", error)

    async def request(self, request: RequestKind, message: Mapping[str, Any]) -> Answered:
        """Send a request and return its answer; if the connection ends first, resend it on the next one."""
        resent = False
        while True:
            await self._open.wait()
            socket = self._socket
            assert socket is not None
            number = next(self._numbers)
            self._pending[number] = answer = asyncio.get_running_loop().create_future()
            try:
                await socket.send(encode(request, {**message, "request_id": number}))
                return Answered(await answer, resent)
            except ConnectionClosed:
                answer.cancel()
                self._forget(socket)
            except _LostError:
                _LOG.debug("the connection ended before request %d was answered: sending it again", number)
            finally:
                del self._pending[number]
            resent = True

    async def close(self) -> None:
        """Close the connection, after `run` was cancelled."""
        socket = self._socket
        if socket is not None:
            self._forget(socket)
            await socket.close()

    async def _connect(self, timeout_s: float) -> ClientConnection:
        try:
            return await connect(
                self._address,
                additional_headers=self._headers,
                proxy=proxy_for(self._address),
                ssl=websocket_tls(self._address),
                open_timeout=timeout_s,
                ping_interval=_PING_S,
                ping_timeout=_PING_S,
                close_timeout=_CLOSE_S,
                max_size=_MAX_FRAME,
            )
        except InvalidStatus as error:
            raise UnreachableError(f"{self._url} accepts no orders: {_refusal(error.response)}") from None
        except (OSError, WebSocketException) as error:
            why = "connection refused" if isinstance(error, ConnectionRefusedError) else str(error)
            raise UnreachableError(f"no answer from {self._url}: {why}; is it running?") from None

    async def _serve(self, socket: ClientConnection) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                on_open = tasks.create_task(self._on_open())
                try:
                    await self._read(socket)
                finally:
                    on_open.cancel()
        finally:
            self._forget(socket)
            await socket.close()

    async def _read(self, socket: ClientConnection) -> None:
        try:
            while True:
                frame = await socket.recv()
                try:
                    message = decode(frame)
                except msgspec.DecodeError as error:
                    _LOG.warning("a frame from %s cannot be read: %s", self._url, error)
                    continue
                if message is not None:
                    self._resolve(message)
                    await self._receive(message)
        except ConnectionClosed as closed:
            _LOG.info("the connection to %s ended: %s", self._url, closed)

    def _resolve(self, message: Answer | Update) -> None:
        if isinstance(message, Update) or message.request_id is None:
            return
        answer = self._pending.get(message.request_id)
        if answer is not None and not answer.done():
            answer.set_result(message)

    def _forget(self, socket: ClientConnection) -> None:
        if self._socket is not socket:
            return
        self._socket = None
        self._open.clear()
        for answer in self._pending.values():
            if not answer.done():
                answer.set_exception(_LostError())
