"""Serve with gevent. Importing this file first makes the standard library green."""

from gevent import monkey

monkey.patch_all()

# Only now may anything else be imported: it must see the green standard library.
import errno  # noqa: E402
import logging  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import simple_websocket  # noqa: E402
from engineio.async_drivers.gevent import Thread, WebSocketWSGI  # noqa: E402
from gevent.event import Event  # noqa: E402
from gevent.lock import BoundedSemaphore  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from gevent.pywsgi import WSGIServer  # noqa: E402
from simple_websocket.errors import SimpleWebsocketError  # noqa: E402

ASYNC_MODE = "gevent"

log = logging.getLogger(__name__)
_library = logging.getLogger(f"{__name__}.library")


class WebSocket(WebSocketWSGI):  # type: ignore[misc]
    """engine.io's WebSocket, without per-viewer compression and with its TCP socket known to the pipe."""

    def __init__(self, handler: Callable[[Any], Any], server: Any) -> None:
        """Wrap the bound `_websocket_handler` of an engine.io socket."""
        super().__init__(handler, server)
        self._connection = handler.__self__  # type: ignore[attr-defined]
        self._most = server.max_http_buffer_size

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Serve one connection until it ends."""
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # it would be compressed once per viewer
        try:
            self.ws = _Connection(
                environ, thread_class=Thread, event_class=Event, max_message_size=self._most
            )
            self._connection.wire = self.ws.sock
            self.app(self)
        except (ValueError, TypeError, AttributeError, IndexError, SimpleWebsocketError) as error:
            log.info("client sent what is no packet", extra={"error": str(error)})
            self._connection.close(wait=False, abort=True, reason="bad packet")
        if self._connection.closed:  # what engine.io would do next, but for the error below
            self._connection.server.sockets.pop(self._connection.sid, None)
        # The stream was a WebSocket's: this is the error after which pywsgi writes no HTTP answer into it.
        raise BrokenPipeError(errno.EPIPE, "the WebSocket has ended")


class Server:
    """Accept and serve connections from now on, at most `max_connections` at once."""

    def __init__(self, app: Callable[..., Any], listener: Any, max_connections: int) -> None:
        """Serve `app` on a listening (green) socket."""
        self._server = WSGIServer(listener, app, log=None, error_log=_library, spawn=Pool(max_connections))
        self._server.start()

    @property
    def running(self) -> bool:
        """Say whether connections are still accepted."""
        return bool(self._server.started)

    def stop(self) -> None:
        """Accept no more; what is open ends with the process."""
        self._server.close()


class _Connection(simple_websocket.Server):  # type: ignore[misc]
    """simple-websocket's server, which sends a whole frame or fails: its own ignores a partial send."""

    sock: Any

    def handshake(self) -> None:
        self.sock = _Wire(self.sock)
        super().handshake()


class _Wire:
    """A socket whose `send` writes everything, one sender at a time."""

    def __init__(self, wrapped: Any) -> None:
        self._socket = wrapped
        self._sending = BoundedSemaphore()
        self.recv = wrapped.recv
        self.shutdown = wrapped.shutdown
        self.close = wrapped.close

    def send(self, data: bytes) -> None:
        with self._sending:
            self._socket.sendall(data)
