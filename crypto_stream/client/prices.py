"""Prices and sources of a running gateway, for programs without an event loop."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from crypto_stream.client.errors import UnreachableError
from crypto_stream.errors import RefusedError
from crypto_stream.market.quotes import Quote
from crypto_stream.proxies import proxy_for

# socketio brings two HTTP clients and takes longer to import than all else: only who watches waits for it.
_LOG = logging.getLogger(__name__)
_RETRY_S = 1.0
_Answer = TypeVar("_Answer")


class SourceState(msgspec.Struct, frozen=True):
    """One source as GET /sources tells it; times and ages in ms, None where not known."""

    name: str
    state: str
    pinned: bool
    reason: str | None = None
    last_error: str | None = None
    age_ms: int | None = None
    reconnects: int = 0


class Sources(msgspec.Struct, frozen=True):
    """The answer of GET /sources; `pinned` is the source that alone may serve, None without a pin."""

    pinned: str | None
    sources: list[SourceState]


class View(NamedTuple):
    """What a viewer knows newly: quotes that changed (newest only), and whether it is connected."""

    connected: bool
    quotes: list[Quote]


class Client:
    """Ask one gateway; every answer comes within `timeout_s` seconds or as an error."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 5.0) -> None:
        """Talk to `url` (http://host:port); `token` is the admin token where the gateway has one."""
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s

    def courses(self) -> list[Quote]:
        """Return the newest quote of every instrument, also where all of them are stale."""
        return self._ask("GET", "/courses", list[Quote], also=503)

    def course(self, symbol: str) -> Quote:
        """Return the newest quote of one instrument; RefusedError for one that does not exist."""
        return self._ask("GET", f"/courses/{symbol}", Quote)

    def sources(self) -> Sources:
        """Return the pin and the state of every source."""
        return self._ask("GET", "/sources", Sources)

    def switch(self, source: str) -> None:
        """Pin `source`, `auto` unpins; RefusedError for an unknown one or without the right to do it."""
        self._ask("POST", "/sources/active", Any, body={"source": source})

    def watch(self, symbols: Sequence[str] = (), interval_ms: int = 250) -> Iterator[View]:
        """Yield what changes, at least once a second, for ever; connect anew when the gateway was gone.

        No symbols: all. RefusedError when one does not exist. What is not fetched in time is replaced by
        newer quotes: never more than one per symbol waits.
        """
        from socketio.exceptions import SocketIOError

        wishes = {"symbols": list(symbols) or "all", "interval_ms": interval_ms}
        while True:
            viewer = _Viewer(proxy_for(self.url))
            try:
                viewer.connect(self.url, wishes, self._timeout_s)
                while viewer.connected:
                    yield View(connected=True, quotes=viewer.wait(1.0))
            except SocketIOError as error:
                _LOG.debug("no connection: %s", error)
            finally:
                viewer.close()
            yield View(connected=False, quotes=[])
            time.sleep(_RETRY_S)

    def _ask(
        self, method: str, path: str, kind: type[_Answer], *, body: Any = None, also: int = 200
    ) -> _Answer:
        try:
            transport = httpx.HTTPTransport(proxy=proxy_for(self.url))
            with httpx.Client(transport=transport, headers=self._headers, timeout=self._timeout_s) as http:
                answer = http.request(method, self.url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(f"no answer from {self.url}: {error}; is it running?") from None
        if answer.is_success or answer.status_code == also:
            with suppress(msgspec.DecodeError):
                return msgspec.json.decode(answer.content or b"null", type=kind)
        raise _problem(answer)


def _problem(answer: httpx.Response) -> RefusedError:
    """Read an error's `application/problem+json`, or say what came instead."""
    with suppress(json.JSONDecodeError, KeyError, TypeError):
        problem = answer.json()
        return RefusedError(problem["code"], problem.get("detail") or problem["title"])
    return RefusedError(
        "unexpected", f"unexpected answer: HTTP {answer.status_code}; is this a Crypto Stream?"
    )


def _proxy_options(proxy: str | None) -> dict[str, Any]:
    """Write a proxy as websocket-client's options, which would else read the environment by other rules."""
    if proxy is None:  # it hears of exceptions only together with a proxy
        return {"http_proxy_host": "none", "http_no_proxy": ["*"]}
    parts = urlsplit(proxy)
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return {
        "proxy_type": "http" if parts.scheme == "https" else parts.scheme,
        "http_proxy_host": parts.hostname,
        "http_proxy_port": port,
        "http_proxy_auth": auth,
    }


class _Viewer:
    """One connection: its events come on the library's threads, `wait` hands them to ours."""

    def __init__(self, proxy: str | None) -> None:
        import socketio

        self._changed = threading.Condition()
        self._newest: dict[str, Quote] = {}
        self._io = socketio.Client(
            reconnection=False, handle_sigint=False, websocket_extra_options=_proxy_options(proxy)
        )
        self._io.on("snapshot", self._take)
        self._io.on("quotes", self._take)

    @property
    def connected(self) -> bool:
        return bool(self._io.connected)

    def connect(self, url: str, wishes: dict[str, Any], timeout_s: float) -> None:
        """Connect and subscribe; SocketIOError when nobody answers, RefusedError when we are refused."""
        place = f"{urlsplit(url).path}/socket.io".strip("/")  # perhaps under a path of a proxy
        self._io.connect(url, transports=["websocket"], socketio_path=place, wait_timeout=timeout_s)
        answer = self._io.call("subscribe", wishes, timeout=timeout_s)
        if not answer.get("ok"):
            raise RefusedError(str(answer.get("code")), str(answer.get("reason")))

    def wait(self, seconds: float) -> list[Quote]:
        """Return the newest quote of each symbol that changed, none if that takes longer than `seconds`."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest, seconds)
            newest, self._newest = self._newest, {}
        return list(newest.values())

    def close(self) -> None:
        self._io.disconnect()

    def _take(self, payload: object) -> None:
        quotes = msgspec.convert(payload, list[Quote])
        with self._changed:
            self._newest.update((quote.symbol, quote) for quote in quotes)
            self._changed.notify()
