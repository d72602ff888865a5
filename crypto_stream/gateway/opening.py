"""The first seconds of a gateway: who comes before it has heard the engine waits a little."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.web.headers import Wsgi

# Seconds after its start for which a gateway takes the engine's silence for its own youth.
OPENING_S = 5.0
_STEP_S = 0.02
# What needs no engine, or fills itself when it comes: the first parts of the paths.
_AT_ONCE = frozenset(
    (
        *("", "healthz", "readyz", "metrics", "static", "docs", "openapi.json"),
        *("socket.io", "ws", "status", "orders"),
    )
)


class Opening:
    """Tell whether it is too early to say that the engine cannot be reached."""

    def __init__(
        self, mirror: Mirror, seconds: float = OPENING_S, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin now; over when `mirror` knows an epoch, or after these seconds."""
        self._mirror = mirror
        self._clock = clock
        self._until = clock() + seconds

    def early(self) -> bool:
        """Say whether the engine was never heard, and may still come."""
        return self._mirror.epoch is None and self._clock() < self._until

    def around(self, app: Wsgi) -> Wsgi:
        """Let requests that need the engine wait while it is early."""

        def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if self.early() and environ["PATH_INFO"].strip("/").partition("/")[0] not in _AT_ONCE:
                while self.early():
                    time.sleep(_STEP_S)
            return app(environ, start_response)

        return serve
