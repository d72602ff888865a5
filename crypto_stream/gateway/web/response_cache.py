"""What is answered often, built once: quotes until the next change, pages and files as long as they last."""

from __future__ import annotations

import mimetypes
from collections.abc import Callable
from pathlib import Path

import crypto_stream
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.mounted import to_root
from crypto_stream.gateway.web.openapi import DESCRIPTION
from crypto_stream.gateway.web.responses import HTML, LIVE, PAGE, Prebuilt, json_prebuilt
from crypto_stream.market.instruments import Catalogue

# Larger files are read from disk for each request.
_MOST_OF_A_FILE = 64 * 1024
_STATIC = "/static/"


class ResponseCache:
    """Prebuilt answers, each made at the first request after what it shows has changed.

    At most two per instrument and one per page and file are held. Files are found once, at the start; what
    the folder gets later is not on the shelf.
    """

    def __init__(self, mirror: Mirror, render: Callable[..., str], folder: Path) -> None:
        """Build from `mirror`, with `render` for templates and the files in `folder`."""
        self._mirror = mirror
        self._render = render
        self._files = {
            path.relative_to(folder).as_posix(): path
            for path in folder.rglob("*")
            if path.is_file() and path.stat().st_size < _MOST_OF_A_FILE
        }
        self._fixed = {
            "/": self.board,
            "/courses": self.courses,
            "/docs": self.docs,
            "/openapi.json": self.openapi,
            "/orders": self.orders,
            "/status": self.status,
        }
        self._lasting: dict[str, Prebuilt] = {}
        self._pages: dict[str, Prebuilt] = {}
        self._live: dict[str, Prebuilt] = {}
        self._listed = self._listing
        self._stamp = self.stamp

    @property
    def stamp(self) -> tuple[int, int]:
        """Tell one state of the mirror from another: what is live has changed when this has."""
        return self._mirror.version, self._mirror.seq

    @property
    def _venues(self) -> list[str]:
        return self._mirror.venues_of_pairs()

    @property
    def _listing(self) -> tuple[Catalogue, int]:
        """Tell what pages are made of from another: the instruments, and the digits of their numbers."""
        return self._mirror.catalogue, self._mirror.rules_version

    def find(self, path: str, prefers_json: bool) -> Prebuilt | None:
        """Find the answer to GET of exactly this path; None: ask the ordinary road, it knows more."""
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
        """Give all quotes; 503 while no price that counts is live: of the real pairs where there are any."""

        def make() -> Prebuilt:
            status = 200 if self._mirror.verdict().serves else 503
            return json_prebuilt(self._mirror.listed(), status=status, headers=self._position())

        return self._kept(self._live, "/courses", make)

    def course(self, symbol: str, by_accept: bool = False) -> Prebuilt | None:
        """Give one quote; None while the engine has sent none."""
        quote = self._mirror.quotes.get(symbol)
        if quote is None:
            return None

        def make() -> Prebuilt:
            return json_prebuilt(quote, headers=self._position(), by_accept=by_accept)

        return self._kept(self._live, f"{'/' if by_accept else '/courses/'}{symbol}", make)

    def openapi(self) -> Prebuilt:
        """Give the description of the interface."""
        return self._kept(self._lasting, "/openapi.json", lambda: json_prebuilt(DESCRIPTION, cache=PAGE))

    def board(self) -> Prebuilt:
        """Give the page with all quotes."""
        return self._page("/", "board.html", instruments=list(self._mirror.catalogue), venues=self._venues)

    def docs(self) -> Prebuilt:
        """Give the page that shows the description."""
        return self._page("/docs", "docs.html")

    def orders(self) -> Prebuilt:
        """Give the page on which orders are placed and watched."""
        return self._page("/orders", "orders.html", instruments=list(self._mirror.catalogue))

    def status(self) -> Prebuilt:
        """Give the page about the system itself."""
        return self._page("/status", "status.html")

    def instrument(self, symbol: str) -> Prebuilt:
        """Give the page of a known instrument."""
        catalogue = self._mirror.catalogue
        found = catalogue.find(symbol)
        return self._page(
            *(f"/{symbol}", "instrument.html"),
            instrument=found,
            instruments=list(catalogue),
            venues=self._venues,
        )

    def file(self, name: str) -> Prebuilt | None:
        """Give a file of the pages; None where there is none or it is large."""
        path = self._files.get(name)
        if path is None:
            return None
        return self._kept(self._lasting, name, lambda: Prebuilt(path.read_bytes(), _kind(name), cache=LIVE))

    def _page(self, path: str, template: str, **context: object) -> Prebuilt:
        def make() -> Prebuilt:
            about = {
                "version": crypto_stream.__version__,
                "digits": self._mirror.digits,
                "root": to_root(path),
            }
            text = self._render(template, **about, **context)
            # Before the engine came the list of instruments is empty.
            return Prebuilt(text.encode(), HTML, cache=PAGE if self._mirror.epoch else LIVE)

        return self._kept(self._pages, path, make)

    def _kept(self, kept: dict[str, Prebuilt], key: str, make: Callable[[], Prebuilt]) -> Prebuilt:
        """Return what is kept and still true, else make it."""
        if self._stamp != self.stamp:
            self._stamp = self.stamp
            self._live.clear()
        if self._listed != self._listing:
            self._listed = self._listing
            self._pages.clear()
        made = kept.get(key)
        if made is None:
            made = kept[key] = make()
        return made

    def _position(self) -> dict[str, str]:
        return {"Stream-Epoch": self._mirror.epoch or "", "Stream-Seq": str(self._mirror.seq)}


def _kind(name: str) -> str:
    """Name a file's media type as browsers need it: scripts and styles with their charset."""
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    text = kind.startswith("text/") or kind.endswith(("+xml", "javascript"))
    return f"{kind}; charset=utf-8" if text else kind
