"""Which events viewers may send: judged where every transport passes, before Socket.IO calls a handler."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from socketio.packet import ACK

_Refusal = dict[str, Any]


def judge(known: Collection[str], data: object) -> _Refusal | None:
    """Return why an event packet with this data is refused, or None for an event that is `known`.

    A list of what is allowed: Socket.IO keeps `connect`, `disconnect` and `*` in the same table as our
    handlers, and would call them for a viewer who sends an event of that name.
    """
    if not isinstance(data, list) or not data or not isinstance(data[0], str):
        return refusal("bad_payload", "an event is an array that begins with its name, a text")
    if data[0] not in known:
        return refusal("unknown_event", f"no event {data[0][:40]!r}; known: {', '.join(known)}")
    return None


def refusal(code: str, reason: str) -> _Refusal:
    """Make the acknowledgement of what is refused."""
    return {"ok": False, "code": code, "reason": reason}


def guard(server: Any, known: Collection[str], takes: Callable[[str], bool]) -> None:
    """Let only `known` events reach the handlers of a `socketio.Server`, and acknowledge the others.

    `takes(viewer)` says whether this viewer is still to be answered.
    """
    dispatch = server._handle_event

    def judged(session: str, namespace: str | None, number: int | None, data: Any) -> None:
        refused = judge(known, data)
        if refused is None:
            dispatch(session, namespace, number, data)
            return
        place = namespace or "/"
        viewer = server.manager.sid_from_eio_sid(session, place)
        if number is not None and server.manager.is_connected(viewer, place) and takes(viewer):
            answer = server.packet_class(ACK, namespace=place, id=number, data=[refused])
            server._send_packet(session, answer)

    server._handle_event = judged
