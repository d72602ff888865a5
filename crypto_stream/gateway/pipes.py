"""A viewer's pipe on engine.io's own queue; a faster one may take its place."""

from __future__ import annotations

import contextlib
import socket
from typing import Any


class EnginePipe:
    """Put frames into the queue that engine.io writes to the viewer's WebSocket or next poll.

    The queue itself has no bound; `delivery` asks `waiting` before it puts and cuts who lets it grow.
    """

    def __init__(self, connection: Any) -> None:
        """Use an `engineio.socket.Socket`."""
        self._connection = connection

    def waiting(self) -> int:
        """Count the frames that engine.io has not yet taken."""
        return int(self._connection.queue.qsize())

    def polling(self) -> bool:
        """Say whether the viewer fetches by polling."""
        return not self._connection.upgraded

    def put(self, frame: Any) -> None:
        """Append a frame; one for a connection that is already closed is lost with it."""
        if not self._connection.closed:
            self._connection.queue.put(frame)

    def cut(self) -> None:
        """End the connection: engine.io's session, then the TCP stream: a blocked writer ends too."""
        self._connection.close(wait=False, abort=True, reason="too slow")
        self._connection.server.sockets.pop(self._connection.sid, None)
        wire = getattr(self._connection, "wire", None)  # set by servers/*: the WebSocket's TCP socket
        if wire is not None:
            with contextlib.suppress(OSError):  # the other side may have closed it first
                wire.shutdown(socket.SHUT_RDWR)
