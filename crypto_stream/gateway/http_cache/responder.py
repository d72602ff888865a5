"""From the bytes of a request to the bytes of its answer, for requests that are certainly simple."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from werkzeug.http import http_date

from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.http_cache.request import END, MOST, CacheableRequest, cacheable
from crypto_stream.gateway.web.headers import of_every_answer
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.root_path import strip_root_path

# Different heads whose reading is remembered (4 MB at most), and answers kept ready to send (4 MB at most).
_HEADS = 1000
_READY = 64

# What came → bytes of its first request, and the answer; None: it is not for this road.
Respond = Callable[[bytes], tuple[int, bytes] | None]


def respond_never(_came: bytes) -> None:
    """Answer nothing: every request takes the ordinary road."""


class Responder:
    """Answer simple requests for what is on the shelf.

    Call it with what came on a connection, which must begin where a request begins. An answer is ready until
    the mirror changes or the second ends (its `Date`); `kept_alive` are the header lines with which the
    server confirms a `Connection: keep-alive`.
    """

    def __init__(
        self,
        shelf: ResponseCache,
        origins: Sequence[str],
        counters: DeliveryMetrics,
        kept_alive: bytes,
        root_path: str = "",
    ) -> None:
        """Answer from `shelf`, count in `counters`; paths may come with `root_path` before them."""
        self._root_path = root_path
        self._shelf = shelf
        self._counters = counters
        self._last = _lines(of_every_answer(origins))
        self._kept_alive = kept_alive
        self._heads: dict[bytes, CacheableRequest | None] = {}
        self._ready: dict[CacheableRequest, bytes | None] = {}
        self._whole: dict[bytes, tuple[int, bytes]] = {}
        self._of: tuple[int, tuple[int, int]] = (0, (0, 0))

    def __call__(self, came: bytes) -> tuple[int, bytes] | None:
        """Answer the first request, if it is whole and simple."""
        now = int(time.time())
        if self._of != (now, self._shelf.version):
            self._of = now, self._shelf.version
            self._ready.clear()
            self._whole.clear()
        answered = self._whole.get(came)  # nearly always one request came, and came before
        if answered is None:
            answered = self._answer(came, now)
        if answered is not None:
            self._counters.prebuilt += 1
        return answered

    def _answer(self, came: bytes, now: int) -> tuple[int, bytes] | None:
        end = came.find(END, 0, MOST) + len(END)
        if end < len(END):
            return None
        head = came[:end]
        asked = self._heads[head] if head in self._heads else self._read(head)
        if asked is None:
            return None
        answer = self._ready[asked] if asked in self._ready else self._build(asked, now)
        if answer is None:
            return None
        if end == len(came) and len(self._whole) < _HEADS:
            self._whole[came] = end, answer
        return end, answer

    def _read(self, head: bytes) -> CacheableRequest | None:
        if len(self._heads) >= _HEADS:
            self._heads.clear()
        read = self._heads[head] = cacheable(head)
        return read

    def _build(self, asked: CacheableRequest, now: int) -> bytes | None:
        if len(self._ready) >= _READY:
            self._ready.clear()
        found = self._shelf.find(strip_root_path(self._root_path, asked.path), asked.prefers_json)
        if found is None:
            return None
        status, headers, body = found.answer(asked.zipped, asked.known_tag, http_date(now))
        parts = [b"HTTP/1.1 ", status.encode(), b"\r\n", _lines(headers), self._last]
        parts += [self._kept_alive if asked.keep_alive else b"", b"\r\n", b"" if asked.head_only else body]
        answer = self._ready[asked] = b"".join(parts)
        return answer


def _lines(headers: Sequence[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in headers).encode("latin-1")
