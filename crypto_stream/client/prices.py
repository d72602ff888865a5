"""Client for the prices and sources of a running gateway, with blocking calls."""

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
from crypto_stream.tls import tls_context

# socketio is imported only by `watch`: it takes longer to import than everything else.
_LOG = logging.getLogger(__name__)
_RETRY_S = 1.0
_Answer = TypeVar("_Answer")


class SourceState(msgspec.Struct, frozen=True):
    """One source in the answer of GET /sources; times and ages in ms, None where unknown."""

    name: str
    state: str
    pinned: bool
    reason: str | None = None
    last_error: str | None = None
    age_ms: int | None = None
    reconnects: int = 0


class Sources(msgspec.Struct, frozen=True):
    """The answer of GET /sources; `pinned` is the pinned source or None."""

    pinned: str | None
    sources: list[SourceState]


class View(NamedTuple):
    """An update of a viewer: the newest quotes that changed, and whether it is connected."""

    connected: bool
    quotes: list[Quote]


class Client:
    """A client of one gateway; calls return within `timeout_s` seconds or raise an error."""

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 5.0) -> None:
        """Use the gateway at `url` (http://host:port); `token`, the admin token, is needed to pin."""
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s

    def courses(self) -> list[Quote]:
        """Return the newest quotes of all instruments, even if all are stale."""
        return self._request("GET", "/courses", list[Quote], accepted=503)

    def course(self, symbol: str) -> Quote:
        """Return the newest quote of one instrument; raise RefusedError if it does not exist."""
        return self._request("GET", f"/courses/{symbol}", Quote)

    def sources(self) -> Sources:
        """Return the pin and the state of all sources."""
        return self._request("GET", "/sources", Sources)

    def switch(self, source: str) -> None:
        """Pin `source` (`auto` unpins); raise RefusedError if it is unknown or the token is wrong."""
        self._request("POST", "/sources/active", Any, body={"source": source})

    def watch(self, symbols: Sequence[str] = (), interval_ms: int = 250) -> Iterator[View]:
        """Yield changes at least once a second, for ever, reconnecting whenever the connection ends.

        Without `symbols`: of all instruments. Raises RefusedError if one does not exist. Unread quotes are
        replaced by newer ones, so at most one per symbol is waiting.
        """
        from socketio.exceptions import SocketIOError

        subscription = {"symbols": list(symbols) or "all", "interval_ms": interval_ms}
        while True:
            viewer = _Viewer(proxy_for(self.url))
            try:
                viewer.connect(self.url, subscription, self._timeout_s)
                while viewer.connected:
                    yield View(connected=True, quotes=viewer.wait(1.0))
            except SocketIOError as error:
                _LOG.debug("no connection: %s", error)
            finally:
                viewer.close()
            yield View(connected=False, quotes=[])
            time.sleep(_RETRY_S)

    def _request(
        self, method: str, path: str, kind: type[_Answer], *, body: Any = None, accepted: int = 200
    ) -> _Answer:
        try:
            transport = httpx.HTTPTransport(verify=tls_context(), proxy=proxy_for(self.url))
            with httpx.Client(transport=transport, headers=self._headers, timeout=self._timeout_s) as http:
                answer = http.request(method, self.url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(f"no answer from {self.url}: {error}; is it running?") from None
        if answer.is_success or answer.status_code == accepted:
            with suppress(msgspec.DecodeError):
                return msgspec.json.decode(answer.content or b"null", type=kind)
        raise _problem(answer)


def _problem(answer: httpx.Response) -> RefusedError:
    """Turn an `application/problem+json`, or an unexpected answer, into an exception."""
    with suppress(json.JSONDecodeError, KeyError, TypeError):
        problem = answer.json()
        return RefusedError(problem["code"], problem.get("detail") or problem["title"])
    return RefusedError(
        "unexpected", f"unexpected answer: HTTP {answer.status_code}; is this a Crypto Stream?"
    )


def _proxy_options(proxy: str | None) -> dict[str, Any]:
    """Return a proxy as websocket-client's options; it would read the environment by rules of its own."""
    if proxy is None:  # websocket-client heeds `http_no_proxy` only if a proxy is given
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
    """One connection: events arrive on the library's threads, `wait` passes them to the caller's."""

    def __init__(self, proxy: str | None) -> None:
        import socketio

        self._changed = threading.Condition()
        self._newest: dict[str, Quote] = {}
        self._io = socketio.Client(
            reconnection=False, handle_sigint=False, websocket_extra_options=_proxy_options(proxy)
        )
        self._io.on("snapshot", self._on_quotes)
        self._io.on("quotes", self._on_quotes)

    @property
    def connected(self) -> bool:
        return bool(self._io.connected)

    def connect(self, url: str, subscription: dict[str, Any], timeout_s: float) -> None:
        """Connect and subscribe; raise SocketIOError if nobody answers, RefusedError if refused."""
        path = f"{urlsplit(url).path}/socket.io".strip("/")  # the URL may contain a proxy's path prefix
        self._io.connect(url, transports=["websocket"], socketio_path=path, wait_timeout=timeout_s)
        answer = self._io.call("subscribe", subscription, timeout=timeout_s)
        if not answer.get("ok"):
            raise RefusedError(str(answer.get("code")), str(answer.get("reason")))

    def wait(self, seconds: float) -> list[Quote]:
        """Wait up to `seconds` for changes; return the newest quote of each symbol that changed."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest, seconds)
            newest, self._newest = self._newest, {}
        return list(newest.values())

    def close(self) -> None:
        self._io.disconnect()

    def _on_quotes(self, payload: object) -> None:
        quotes = msgspec.convert(payload, list[Quote])
        with self._changed:
            self._newest.update((quote.symbol, quote) for quote in quotes)
            self._changed.notify()
