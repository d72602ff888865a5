"""Headers that every answer carries, whoever made it: one WSGI layer around Flask and Socket.IO."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from crypto_stream.gateway.web.origins import allowed

# lightweight-charts 5.2.1 adds one constant <style> element, for its logo; a test computes this hash.
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
_READABLE = "ETag, Stream-Epoch, Stream-Seq"

Wsgi = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


def of_every_answer(origins: Sequence[str]) -> list[tuple[str, str]]:
    """List what ends the headers of each answer to a request without an Origin."""
    return [*SECURITY, *([("Vary", "Origin")] if origins else [])]


class Headers:
    """Add the security headers to every answer, and to reads of allowed other origins what lets them read."""

    def __init__(self, app: Wsgi, origins: Sequence[str]) -> None:
        """Wrap `app`."""
        self._app = app
        self._origins = origins

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        extra = self._extra(environ)

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, headers + extra, *rest)

        return self._app(environ, start)

    def _extra(self, environ: dict[str, Any]) -> list[tuple[str, str]]:
        origin = environ.get("HTTP_ORIGIN")
        if not self._origins or environ["PATH_INFO"].startswith("/socket.io"):  # engine.io adds its own
            return list(SECURITY)
        plain = of_every_answer(self._origins)
        if origin is None or environ["REQUEST_METHOD"] not in {"GET", "HEAD"}:
            return plain
        if not allowed(self._origins, origin, environ):
            return plain
        return [
            *SECURITY,
            ("Access-Control-Allow-Origin", origin),
            ("Access-Control-Expose-Headers", _READABLE),
            ("Vary", "Origin"),
        ]
