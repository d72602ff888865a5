"""A gateway's requests without an answer yet, the same for all implementations of the bus."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable

from crypto_stream.bus.messages import Answer, BusRequest, RequestBody
from crypto_stream.errors import BusError, RefusedError


class PendingRequests:
    """Requests that wait in their own threads until another thread passes on the answer."""

    def __init__(self) -> None:
        self._ids = itertools.count(1)
        self._pending: dict[int, _PendingRequest] = {}

    def ask(self, send: Callable[[BusRequest], None], body: RequestBody, timeout_s: float) -> bytes:
        """Send one request, return the answer as msgpack; raise BusError (no answer) or RefusedError."""
        pending = _PendingRequest()
        number = next(self._ids)
        self._pending[number] = pending
        try:
            send(BusRequest(number, body, timeout_s))
            if not pending.done.wait(timeout_s):
                raise BusError(f"the engine did not answer within {timeout_s:g} s")
        finally:
            del self._pending[number]
        answer = pending.answer
        if answer is None:
            raise BusError("the engine disconnected before it answered")
        if answer.code is not None:
            raise RefusedError(answer.code, answer.reason or answer.code)
        return bytes(answer.value)

    def answered(self, answer: Answer) -> None:
        """Pass an answer on to who waits for it, if anybody still does."""
        if pending := self._pending.get(answer.id):
            pending.answer = answer
            pending.done.set()

    def fail(self) -> None:
        """Let all requests fail: the connection that the answers would arrive on has ended."""
        for pending in list(self._pending.values()):
            pending.done.set()


class _PendingRequest:
    """A request without an answer yet."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.answer: Answer | None = None
