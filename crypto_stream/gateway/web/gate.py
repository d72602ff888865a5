"""The outer limit of engine.io sessions, before anything is kept for a new one."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sized
from typing import Any
from urllib.parse import parse_qs

from crypto_stream.gateway.web.headers import Wsgi

_BODY = json.dumps(
    {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "code": "too_many_viewers",
        "detail": "This gateway has as many connections as it takes; try again later.",
    }
).encode()
_HEADERS = [
    ("Content-Type", "application/problem+json"),
    ("Content-Length", str(len(_BODY))),
    ("Cache-Control", "no-store"),
    ("Retry-After", "5"),
]


class Gate:
    """Answer 503 to a new engine.io session beyond the limit: who never joins would cost memory unseen."""

    def __init__(self, app: Wsgi, sessions: Sized, most: int) -> None:
        """Wrap `app`; `sessions` are engine.io's own."""
        self._app = app
        self._sessions = sessions
        self._most = most

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        if (
            len(self._sessions) >= self._most
            and environ["PATH_INFO"].startswith("/socket.io")
            and "sid" not in parse_qs(environ.get("QUERY_STRING", ""))
        ):
            start_response("503 Service Unavailable", _HEADERS)
            return [_BODY]
        return self._app(environ, start_response)
