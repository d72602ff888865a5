"""A gateway's process: from its settings to its exit status."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from crypto_stream import descriptors
from crypto_stream.gateway.gateway import Gateway
from crypto_stream.gateway.listener import prepare
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)


def main(
    settings: Settings, bus_path: Path, listener: socket.socket, beat: Callable[[], None], name: str
) -> int:
    """Serve until SIGTERM or SIGINT, and return the exit status; `beat` is called every second.

    `name` distinguishes this gateway from others on the same port.
    """
    prepare(listener)
    files = descriptors.raise_limit()
    if settings.max_viewers > files:
        log.warning(
            "max_viewers %d is more than this process can serve: it may open %d files; raise LimitNOFILE or "
            "`ulimit -n`, or lower max_viewers",
            settings.max_viewers,
            files,
        )
    gateway = Gateway(settings, bus_path, name)
    stopping = _on_signals()
    gateway.start(listener)
    try:
        return gateway.supervise(stopping, beat)
    finally:
        gateway.stop()


def _on_signals() -> list[int]:
    """Collect SIGTERM and SIGINT in the returned list: with green threads, a handler must do no more."""
    arrived: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)

    signal.signal(signal.SIGTERM, note)
    signal.signal(signal.SIGINT, note)
    return arrived
