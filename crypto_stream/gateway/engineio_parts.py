"""The places where we reach into engine.io: what stands in for what, and why. Held by test_engineio.

- The `websocket` slot: a WebSocket there costs a green thread to read and one to write; ours cost none
  (`delivery.upgrades`).
- The queue of a session: closing would wait until a client, which may have gone, took everything.
- `_send_ping`: engine.io starts a green thread for each ping; we have one clock (`delivery.heartbeat`).
- `_handle_connect` for a session that begins as a WebSocket: most do, and on the way there each request
  passes WSGI, Flask and engine.io's reading of it, which `joining` has done already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from engineio.socket import Socket


def fit(engine: Any, websocket: Any) -> None:
    """Give an `engineio.Server` our WebSockets, and queues that nobody waits for."""

    class Queue(engine._async["queue"]):  # type: ignore[misc, name-defined]
        def join(self) -> None:
            """Wait for nothing."""

    engine._async = {**engine._async, "websocket": websocket, "queue": Queue}


def take_pings(engine: Any, due: Callable[[Any], None]) -> None:
    """Have `due(session)` called where engine.io would start a green thread to ping it after a while."""
    start = engine.start_background_task

    def start_task(target: Callable[..., Any], *args: Any, **named: Any) -> Any:
        if getattr(target, "__name__", "") != "_send_ping":
            return start(target, *args, **named)
        due(target.__self__)  # type: ignore[attr-defined]
        return None

    engine.start_service_task = False
    engine.start_background_task = start_task


def open_session(engine: Any, address: str) -> tuple[Any, bytes]:
    """Begin a session that is a WebSocket from the start; return it, and the packet that tells its client."""
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
    """Say whether a polling session may go on as a WebSocket, as `handle_request` judges it."""
    return session.connected and not (session.upgraded or session.upgrading or session.closed)
