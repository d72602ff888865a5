"""Flask-SocketIO's server, whose handlers are told the viewer and need no request of Flask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from flask_socketio import SocketIO
from socketio.packet import Packet


class Json:
    """JSON for Socket.IO's packets: the standard library's costs ten times as much."""

    @staticmethod
    def dumps(value: object, **_: object) -> str:
        """Write a value."""
        return msgspec.json.encode(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: object) -> Any:
        """Read a value; ValueError if it is none."""
        return msgspec.json.decode(text)


class ViewerPacket(Packet):  # type: ignore[misc]
    """A Socket.IO packet, for the parameter `serializer`: its parameter `json` would be for clients too."""

    json = Json


class ViewerServer(SocketIO):  # type: ignore[misc]
    """Call each handler with the viewer's id, and for events with what came with them.

    Flask-SocketIO itself makes a request context for each event (the routes matched, a session opened):
    150 µs, half of what an event costs, for handlers that ask it for nothing but `request.sid`.
    """

    def _handle_event(
        self, handler: Callable[..., Any], message: str, _namespace: str, sid: str, *args: Any
    ) -> Any:
        """Take the place of Flask-SocketIO's own; `connect` comes with the request and its `auth`."""
        try:
            return handler(sid) if message == "connect" else handler(sid, *args)
        except Exception as error:
            if self.default_exception_handler is None:
                raise
            return self.default_exception_handler(error)
