"""Served under a path of a proxy: pages have relative addresses, what comes with the path loses it here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from crypto_stream.gateway.web.headers import Wsgi

_RAW = "RAW_PATH_INFO"  # the path before its escapes are read


def inside(root_path: str, path: str) -> str:
    """Return `path` without `root_path` before it; a proxy may have cut it off already."""
    return path.removeprefix(root_path) if path.startswith(f"{root_path}/") else path


def to_root(path: str) -> str:
    """Return the way from the page at `path` to the board, as a relative address that ends with a slash."""
    return "../" * (path.count("/") - 1) or "./"


def way_back(environ: Mapping[str, Any]) -> str:
    """Return the way from what this request asks for to the board: an escaped slash is none for a browser."""
    raw = str(environ.get(_RAW, ""))
    return to_root(raw if raw.startswith("/") else str(environ["PATH_INFO"]))


class Mounted:
    """Let the application see its own paths; the root without its final slash is led to it."""

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
            environ[name] = inside(self._root_path, environ.get(name, ""))
        return self._app(environ, start_response)
