"""Ids of orders and reports."""

from __future__ import annotations

import os


class IdGenerator:
    """Generate random UUIDs; randomness is fetched in bulk, because that system call releases the GIL.

    Those of orders begin with the time (RFC 9562, version 7): appending to an index costs less than half of
    writing at random places.
    """

    def __init__(self) -> None:
        self._hex = ""
        self._at = 0

    def __call__(self, now_ms: int | None = None) -> str:
        """Return a new id; with the time it is that of an order."""
        at = self._at
        if at >= len(self._hex):
            self._hex, at = os.urandom(16 * 256).hex(), 0
        self._at = at + 32
        text = self._hex[at : at + 32]
        variant = "89ab"[int(text[16], 16) & 3]
        begin, version = (text, 4) if now_ms is None else (f"{now_ms:012x}", 7)
        return f"{begin[:8]}-{begin[8:12]}-{version}{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"
