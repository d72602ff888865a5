"""Replaces parts of engine.io's internals. `tests/gateway/test_engineio.py` checks that they are unchanged.

- The `websocket` slot: engine.io's WebSocket needs two green threads, ours none (`delivery.upgrades`).
- The queue of a session: `close` would wait until the client, which may have gone, has fetched everything.
- `_send_ping`: engine.io starts a green thread for each ping; we have one timer (`delivery.heartbeat`).
- `_handle_connect`, for sessions that begin as a WebSocket: most do, and `joining` has already parsed the
  request that would otherwise pass through WSGI, Flask and engine.io.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from engineio.socket import Socket


def patch(engine: Any, websocket: Any) -> None:
    """Give an `engineio.Server` our WebSockets, and queues whose `join` does not wait."""

    class Queue(engine._async["queue"]):  # type: ignore[misc, name-defined]
        def join(self) -> None:
            """Return at once."""

    engine._async = {**engine._async, "websocket": websocket, "queue": Queue}


def take_pings(engine: Any, schedule: Callable[[Any], None]) -> None:
    """Call `schedule(session)` where engine.io would start a green thread that pings it later."""
    start = engine.start_background_task

    def start_task(target: Callable[..., Any], *args: Any, **named: Any) -> Any:
        if getattr(target, "__name__", "") != "_send_ping":
            return start(target, *args, **named)
        schedule(target.__self__)  # type: ignore[attr-defined]
        return None

    engine.start_service_task = False
    engine.start_background_task = start_task


def open_session(engine: Any, address: str) -> tuple[Any, bytes]:
    """Open a session that begins as a WebSocket; return it and the client's first packet."""
    sid = engine.generate_id()
    session = engine.sockets[sid] = Socket(engine, sid)
    try:
        engine.handlers["connect"](sid, {"REMOTE_ADDR": address})
    except BaseException:
        del engine.sockets[sid]
        raise
    session.schedule_ping()
    about = {
        "sid": sid,
        "upgrades": [],
        "pingTimeout": int(engine.ping_timeout * 1000),
        "pingInterval": int(engine.ping_interval + engine.ping_interval_grace_period) * 1000,
        "maxPayload": engine.max_http_buffer_size,
    }
    return session, b"0" + msgspec.json.encode(about)


def may_upgrade(session: Any) -> bool:
    """Return whether a polling session may upgrade to a WebSocket, by the rules of `handle_request`."""
    return session.connected and not (session.upgraded or session.upgrading or session.closed)
