"""Prebuilt responses: quotes until the next change, pages until the instruments change, static files."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Sequence
from pathlib import Path

import crypto_stream
from crypto_stream import layout
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.csv_body import CSV, csv_body
from crypto_stream.gateway.web.listing import listing
from crypto_stream.gateway.web.openapi import DESCRIPTION
from crypto_stream.gateway.web.responses import HTML, LIVE, PAGE, Prebuilt, json_prebuilt
from crypto_stream.gateway.web.root_path import relative_root
from crypto_stream.market.coins import NAMES, coin_name
from crypto_stream.market.instruments import Catalogue
from crypto_stream.market.quotes import Quote

# Larger files are read from disk for each request.
_MAX_FILE_BYTES = 64 * 1024
_STATIC = "/static/"
# Pages of instruments, about 20 kB each: those used last are kept.
_MAX_OF_INSTRUMENTS = 500


class ResponseCache:
    """Prebuilt responses, each made at the first request after its content has changed.

    It holds at most two quotes per instrument, the pages of 500 instruments, and one response per other page
    and file. Files are listed once, at the start; those added to the folder later are not cached.
    """

    def __init__(self, mirror: Mirror, render: Callable[..., str], folder: Path) -> None:
        """Build from `mirror`, with `render` for templates and the files in `folder`."""
        self._mirror = mirror
        self._render = render
        self._files = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file() and path.stat().st_size < _MAX_FILE_BYTES
        }
        self._fixed = {
            "/": self.board,
            "/courses": self.courses,
            "/docs": self.docs,
            "/markets": self.markets,
            "/openapi.json": self.openapi,
            "/orders": self.orders,
            "/status": self.status,
        }
        self._permanent: dict[str, Prebuilt] = {}
        self._pages: dict[str, Prebuilt] = {}
        self._of_instruments: dict[str, Prebuilt] = {}  # pages, the one used last at the end
        self._live: dict[str, Prebuilt] = {}
        self._pages_version = self._page_inputs
        self._live_version = self.version

    @property
    def version(self) -> int:
        """Identify the mirror's state: live responses are outdated once this has changed."""
        return self._mirror.version

    @property
    def _venues(self) -> list[str]:
        return self._mirror.venues_of_pairs()

    @property
    def _page_inputs(self) -> tuple[Catalogue, int]:
        """Identify what pages are rendered from: the instruments, and the digits of their numbers."""
        return self._mirror.catalogue, self._mirror.trading_rules.version

    def find(self, path: str, prefers_json: bool) -> Prebuilt | None:
        """Find the response to GET of exactly this path; None: leave the request to Flask."""
        fixed = self._fixed.get(path)
        if fixed:
            return fixed()
        if path.startswith(_STATIC):
            return self.file(path.removeprefix(_STATIC))
        symbol = path.removeprefix("/courses/").removeprefix("/")
        instrument = self._mirror.catalogue.find(symbol)
        if instrument is None or instrument.symbol != symbol:
            return None
        if path == f"/courses/{symbol}":
            return self.course(symbol)
        if path != f"/{symbol}":
            return None
        return self.course(symbol, by_accept=True) if prefers_json else self.instrument(symbol)

    def courses(self) -> Prebuilt:
        """Return all quotes; with status 503 while no price is live (of the real pairs, if there are any)."""

        def make() -> Prebuilt:
            status = 200 if self._mirror.verdict().serves else 503
            return json_prebuilt(self._mirror.listed(), status=status, headers=self._position())

        return self._cached(self._live, "/courses", make)

    def courses_csv(self) -> Prebuilt:
        """Return all quotes as CSV, with the status of `courses`."""
        serves = self._mirror.verdict().serves

        def make() -> Prebuilt:
            return self.quotes(self._mirror.listed(), live=serves, as_csv=True)

        return self._cached(self._live, "/courses?format=csv", make)

    def quotes(self, quotes: Sequence[Quote], *, live: bool, as_csv: bool) -> Prebuilt:
        """Make a response of some quotes, with status 503 unless they are `live`; it is not cached."""
        status, headers = 200 if live else 503, self._position()
        if not as_csv:
            return json_prebuilt(quotes, status=status, headers=headers)
        body = csv_body(Quote.__struct_fields__, quotes)
        return Prebuilt(body, CSV, status=status, headers=headers)

    def course(self, symbol: str, by_accept: bool = False) -> Prebuilt | None:
        """Return one quote; None while the engine has sent none."""
        quote = self._mirror.quotes.get(symbol)
        if quote is None:
            return None

        def make() -> Prebuilt:
            return json_prebuilt(quote, headers=self._position(), by_accept=by_accept)

        return self._cached(self._live, f"{'/' if by_accept else '/courses/'}{symbol}", make)

    def openapi(self) -> Prebuilt:
        """Return the OpenAPI description."""
        return self._cached(self._permanent, "/openapi.json", lambda: json_prebuilt(DESCRIPTION, cache=PAGE))

    def board(self) -> Prebuilt:
        """Return the page with all quotes."""
        return self._page("/", "board.html", instruments=list(self._mirror.catalogue), venues=self._venues)

    def docs(self) -> Prebuilt:
        """Return the page that shows the OpenAPI description."""
        return self._page("/docs", "docs.html")

    def instruments(self) -> Prebuilt:
        """Return the page on which instruments are added and removed."""
        return self._page(
            "/instruments",
            "instruments.html",
            coins=NAMES,
            instruments=list(self._mirror.catalogue),
            command=layout.COMMAND,
        )

    def listing(self) -> Prebuilt:
        """Return the instruments as JSON."""

        def make() -> Prebuilt:
            return json_prebuilt(listing(self._mirror.catalogue), by_accept=True)

        return self._cached(self._pages, "/instruments as JSON", make)

    def markets(self) -> Prebuilt:
        """Return the page that compares the venues of each real pair."""
        instruments = list(self._mirror.catalogue)
        return self._page("/markets", "markets.html", instruments=instruments, venues=self._venues)

    def orders(self) -> Prebuilt:
        """Return the page on which orders are placed and watched."""
        return self._page("/orders", "orders.html", instruments=list(self._mirror.catalogue))

    def status(self) -> Prebuilt:
        """Return the status page."""
        return self._page("/status", "status.html", command=layout.COMMAND)

    def instrument(self, symbol: str) -> Prebuilt:
        """Return the page of a known instrument; it names no others but its neighbours."""
        catalogue = self._mirror.catalogue
        page = self._page(
            f"/{symbol}",
            "instrument.html",
            self._of_instruments,
            instrument=catalogue.find(symbol),
            neighbours=catalogue.neighbours(symbol),
            venues=self._venues,
        )
        if len(self._of_instruments) > _MAX_OF_INSTRUMENTS:
            del self._of_instruments[next(iter(self._of_instruments))]
        return page

    def file(self, name: str) -> Prebuilt | None:
        """Return a static file; None if there is none or it is large."""
        path = self._files.get(name)
        if path is None:
            return None
        return self._cached(
            self._permanent, name, lambda: Prebuilt(path.read_bytes(), _media_type(name), cache=LIVE)
        )

    def _page(
        self, path: str, template: str, cache: dict[str, Prebuilt] | None = None, **context: object
    ) -> Prebuilt:
        def make() -> Prebuilt:
            text = self._render(
                template,
                version=crypto_stream.__version__,
                digits=self._mirror.trading_rules.digits,
                coin=coin_name,
                root=relative_root(path),
                **context,
            )
            # Until the engine has connected the list of instruments is empty: do not let it be cached.
            return Prebuilt(text.encode(), HTML, cache=PAGE if self._mirror.epoch else LIVE)

        return self._cached(self._pages if cache is None else cache, path, make)

    def _cached(self, cache: dict[str, Prebuilt], key: str, make: Callable[[], Prebuilt]) -> Prebuilt:
        """Return the cached response if it is still current, else make it."""
        if self._live_version != self.version:
            self._live_version = self.version
            self._live.clear()
        if self._pages_version != self._page_inputs:
            self._pages_version = self._page_inputs
            self._pages.clear()
            self._of_instruments.clear()
        made = cache.pop(key, None)
        if made is None:
            made = make()
        cache[key] = made  # at the end, as the one used last
        return made

    def _position(self) -> dict[str, str]:
        return {"Stream-Epoch": self._mirror.epoch or "", "Stream-Seq": str(self._mirror.seq)}


def _media_type(name: str) -> str:
    """Return a file's Content-Type; scripts and styles with their charset."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind.endswith(("+xml", "javascript"))
    return f"{kind}; charset=utf-8" if text else kind
