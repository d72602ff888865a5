"""Joins a client's frames into messages, and counts the frames that are not messages."""

from __future__ import annotations

import time

from websockets.frames import Frame, Opcode

# Frames other than whole messages (pings, pongs, fragments) that one client may send within the window. Each
# costs as much as a message: beyond the first number the client is slowed down, beyond the second closed.
_FREE_NON_MESSAGES = 100
_MAX_NON_MESSAGES = 1_000
_WINDOW_S = 10.0
# Seconds for which a client is not read after each one that is not free.
_READ_DELAY_S = 0.005


class MessageAssembly:
    """The message of which only fragments have arrived. The WebSocket limits its size."""

    __slots__ = ("_non_messages", "_partial", "_window_began_s")

    def __init__(self) -> None:
        self._partial: tuple[Opcode, bytearray] | None = None
        self._non_messages = 0
        self._window_began_s = 0.0

    def size(self) -> int | None:
        """Return the bytes of the incomplete message; None if there is none."""
        return None if self._partial is None else len(self._partial[1])

    def clear(self) -> None:
        """Discard the incomplete message."""
        self._partial = None

    def count_non_message(self) -> float | None:
        """Count a frame that is not a whole message.

        Returns the seconds for which its sender must not be read; None if it has sent too many.
        """
        now = time.monotonic()
        if now - self._window_began_s > _WINDOW_S:
            self._non_messages, self._window_began_s = 0, now
        self._non_messages += 1
        if self._non_messages > _MAX_NON_MESSAGES:
            return None
        return _READ_DELAY_S if self._non_messages > _FREE_NON_MESSAGES else 0.0

    def add(self, frame: Frame) -> str | bytes | None:
        """Add a frame; return the message it completes. UnicodeDecodeError for text that is not UTF-8."""
        if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
            partial: tuple[Opcode, bytearray] = frame.opcode, bytearray(frame.data)
        elif frame.opcode is Opcode.CONT and self._partial is not None:
            partial = self._partial
            partial[1].extend(frame.data)
        else:
            return None
        self._partial = None if frame.fin else partial
        if not frame.fin:
            return None
        kind, body = partial
        return str(body, "utf-8") if kind is Opcode.TEXT else bytes(body)
