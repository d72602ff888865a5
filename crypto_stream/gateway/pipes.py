"""A viewer's pipe while it polls: engine.io's own queue, emptied by the next poll."""

from __future__ import annotations

from typing import Any

from websockets.frames import CloseCode

from crypto_stream.gateway.delivery.frames import Frame
from crypto_stream.gateway.delivery.session import ViewerSession


class PollingPipe:
    """Put frames into the queue that engine.io sends with the viewer's next poll.

    The queue itself is unbounded: `delivery` checks `waiting` before each `put` and cuts off viewers that
    let it grow. Once the viewer has upgraded to a WebSocket, its `ViewerSession` replaces the queue.
    """

    def __init__(self, connection: Any) -> None:
        """Use an `engineio.socket.Socket`."""
        self._connection = connection
        self._offers_paused = False

    def waiting(self) -> int:
        """Count the queued frames."""
        return int(self._connection.queue.qsize())

    def polling(self) -> bool:
        """Return whether the viewer polls."""
        return not self._connection.upgraded

    def offer(self, frame: Frame) -> int:
        """Queue a frame if the queue is empty; return its size in bytes, or 0."""
        if self._offers_paused:
            return 0
        queue = self._connection.queue
        if isinstance(queue, ViewerSession):
            return queue.offer(frame)
        return 0 if queue.qsize() else self.put(frame)

    def put(self, frame: Frame) -> int:
        """Queue a frame and return its size in bytes; return 0 if the connection is closed."""
        if self._connection.closed:
            return 0
        self._connection.queue.put(frame)
        return len(frame.encode())

    def pause_offers(self, paused: bool) -> None:
        """Make `offer` refuse frames, or accept them again."""
        self._offers_paused = paused

    def drop(self) -> None:
        """End the connection."""
        if isinstance(self._connection.queue, ViewerSession):
            self._connection.queue.drop()
            return
        self._connection.close(wait=False, abort=True, reason="too slow")
        self._connection.server.sockets.pop(self._connection.sid, None)


def pipe_of(connection: Any) -> ViewerSession | PollingPipe:
    """Return the pipe to the viewer of an `engineio.socket.Socket`."""
    queue = connection.queue
    return queue if isinstance(queue, ViewerSession) else PollingPipe(connection)


def close_transport(connection: Any) -> None:
    """Close the transport of an `engineio.socket.Socket` so that its client reconnects.

    After Socket.IO's DISCONNECT packet it would not.
    """
    if isinstance(connection.queue, ViewerSession):
        connection.queue.end(CloseCode.GOING_AWAY, "connect again later")
        return
    connection.close(wait=False, abort=True, reason=connection.server.reason.TRANSPORT_CLOSE)
    connection.server.sockets.pop(connection.sid, None)
