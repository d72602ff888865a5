"""Pages and their files: they carry no live value, so each is the same until the instruments change."""

from __future__ import annotations

from pathlib import Path

from flask import Blueprint, Response, redirect, request, send_from_directory
from werkzeug.wrappers import Response as Redirect

from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.api import find, quote_answer
from crypto_stream.gateway.web.mounted import way_back
from crypto_stream.gateway.web.parameters import given
from crypto_stream.gateway.web.problems import prefers_json
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.responses import reply

_PAGES = {"/docs", "/orders", "/status"}


def pages(mirror: Mirror, shelf: ResponseCache, files: Path) -> Blueprint:
    """Make the blueprint of `/`, `/docs`, `/orders`, `/status`, `/<symbol>` and `/static`."""
    blueprint = Blueprint("pages", __name__)

    @blueprint.before_request
    def one_address_each() -> Redirect | None:
        """A page's links are relative: under `/docs/` they would lead astray."""
        path = request.path
        return (
            _moved(path.strip("/")) if path.rstrip("/") in _PAGES and path != "/" + path.strip("/") else None
        )

    @blueprint.get("/")
    def board() -> Response:
        return reply(shelf.board())

    @blueprint.get("/docs")
    def docs() -> Response:
        return reply(shelf.docs())

    @blueprint.get("/orders")
    def orders() -> Response:
        return reply(shelf.orders())

    @blueprint.get("/status")
    def status() -> Response:
        return reply(shelf.status())

    @blueprint.get("/<path:symbol>")
    def instrument(symbol: str) -> Response | Redirect:
        found = find(mirror, symbol)
        if symbol != found.symbol:
            return _moved(found.symbol)
        if prefers_json():
            given()
            return quote_answer(shelf, found, by_accept=True)
        return reply(shelf.instrument(symbol))

    @blueprint.get("/static/<path:name>")
    def static(name: str) -> Response:
        small = shelf.file(name)
        return reply(small) if small else send_from_directory(files, name)

    return blueprint


def _moved(page: str) -> Redirect:
    """Lead to a page's canonical address, relative: a proxy may serve us under a path that we do not know."""
    query = request.query_string.decode("latin-1")
    return redirect(f"{way_back(request.environ)}{page}{'?' if query else ''}{query}", 308)
