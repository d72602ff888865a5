"""Frames of a client joined to whole messages, and the count of those that are none."""

from __future__ import annotations

import time

from websockets.frames import Frame, Opcode

# Frames that are no whole message (pings, pongs, fragments) which one client may send within this time, and
# how many before it is slowed down.
_MOST_SMALL = 1_000
_FEW_SMALL = 100
_SMALL_S = 10.0
# Seconds for which who sends more than a few is not read after each.
_SMALL_COSTS_S = 0.005


class MessageAssembly:
    """The message of which a part has come. Its size is bounded by who reads the frames."""

    __slots__ = ("_part", "_small", "_small_since_s")

    def __init__(self) -> None:
        self._part: tuple[Opcode, bytearray] | None = None
        self._small = 0
        self._small_since_s = 0.0

    def kept(self) -> int | None:
        """Count the bytes of the part; None where there is none."""
        return None if self._part is None else len(self._part[1])

    def clear(self) -> None:
        """Give up the part."""
        self._part = None

    def small(self) -> float | None:
        """Count a frame that is no message: each costs as much as one.

        Returns the seconds for which its sender is to be read no more; None when it sent too many.
        """
        now = time.monotonic()
        if now - self._small_since_s > _SMALL_S:
            self._small, self._small_since_s = 0, now
        self._small += 1
        if self._small > _MOST_SMALL:
            return None
        return _SMALL_COSTS_S if self._small > _FEW_SMALL else 0.0

    def add(self, frame: Frame) -> str | bytes | None:
        """Take a frame and return the message that it ends; UnicodeDecodeError for text that is not UTF-8."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            part: tuple[Opcode, bytearray] = frame.opcode, bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._part is not None:
            part = self._part
            part[1].extend(frame.data)
        else:
            return None
        self._part = None if frame.fin else part
        if not frame.fin:
            return None
        kind, body = part
        return str(body, "utf-8") if kind is Opcode.TEXT else bytes(body)
