"""Pages and static files. Pages contain no live values, so they change only with the instruments."""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from pathlib import Path

from flask import Blueprint, Response, redirect, request, send_from_directory
from werkzeug.wrappers import Response as Redirect

from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.api import find, quote_response
from crypto_stream.gateway.web.parameters import query_parameters
from crypto_stream.gateway.web.problems import prefers_json, prefers_page
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.responses import Prebuilt, respond
from crypto_stream.gateway.web.root_path import relative_root_for


def pages(mirror: Mirror, responses: ResponseCache, files: Path) -> Blueprint:
    """Make the blueprint of `/`, of each page by its name, of `/<symbol>` and `/static`.

    `/instruments` and `/<symbol>` are JSON for programs.
    """
    blueprint = Blueprint("pages", __name__)
    named = {
        "/docs": responses.docs,
        "/markets": responses.markets,
        "/orders": responses.orders,
        "/status": responses.status,
    }
    for at, page in named.items():
        blueprint.add_url_rule(at, at.strip("/"), partial(_page, page))

    blueprint.before_request(partial(_canonical_path, {*named, "/instruments"}))

    @blueprint.get("/")
    def board() -> Response:
        return respond(responses.board())

    @blueprint.get("/instruments")
    def instruments() -> Response:
        if prefers_page():
            return respond(responses.instruments())
        query_parameters()
        return respond(responses.listing())

    @blueprint.get("/<path:symbol>")
    def instrument(symbol: str) -> Response | Redirect:
        found = find(mirror, symbol)
        if symbol != found.symbol:
            return _moved(found.symbol)
        if prefers_json():
            query_parameters()
            return quote_response(responses, found, by_accept=True)
        return respond(responses.instrument(symbol))

    @blueprint.get("/static/<path:name>")
    def static(name: str) -> Response:
        cached = responses.file(name)
        return respond(cached) if cached else send_from_directory(files, name)

    return blueprint


def _page(page: Callable[[], Prebuilt]) -> Response:
    return respond(page())


def _canonical_path(pages: Container[str]) -> Redirect | None:
    """Redirect `/docs/` to `/docs`: the page's relative links would break below the slash."""
    path, page = request.path, request.path.strip("/")
    return _moved(page) if path.rstrip("/") in pages and path != f"/{page}" else None


def _moved(page: str) -> Redirect:
    """Redirect to a page's canonical URL, relatively: a proxy may serve us under a path unknown to us."""
    query = request.query_string.decode("latin-1")
    return redirect(f"{relative_root_for(request.environ)}{page}{'?' if query else ''}{query}", 308)
