"""One connection's requests: simple ones are answered by the desk, the others handed to the server whole."""

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
from crypto_stream.gateway.http.arrivals import IDLE_S, Arrival, Caller
from crypto_stream.gateway.http.connections import Connections
from crypto_stream.gateway.http.head import BadRequestError, bad
from crypto_stream.gateway.http.line import Line
from crypto_stream.gateway.http.reader import Request, RequestReader
from crypto_stream.gateway.http_cache.connection import CacheConnection, Pause
from crypto_stream.gateway.http_cache.responder import Respond
from crypto_stream.gateway.order_sessions.rate_limit import RateLimit
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)

# Seconds from the first byte of a head to its end, and from there to the end of the body.
HEAD_S = 20.0
BODY_S = 20.0
# Seconds one piece of an answer may take.
WRITE_S = 60.0
# Requests a second of one connection that need Flask; who is faster waits, as nobody has a thread to himself.
_RATE = 200
# What a refused client still sends is read for so long and so far, so that it sees why.
_LINGER_S = 2.0
_LINGER = 1024 * 1024
_LINGER_PAUSE_S = 0.01
_CHUNK = 16 * 1024
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Manners(NamedTuple):
    """What all connections of a gateway share."""

    road: Respond
    connections: Connections
    counters: DeliveryMetrics
    most_body: int
    throttle: LogThrottle
    line: Line
    join: Callable[[Arrival], bool]


class Intake:
    """Take one connection's requests in, strictly and in bounds."""

    def __init__(
        self, caller: Caller, bare: Any, manners: Manners, hub: Hub, pause: Callable[[], Pause]
    ) -> None:
        """Read a green socket, of which `bare` is the real, non-blocking one; `pause` makes pauses."""
        self._connection = caller.connection
        self._address = str(caller.peer[0])
        self._manners = manners
        self._desk = CacheConnection(caller.connection, bare, manners.road, hub, pause)
        self._seat = seat = caller.seat
        seat.end, seat.recently, seat.served = self._end, self._desk.was_used, False
        self._bare = bare
        self._reader = RequestReader(0)
        self._rest = caller.came
        self._whole = True
        self._pace: RateLimit | None = None

    def next(self) -> bytes:
        """Wait for the next request that is not simple, and return all of it; b"" at the end.

        What is refused is answered here, and is the end.
        """
        self._seat.wait()
        self._seat.hold(0)
        request = None
        try:
            self._slow_down()
            request = self._read(self._desk.attend(self._rest, IDLE_S))
        except BadRequestError as refused:
            self._refuse(refused)
            return b""
        except OSError:  # it broke, or nothing came for long
            pass
        if request is None:
            self._manners.line.wait()  # hundreds may end at once
            return b""
        self._connection.settimeout(WRITE_S)
        self._rest, self._whole = request.rest, request.whole
        return request.data

    def rest(self) -> bytes:
        """Take the bytes behind the last request: the connection is somebody else's from now on."""
        rest, self._rest = self._rest, b""
        self._seat.leave()
        return rest

    def leave(self) -> None:
        """End with the connection, which may still be sending a body that was too large."""
        if not self._whole:
            self._whole = True
            self._seat.wait()
            self._linger()
        self._seat.leave()

    def _end(self) -> None:
        """End the connection, now: whoever reads or writes it wakes, what was kept of a request is freed."""
        self._reader.forget()
        with suppress(OSError):
            self._bare.shutdown(socket.SHUT_RDWR)

    def _slow_down(self) -> None:
        """Wait where requests come too fast."""
        if self._pace is None:
            self._pace = RateLimit(_RATE, time.monotonic())
            return
        while not self._pace.allows(time.monotonic()):
            time.sleep(1 / _RATE)

    def _read(self, came: bytes) -> Request | None:
        """Read on from what `came` until the request is whole; None when the client hung up before.

        From then on it waits for us, and is nobody who has waited for long.
        """
        if not came:
            return None
        self._reader = reader = RequestReader(self._manners.most_body)
        until, in_body, told = time.monotonic() + HEAD_S, False, False
        request = reader.feed(came)
        del came
        if request is None:
            self._seat.wait()  # for the rest of this request, from now on: it was idle before
        while request is None:
            if reader.head is not None and not in_body:
                until, in_body = time.monotonic() + BODY_S, True
            if reader.awaited and not told:
                self._connection.sendall(_CONTINUE)
                told = True
            self._seat.hold(reader.held)
            try:
                data = self._receive(until)
            except TimeoutError:
                text = "The body took too long." if in_body else "The request's head took too long."
                raise bad(text, "request_timeout", HTTPStatus.REQUEST_TIMEOUT) from None
            if not data:
                return None
            self._manners.line.wait()
            request = reader.feed(data)
            del data
        self._seat.work()
        self._seat.hold(len(request.data) + len(request.rest))
        self._manners.line.wait()  # who sends or asks without pause would let nobody else run
        return request

    def _receive(self, until: float) -> bytes:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._connection.settimeout(left)
        data: bytes = self._connection.recv(_CHUNK)
        return data

    def _refuse(self, refused: BadRequestError) -> None:
        counters, throttle = self._manners.counters, self._manners.throttle
        counters.refused_requests[refused.code] += 1
        if throttle.due(refused.code):
            about = {"address": self._address, "code": refused.code, "why": refused.detail}
            log.info("requests refused", extra={**about, "count": counters.refused_requests[refused.code]})
        with suppress(OSError):
            self._connection.settimeout(_LINGER_S)
            self._connection.sendall(answer(refused))
        self._linger()

    def _linger(self) -> None:
        """Read what is still coming for a while: closed at once, the client would see a reset, not why."""
        until, left = time.monotonic() + _LINGER_S, _LINGER
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_WR)
            while left > 0 and (data := self._receive(until)):
                left -= len(data)
                time.sleep(_LINGER_PAUSE_S)


def answer(refused: BadRequestError) -> bytes:
    """Write the answer to a request that nothing else has seen."""
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
