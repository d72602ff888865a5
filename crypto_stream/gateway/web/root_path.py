"""Serving under a proxy's path: pages link relatively, and the prefix is stripped from requests here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crypto_stream.gateway.web.headers import Wsgi

_RAW = "RAW_PATH_INFO"  # the path before percent-decoding


def strip_root_path(root_path: str, path: str) -> str:
    """Return `path` without the prefix `root_path`, which the proxy may have stripped already."""
    return path.removeprefix(root_path) if path.startswith(f"{root_path}/") else path


def relative_root(path: str) -> str:
    """Return the relative URL from the page at `path` to the board; it ends with a slash."""
    return "../" * (path.count("/") - 1) or "./"


def relative_root_for(environ: Mapping[str, Any]) -> str:
    """Return the relative URL from the requested page to the board; a browser ignores an escaped slash."""
    raw = str(environ.get(_RAW, ""))
    return relative_root(raw if raw.startswith("/") else str(environ["PATH_INFO"]))


class RootPath:
    """WSGI middleware: strip the proxy's path; redirect the root to its form with a final slash."""

    def __init__(self, app: Wsgi, root_path: str) -> None:
        """Wrap `app`, which a proxy serves under `root_path`: empty, or /a/path without a final slash."""
        self._app = app
        self._root_path = root_path

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve one request."""
        path = environ["PATH_INFO"]
        if path == self._root_path:
            start_response(
                "308 PERMANENT REDIRECT",
                [("Location", f"./{path.rpartition('/')[2]}/"), ("Content-Length", "0")],
            )
            return []
        for name in ("PATH_INFO", _RAW):
            environ[name] = strip_root_path(self._root_path, environ.get(name, ""))
        return self._app(environ, start_response)
