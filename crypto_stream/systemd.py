"""Readiness and watchdog notifications for systemd, as described in sd_notify(3)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

_BEAT_S = 1.0

log = logging.getLogger(__name__)


class Notifier:
    """Send notifications to systemd; do nothing when it did not ask for them.

    The variables are removed from `environ`, so that child processes do not notify systemd as well.
    """

    def __init__(self, environ: MutableMapping[str, str] = os.environ) -> None:
        self._address = environ.pop("NOTIFY_SOCKET", "")
        environ.pop("WATCHDOG_PID", None)
        self._watched = bool(environ.pop("WATCHDOG_USEC", ""))
        self._next_s = 0.0

    def ready(self, status: str) -> None:
        """Report that the program is serving; `status` is shown by `systemctl status`."""
        self._send(f"READY=1\nSTATUS={status}")

    def beat(self) -> None:
        """Send a watchdog heartbeat, at most once a second, if the unit has WatchdogSec."""
        now = time.monotonic()
        if self._watched and now >= self._next_s:
            self._next_s = now + _BEAT_S
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
            log.debug("systemd cannot be notified", extra={"error": error})
