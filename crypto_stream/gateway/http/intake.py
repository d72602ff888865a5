"""The requests of one connection: answered from the cache if possible, otherwise read for the server."""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http.connections import Connections
from crypto_stream.gateway.http.fair_queue import FairQueue
from crypto_stream.gateway.http.head import BadRequestError, bad_request
from crypto_stream.gateway.http.new_connections import (
    HEAD_S,
    IDLE_S,
    NewConnection,
    RequestConnection,
)
from crypto_stream.gateway.http.reader import HttpRequest, RequestReader
from crypto_stream.gateway.http_cache.connection import CacheConnection, Pause
from crypto_stream.gateway.http_cache.responder import Respond
from crypto_stream.gateway.rate_limit import RateLimit, cost_of
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

# Seconds from the end of a head to the end of the body.
BODY_S = 20.0
# Seconds in which each write of a response must succeed.
WRITE_S = 60.0
# Requests a second of one connection that need Flask, and how many may come at once; others are delayed.
_RATE = 25
_BURST = 200
# For how many seconds and bytes we go on reading after a refusal, so that the client sees the response.
_LINGER_S = 2.0
_LINGER = 1024 * 1024
# Each of these reads costs as much as a request, so all connections together make one in so many seconds.
_LINGER_PAUSE_S = 0.1
_LINGER_READ_BYTES = 64 * 1024
_READ_BYTES = 16 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ConnectionContext(NamedTuple):
    """What all connections of a gateway share.

    `respond` answers from the cache, `join` takes new connections that begin with a viewer's handshake; a
    body may have `max_body` bytes.
    """

    respond: Respond
    connections: Connections
    counters: DeliveryMetrics
    max_body: int
    throttle: LogThrottle
    queue: FairQueue
    join: Callable[[NewConnection], bool]


class Intake:
    """Reads the requests of one connection, strictly and within limits."""

    def __init__(
        self,
        connection: RequestConnection,
        bare: Any,
        context: ConnectionContext,
        hub: Hub,
        pause: Callable[[], Pause],
    ) -> None:
        """`bare` is the real, non-blocking socket under the green one; `pause` makes a `Pause`."""
        self._connection = connection.socket
        self._address = str(connection.peer[0])
        self._context = context
        self._cache = CacheConnection(connection.socket, bare, context.respond, hub, pause)
        self._entry = entry = connection.entry
        entry.end, entry.recently_used, entry.served = self._end, self._cache.recently_used, False
        self._bare = bare
        self._reader = RequestReader(0)
        self._rest = connection.received
        self._head_until = connection.head_until
        self._complete = True
        self._rate_limit: RateLimit | None = None
        self._cost = 0  # of the last request

    def next(self) -> bytes:
        """Wait for the next request that the cache cannot answer and return all of it; b"" at the end.

        A refused request is answered here, and is the last one.
        """
        self._entry.mark_waiting()
        self._entry.set_buffered(0)
        request = None
        try:
            self._limit_rate()
            request = self._read(self._cache.serve(self._rest, IDLE_S))
        except BadRequestError as refused:
            self._refuse(refused)
            return b""
        except OSError:  # the connection has failed, or was idle for too long
            pass
        if request is None:
            self._context.queue.wait_turn()  # thousands may end at once
            return b""
        self._connection.settimeout(WRITE_S)
        self._rest, self._complete = request.rest, request.complete
        self._cost = cost_of(len(request.data))
        return request.data

    def rest(self) -> bytes:
        """Return the bytes received after the last request: the connection now becomes a WebSocket."""
        rest, self._rest = self._rest, b""
        self._entry.remove()
        return rest

    def leave(self) -> None:
        """Finish with the connection, whose client may still be sending a body that is too large."""
        if not self._complete:
            self._complete = True
            self._entry.mark_waiting()
            self._linger()
        self._entry.remove()

    def _end(self) -> None:
        """Close the connection immediately: wakes its green thread, and frees what is buffered."""
        self._reader.forget()
        with suppress(OSError):
            self._bare.shutdown(socket.SHUT_RDWR)

    def _limit_rate(self) -> None:
        """Wait if requests come too fast."""
        if self._rate_limit is None:
            self._rate_limit = RateLimit(_RATE, time.monotonic(), _BURST)
            return
        while not self._rate_limit.allows(time.monotonic(), self._cost):
            time.sleep(self._cost / _RATE)

    def _read(self, received: bytes) -> HttpRequest | None:
        """Read the request that begins with `received`; None if the client hung up."""
        if not received:
            return None
        self._reader = reader = RequestReader(self._context.max_body)
        request = reader.feed(received)
        del received
        if request is None:
            self._entry.mark_waiting()  # from now on for the rest of this request: it was idle before
            request = self._read_rest(reader)
        if request is not None:
            self._entry.mark_active()
            self._entry.set_buffered(len(request.data) + len(request.rest))
            self._context.queue.wait_turn()  # a client that sends without pause must not block the others
        return request

    def _read_rest(self, reader: RequestReader) -> HttpRequest | None:
        until, in_body, continue_sent = self._head_until or time.monotonic() + HEAD_S, False, False
        self._head_until = None
        request = None
        while request is None:
            if reader.head is not None and not in_body:
                until, in_body = time.monotonic() + BODY_S, True
            if reader.awaits_continue and not continue_sent:
                self._connection.sendall(_CONTINUE)
                continue_sent = True
            self._entry.set_buffered(reader.buffered)
            try:
                data = self._receive(until)
            except TimeoutError:
                text = "The body took too long." if in_body else "The request's head took too long."
                raise bad_request(text, "request_timeout", HTTPStatus.REQUEST_TIMEOUT) from None
            if not data:
                return None
            self._context.queue.wait_turn()
            request = reader.feed(data)
            del data
        return request

    def _receive(self, until: float, most: int = _READ_BYTES) -> bytes:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        data: bytes = self._connection.recv(most)
        return data

    def _refuse(self, refused: BadRequestError) -> None:
        counters, throttle = self._context.counters, self._context.throttle
        counters.refused_requests[refused.code] += 1
        if throttle.due(refused.code):
            about = {"address": self._address, "code": refused.code, "why": refused.detail}
            log.info("requests refused", extra={**about, "count": counters.refused_requests[refused.code]})
        with suppress(OSError):
            self._connection.settimeout(_LINGER_S)
            self._connection.sendall(problem_response(refused))
        self._linger()

    def _linger(self) -> None:
        """Go on reading for a while: if we closed at once, the client would see a reset, not the response."""
        until, left = time.monotonic() + _LINGER_S, _LINGER
        connections = self._context.connections
        connections.lingering += 1
        try:
            self._connection.shutdown(socket.SHUT_WR)
            while left > 0 and (size := len(self._receive(until, _LINGER_READ_BYTES))):
                left -= size
                time.sleep(min(_LINGER_PAUSE_S * connections.lingering, max(0.0, until - time.monotonic())))
        except OSError:
            pass
        finally:  # whatever ends this green thread, the others are not delayed by it
            connections.lingering -= 1


def problem_response(refused: BadRequestError) -> bytes:
    """Return the response to a refused request."""
    status = refused.status
    about = {"type": "about:blank", "title": status.phrase, "status": int(status)}
    body = json.dumps({**about, "code": refused.code, "detail": refused.detail}).encode()
    lines = [
        f"HTTP/1.1 {int(status)} {status.phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Cache-Control: no-store",
        "X-Content-Type-Options: nosniff",
        *(["Allow: GET, HEAD, POST, OPTIONS"] if status == HTTPStatus.METHOD_NOT_ALLOWED else []),
        "Connection: close",
    ]
    return "\r\n".join((*lines, "", "")).encode() + body
