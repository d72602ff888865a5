"""What engine.io is not even asked: polling where it cannot work, and sessions beyond the limit."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sized
from http import HTTPStatus
from typing import Any, NamedTuple
from urllib.parse import parse_qs

from crypto_stream.gateway.web.headers import Wsgi

_Answer = tuple[str, list[tuple[str, str]], bytes]


def _problem(status: HTTPStatus, code: str, detail: str, *headers: tuple[str, str]) -> _Answer:
    title = status.phrase
    about = {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
    body = json.dumps(about).encode()
    fixed = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    return f"{status} {title}", [*fixed, *headers], body


_FULL = _problem(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too_many_viewers",
    "This gateway has as many connections as it takes; try again later.",
    ("Retry-After", "5"),
)
_POLLING = _problem(
    HTTPStatus.BAD_REQUEST,
    "websocket_only",
    "Several gateways share this port, so polling cannot work: clients must use transports: ['websocket'].",
)


class Admission(NamedTuple):
    """How many engine.io sessions may be open, and whether they may begin with polling."""

    most: int
    polling: bool = True


class Gate:
    """Answer for engine.io where it must not begin a session.

    503 beyond the limit: who never joins would cost memory unseen. 400 to polling where several gateways
    share the port: each poll would come to another of them.
    """

    def __init__(self, app: Wsgi, sessions: Sized, admission: Admission) -> None:
        """Wrap `app`; `sessions` are engine.io's own."""
        self._app = app
        self._sessions = sessions
        self._most, self._polling = admission

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if environ["PATH_INFO"].startswith("/socket.io"):
            refusal = self._refusal(parse_qs(environ.get("QUERY_STRING", "")))
            if refusal is not None:
                status, headers, body = refusal
                start_response(status, headers)
                return [body]
        return self._app(environ, start_response)

    def _refusal(self, query: dict[str, list[str]]) -> _Answer | None:
        if not self._polling and query.get("transport") != ["websocket"]:
            return _POLLING
        if len(self._sessions) >= self._most and "sid" not in query:
            return _FULL
        return None
