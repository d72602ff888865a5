"""Error responses: application/problem+json with a stable code, or a page for browsers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from flask import Flask, Response, render_template, request
from werkzeug.exceptions import HTTPException

import crypto_stream
from crypto_stream.errors import CryptoStreamError
from crypto_stream.gateway.web.responses import HTML, LIVE, NEVER, body_response
from crypto_stream.gateway.web.root_path import relative_root_for

log = logging.getLogger(__name__)

PROBLEM = "application/problem+json"
_DETAILS = {
    404: "There is nothing at this address.",
    405: "This address does not support that method.",
    413: "The request is too large.",
}


class ProblemError(CryptoStreamError):
    """An error of one request: its HTTP status, a stable code and a sentence for people.

    `more` are further members of the JSON body, `near` the symbols that the client may have meant.
    """

    def __init__(self, status: int, code: str, detail: str, near: Sequence[str] = (), **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.near = near
        self.more = more
        self.headers: dict[str, str] = {}


def prefers_page() -> bool:
    """Return whether the client accepts HTML and prefers it to JSON, as browsers do."""
    accepted = request.accept_mimetypes
    return accepted["text/html"] > accepted["application/json"]


def prefers_json() -> bool:
    """Return whether the client accepts JSON and prefers it to HTML."""
    accepted = request.accept_mimetypes
    return accepted["application/json"] > accepted["text/html"]


def show(problem: ProblemError) -> Response:
    """Respond with a problem."""
    title = HTTPStatus(problem.status).phrase
    cache = LIVE if problem.status == 404 else NEVER
    if prefers_page():
        page = render_template(
            "problem.html",
            version=crypto_stream.__version__,
            root=relative_root_for(request.environ),
            status=problem.status,
            title=title,
            detail=problem.detail,
            near=list(problem.near),
        )
        response = body_response(page.encode(), HTML, status=problem.status, cache=cache)
    else:
        body = {
            "type": "about:blank",
            "title": title,
            "status": problem.status,
            "code": problem.code,
            "detail": problem.detail,
            **({"near": list(problem.near)} if problem.near else {}),
            **problem.more,
        }
        response = body_response(
            msgspec.json.encode(body), PROBLEM, status=problem.status, cache=cache, by_accept=True
        )
    response.headers.extend(problem.headers)
    return response


def install(app: Flask) -> None:
    """Turn every error of the app into a problem."""

    @app.errorhandler(ProblemError)
    def known(problem: ProblemError) -> Response:
        # The traceback refers to frames that hold the problem and the whole request: a reference cycle.
        return show(problem.with_traceback(None))

    @app.errorhandler(HTTPException)
    def of_http(error: HTTPException) -> Response:
        status = error.code or 500
        if status < 400:  # a redirect
            return app.make_response(error.get_response())
        phrase = HTTPStatus(status).phrase
        problem = ProblemError(status, phrase.lower().replace(" ", "_"), _DETAILS.get(status, f"{phrase}."))
        kept = {"Allow", "Retry-After", "WWW-Authenticate"}
        problem.headers = {name: value for name, value in error.get_headers() if name in kept}
        return show(problem)

    @app.errorhandler(Exception)
    def unknown(error: Exception) -> Response:
        log.error("request failed", exc_info=error, extra={"path": request.path})
        return show(ProblemError(500, "internal_error", "Something went wrong on our side; try again."))
