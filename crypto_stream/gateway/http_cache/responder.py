"""From the bytes of a cacheable request to the bytes of its response."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from werkzeug.http import http_date

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http_cache.request import HEAD_END, MAX_HEAD, CacheableRequest, cacheable
from crypto_stream.gateway.web.headers import of_every_answer
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.root_path import strip_root_path

# Parsed heads, and ready responses, that are cached: at most 4 MB each.
_MAX_HEADS = 1000
_MAX_READY = 64

# Takes received bytes; returns the length of the first request and its response, None if it is not cacheable.
Respond = Callable[[bytes], tuple[int, bytes] | None]


def respond_never(_received: bytes) -> None:
    """Answer nothing: the server handles every request."""


class Responder:
    """Answers cacheable requests from the response cache.

    Call it with the bytes received, which must begin with a request. A response stays ready until the mirror
    changes or the second ends, because of its `Date`. `keep_alive` are the header lines with which the
    server confirms `Connection: keep-alive`.
    """

    def __init__(
        self,
        responses: ResponseCache,
        origins: Sequence[str],
        counters: DeliveryMetrics,
        keep_alive: bytes,
        root_path: str = "",
    ) -> None:
        """Paths may begin with `root_path`."""
        self._root_path = root_path
        self._responses = responses
        self._counters = counters
        self._common_headers = _lines(of_every_answer(origins))
        self._keep_alive = keep_alive
        self._heads: dict[bytes, CacheableRequest | None] = {}
        self._ready: dict[CacheableRequest, bytes | None] = {}
        self._by_bytes: dict[bytes, tuple[int, bytes]] = {}
        self._second = self._version = 0

    def __call__(self, received: bytes) -> tuple[int, bytes] | None:
        """Answer the first request, if it is complete and cacheable."""
        now, version = int(time.time()), self._responses.version
        if now != self._second or version != self._version:
            self._second, self._version = now, version
            self._ready.clear()
            self._by_bytes.clear()
        answered = self._by_bytes.get(received)  # usually it is one request, and the same one as before
        if answered is None:
            answered = self._respond(received, now)
        if answered is not None:
            self._counters.prebuilt += 1
        return answered

    def _respond(self, received: bytes, now: int) -> tuple[int, bytes] | None:
        end = received.find(HEAD_END, 0, MAX_HEAD) + len(HEAD_END)
        if end < len(HEAD_END):
            return None
        head = received[:end]
        request = self._heads[head] if head in self._heads else self._parse(head)
        if request is None:
            return None
        response = self._ready[request] if request in self._ready else self._build(request, now)
        if response is None:
            return None
        if end == len(received) and len(self._by_bytes) < _MAX_HEADS:
            self._by_bytes[received] = end, response
        return end, response

    def _parse(self, head: bytes) -> CacheableRequest | None:
        if len(self._heads) >= _MAX_HEADS:
            self._heads.clear()
        request = self._heads[head] = cacheable(head)
        return request

    def _build(self, request: CacheableRequest, now: int) -> bytes | None:
        if len(self._ready) >= _MAX_READY:
            self._ready.clear()
        found = self._responses.find(strip_root_path(self._root_path, request.path), request.prefers_json)
        if found is None:
            return None
        status, headers, body = found.answer(request.gzip, request.known_tag, http_date(now))
        parts = [b"HTTP/1.1 ", status.encode(), b"\r\n", _lines(headers), self._common_headers]
        parts += [
            self._keep_alive if request.keep_alive else b"",
            b"\r\n",
            b"" if request.head_only else body,
        ]
        response = self._ready[request] = b"".join(parts)
        return response


def _lines(headers: Sequence[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
