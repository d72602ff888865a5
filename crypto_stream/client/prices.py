"""Client for the prices and sources of a running gateway, with blocking calls."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeVar
from urllib.parse import unquote, urlencode, urlsplit

import httpx
import msgspec

from crypto_stream.client.errors import UnreachableError
from crypto_stream.errors import RefusedError
from crypto_stream.market.best import Best
from crypto_stream.market.depth import Depth
from crypto_stream.market.index import Index
from crypto_stream.market.instruments import Instrument
from crypto_stream.market.quotes import Quote
from crypto_stream.proxies import proxy_for
from crypto_stream.tls import tls_context

# socketio is imported only by `watch`: it takes longer to import than everything else.
_RETRY_S = 1.0
_CHANGE_S = 65.0  # a venue may have to be asked for its volumes
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


class ChangedInstruments(msgspec.Struct, frozen=True):
    """The symbols that were added and removed, and those that no venue has room for."""

    added: list[str]
    removed: list[str]
    left_out: list[str] = []


class _Instruments(msgspec.Struct, frozen=True):
    instruments: list[Instrument]


class View(NamedTuple):
    """An update of a viewer: the newest quotes that changed, and whether it is connected."""

    connected: bool
    quotes: list[Quote]


class BestView(NamedTuple):
    """The same of best bids and asks."""

    connected: bool
    prices: list[Best]


class IndexView(NamedTuple):
    """The same of indexes."""

    connected: bool
    indexes: list[Index]


class DepthView(NamedTuple):
    """The same of books."""

    connected: bool
    books: list[Depth]


class _OfSymbol(Protocol):
    """What a viewer receives of one instrument."""

    @property
    def symbol(self) -> str:
        """The instrument."""


_Value = TypeVar("_Value", bound=_OfSymbol)
_Events = Mapping[str, Callable[[object], list[_Value]]]


class Client:
    """A client of one gateway; calls return within `timeout_s` seconds or raise an error.

    `trouble` is why `watch` and its kind are not connected; None if they are, or were not called.
    """

    def __init__(self, url: str, token: str | None = None, timeout_s: float = 5.0) -> None:
        """Use the gateway at `url` (http://host:port); `token`, the admin token, is needed to pin."""
        self.url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._timeout_s = timeout_s
        self.trouble: str | None = None

    def courses(self, symbols: Sequence[str] = ()) -> list[Quote]:
        """Return the newest quotes of all instruments, or of some in this order, even if all are stale.

        Raises RefusedError if one of them does not exist.
        """
        only = f"?{urlencode({'symbols': ','.join(symbols)})}" if symbols else ""
        return self._request("GET", f"/courses{only}", list[Quote], accepted=503)

    def course(self, symbol: str) -> Quote:
        """Return the newest quote of one instrument; raise RefusedError if it does not exist."""
        return self._request("GET", f"/courses/{symbol}", Quote)

    def best(self, symbol: str) -> Best:
        """Return the best bid and ask of one instrument over all live sources; RefusedError if unknown."""
        return self._request("GET", f"/best/{symbol}", Best)

    def index(self, symbol: str) -> Index:
        """Return the index of one instrument, with its constituents; RefusedError if unknown."""
        return self._request("GET", f"/index/{symbol}", Index)

    def depth(self, symbol: str, levels: int = 20) -> Depth:
        """Return the first levels of one instrument's books, merged and by venue; RefusedError if unknown."""
        return self._request("GET", f"/depth/{symbol}?levels={levels}", Depth)

    def sources(self) -> Sources:
        """Return the pin and the state of all sources."""
        return self._request("GET", "/sources", Sources)

    def switch(self, source: str) -> None:
        """Pin `source` (`auto` unpins); raise RefusedError if it is unknown or the token is wrong."""
        self._request("POST", "/sources/active", Any, body={"source": source})

    def instruments(self) -> list[Instrument]:
        """Return all instruments, in their order."""
        return self._request("GET", "/instruments", _Instruments).instruments

    def change_instruments(self, add: Sequence[str] = (), remove: Sequence[str] = ()) -> ChangedInstruments:
        """Add pairs by name, pattern or `top:N`, and remove some; RefusedError if a part is impossible."""
        body = {"add": list(add), "remove": list(remove)}
        return self._request("POST", "/instruments", ChangedInstruments, body=body, timeout_s=_CHANGE_S)

    def watch(self, symbols: Sequence[str] = (), interval_ms: int = 250) -> Iterator[View]:
        """Yield changes at least once a second, for ever, reconnecting whenever the connection ends.

        Without `symbols`: of all instruments. Raises RefusedError if one does not exist. Unread quotes are
        replaced by newer ones, so at most one per symbol is waiting.
        """
        subscription = {"symbols": list(symbols) or "all", "interval_ms": interval_ms}
        events = {"snapshot": _quotes, "quotes": _quotes}
        for connected, quotes in self._follow(subscription, events):
            yield View(connected, quotes)

    def watch_best(self, symbols: Sequence[str] = (), interval_ms: int = 250) -> Iterator[BestView]:
        """Yield changes of best bids and asks as `watch` does; a gateway serves at most 20 symbols."""
        subscription = {"symbols": list(symbols) or "all", "interval_ms": interval_ms, "topics": ["best"]}
        for connected, prices in self._follow(subscription, {"best": _best}):
            yield BestView(connected, prices)

    def watch_index(self, symbols: Sequence[str] = (), interval_ms: int = 250) -> Iterator[IndexView]:
        """Yield changes of indexes as `watch` does; a gateway serves at most 20 symbols."""
        subscription = {"symbols": list(symbols) or "all", "interval_ms": interval_ms, "topics": ["index"]}
        for connected, indexes in self._follow(subscription, {"index": _index}):
            yield IndexView(connected, indexes)

    def watch_depth(self, symbols: Sequence[str], interval_ms: int = 250) -> Iterator[DepthView]:
        """Yield changes of books as `watch` does; a gateway serves at most 20 symbols."""
        subscription = {"symbols": list(symbols), "interval_ms": interval_ms, "topics": ["depth"]}
        for connected, books in self._follow(subscription, {"depth": _depth}):
            yield DepthView(connected, books)

    def _follow(
        self, subscription: dict[str, Any], events: _Events[_Value]
    ) -> Iterator[tuple[bool, list[_Value]]]:
        """Yield whether the viewer is connected, and the newest values of each symbol that changed."""
        from socketio.exceptions import SocketIOError

        while True:
            viewer = _Viewer(proxy_for(self.url), events)
            callers = sys.exception()  # if the caller iterates in an `except` block
            try:
                viewer.connect(self.url, subscription, self._timeout_s)
                self.trouble = None
                while viewer.connected:
                    yield True, viewer.wait(1.0)
                self.trouble = "the connection has ended"
            except SocketIOError as error:
                self.trouble = _root(error, callers)
            finally:
                viewer.close()
            yield False, []
            time.sleep(_RETRY_S)

    def _request(
        self,
        method: str,
        path: str,
        kind: type[_Answer],
        *,
        body: Any = None,
        accepted: int = 200,
        timeout_s: float = 0.0,
    ) -> _Answer:
        timeout_s = max(timeout_s, self._timeout_s)
        try:
            transport = httpx.HTTPTransport(verify=tls_context(), proxy=proxy_for(self.url))
            with httpx.Client(transport=transport, headers=self._headers, timeout=timeout_s) as http:
                answer = http.request(method, self.url + path, json=body)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise UnreachableError(f"no answer from {self.url}: {error}; is it running?") from None
        if answer.is_success or answer.status_code == accepted:
            with suppress(msgspec.DecodeError):
                return msgspec.json.decode(answer.content or b"null", type=kind)
        raise _problem(answer)


def _root(error: BaseException, callers: BaseException | None) -> str:
    """Return what went wrong first: the library only says that there was an error.

    What went wrong before, `callers`, is not ours.
    """
    while True:
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None or inner is callers:
            return str(error) or type(error).__name__
        error = inner


def _quotes(payload: object) -> list[Quote]:
    return msgspec.convert(payload, list[Quote])


def _best(payload: object) -> list[Best]:
    return [msgspec.convert(payload, Best)]


def _index(payload: object) -> list[Index]:
    return [msgspec.convert(payload, Index)]


def _depth(payload: object) -> list[Depth]:
    return [msgspec.convert(payload, Depth)]


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


class _Viewer(Generic[_Value]):
    """One connection: events arrive on the library's threads, `wait` passes them to the caller's."""

    def __init__(self, proxy: str | None, events: _Events[_Value]) -> None:
        import socketio

        self._changed = threading.Condition()
        self._newest: dict[str, _Value] = {}
        self._io = socketio.Client(
            reconnection=False, handle_sigint=False, websocket_extra_options=_proxy_options(proxy)
        )
        for event, parse in events.items():
            self._io.on(event, partial(self._on_values, parse))

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

    def wait(self, seconds: float) -> list[_Value]:
        """Wait up to `seconds` for changes; return the newest value of each symbol that changed."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest, seconds)
            newest, self._newest = self._newest, {}
        return list(newest.values())

    def close(self) -> None:
        self._io.disconnect()

    def _on_values(self, parse: Callable[[object], list[_Value]], payload: object) -> None:
        values = parse(payload)
        with self._changed:
            self._newest.update((value.symbol, value) for value in values)
            self._changed.notify()
