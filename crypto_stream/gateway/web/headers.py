"""The headers of every response: one WSGI middleware around Flask and Socket.IO."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from crypto_stream.gateway.web.origins import allowed, listed

# lightweight-charts 5.2.1 inserts one constant <style> element, for its logo; a test recomputes this hash.
_CHART_STYLE = "'sha256-3pRED1tOXas1FXFoPb9TGCjmYe9XQsmO9OV23khV2nY='"
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        f"style-src 'self' {_CHART_STYLE}",
        "img-src 'self' data:",
        "connect-src 'self'",
        "font-src 'self'",
        "manifest-src 'self'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
SECURITY = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cross-Origin-Opener-Policy", "same-origin"),
)
_EXPOSED = "ETag, Retry-After, Stream-Epoch, Stream-Seq"
# Max-Age: how many seconds a browser may cache the answer to a preflight.
_PREFLIGHT = (
    ("Access-Control-Allow-Methods", "GET, HEAD, POST"),
    ("Access-Control-Allow-Headers", "Accept, Authorization, Cache-Control, Content-Type, If-None-Match"),
    ("Access-Control-Max-Age", "600"),
)
_PREFLIGHT_METHOD = "HTTP_ACCESS_CONTROL_REQUEST_METHOD"
_CREDENTIALS = ("Access-Control-Allow-Credentials", "true")

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def of_every_answer(origins: Sequence[str]) -> list[tuple[str, str]]:
    """List the headers added to every response to a request without an Origin."""
    return [*SECURITY, *([("Vary", "Origin")] if origins else [])]


class Headers:
    """Add the security headers to every response, and the CORS headers for allowed origins.

    CORS preflights are answered here. Credentials are allowed only to origins that the setting names: with
    `*` any page could use the login that a browser holds for a proxy in front of us.
    """

    def __init__(self, app: Wsgi, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = origins

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        cors = self._cors(environ)
        extra = [*self._fixed(environ), *cors]
        if cors and environ["REQUEST_METHOD"] == "OPTIONS" and _PREFLIGHT_METHOD in environ:
            start_response("204 NO CONTENT", [*extra, *_PREFLIGHT])
            return []

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, headers + extra, *rest)

        return self._app(environ, start)

    def _fixed(self, environ: dict[str, Any]) -> list[tuple[str, str]]:
        origin = environ.get("HTTP_ORIGIN")
        credentials = [_CREDENTIALS] if listed(self._origins, origin) else []
        if _of_engine_io(environ):  # engine.io adds the other CORS headers itself
            return [*SECURITY, *credentials]
        return [*of_every_answer(self._origins), *credentials]

    def _cors(self, environ: dict[str, Any]) -> list[tuple[str, str]]:
        """List the headers that let another origin's page read the response; empty if it may not."""
        origin = environ.get("HTTP_ORIGIN")
        if not self._origins or origin is None or _of_engine_io(environ):
            return []
        if not allowed(self._origins, origin, environ):
            return []
        return [("Access-Control-Allow-Origin", origin), ("Access-Control-Expose-Headers", _EXPOSED)]


def _of_engine_io(environ: dict[str, Any]) -> bool:
    return str(environ["PATH_INFO"]).startswith("/socket.io")
