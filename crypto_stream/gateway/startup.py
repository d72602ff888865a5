"""The startup grace period: requests that need the engine wait a few seconds for it to connect."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.headers import Wsgi

# Seconds after a gateway's start before it reports the engine as unreachable.
GRACE_S = 5.0
_POLL_S = 0.02
# First path segments that need no engine, or whose pages fill themselves once it connects.
_NO_WAIT = frozenset(
    [
        "",
        "healthz",
        "readyz",
        "metrics",
        "static",
        "docs",
        "openapi.json",
        "socket.io",
        "ws",
        "status",
        "orders",
    ]
)


class StartupGrace:
    """The time in which it is too early to report the engine as unreachable."""

    def __init__(
        self, mirror: Mirror, seconds: float = GRACE_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Start now; it ends when `mirror` has an epoch, or after `seconds`."""
        self._mirror = mirror
        self._clock = clock
        self._until = clock() + seconds

    def active(self) -> bool:
        """Return whether the engine has never connected and may still do so."""
        return self._mirror.epoch is None and self._clock() < self._until

    def wrap(self, app: Wsgi) -> Wsgi:
        """Make requests that need the engine wait during the grace period."""

        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if self.active() and environ["PATH_INFO"].strip("/").partition("/")[0] not in _NO_WAIT:
                while self.active():
                    time.sleep(_POLL_S)
            return app(environ, start_response)

        return serve
