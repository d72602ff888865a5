"""Tells systemd that this program serves and lives, as sd_notify(3) says; nobody where it does not ask."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Notifier:
    """Writes to the socket that systemd names in NOTIFY_SOCKET, which no other process is told of."""

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        """Take the socket's address out of `environ`."""
        self._address = environ.pop("NOTIFY_SOCKET", "")
        environ.pop("WATCHDOG_PID", None)
        self._watched = bool(environ.pop("WATCHDOG_USEC", ""))
        self._next_s = 0.0

    def ready(self, status: str) -> None:
        """Say that all of it serves; `status` is a line for `systemctl status`."""
        self._send(f"READY=1\nSTATUS={status}")

    def beat(self) -> None:
        """Say that we live, at most once a second; for a unit with WatchdogSec."""
        now = time.monotonic()
        if self._watched and now >= self._next_s:
            self._next_s = now + _EVERY_S
            self._send("WATCHDOG=1")

    def _send(self, text: str) -> None:
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(text.encode(), address)
        except OSError as error:
            log.debug("systemd cannot be told", extra={"error": error})
