"""Which WebSocket close codes indicate a fault, and their names."""

from __future__ import annotations

from websockets.frames import CLOSE_CODE_EXPLANATIONS, Close, CloseCode

_MEANING: dict[int, str] = {int(code): meaning for code, meaning in CLOSE_CODE_EXPLANATIONS.items()}
# The page was left, or no code was given.
_NORMAL = frozenset(
    {CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE}
)


def fault(sent: Close | None) -> str:
    """Name the code of the close frame that was sent; "" for none and for a normal closure."""
    if sent is None or sent.code in _NORMAL:
        return ""
    return f"{_MEANING.get(sent.code, 'closed')} ({sent.code})"
