"""Serve with eventlet. Importing this file first makes the standard library green."""

import warnings

with warnings.catch_warnings():
    # eventlet is kept alive for bug fixes only and says so at every import; we know.
    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()

# Only now may anything else be imported: it must see the green standard library.
import logging
from collections.abc import Callable
from typing import Any

import eventlet.wsgi
from engineio.async_drivers.eventlet import WebSocketWSGI

ASYNC_MODE = "eventlet"
# Seconds a client may take for its request line, headers and body, and between two requests.
_READ_S = 60.0

log = logging.getLogger(__name__)
# Asking for the thread's name in a green thread makes a thread object that eventlet never frees.
logging.logThreads = False
_library = logging.getLogger(f"{__name__}.library")
_library.setLevel(logging.WARNING)  # eventlet tells of every start and stop at INFO


class WebSocket(WebSocketWSGI):  # type: ignore[misc]
    """engine.io's WebSocket, without per-viewer compression and with its TCP socket known to the pipe."""

    def __init__(self, handler: Callable[[Any], Any], server: Any) -> None:
        """Wrap the bound `_websocket_handler` of an engine.io socket."""
        super().__init__(_forgiving(handler), server)
        self._connection = handler.__self__  # type: ignore[attr-defined]

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """Serve one connection until it ends."""
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)  # eventlet would compress once per viewer
        self._connection.wire = environ["eventlet.input"].get_socket()
        return super().__call__(environ, start_response)


class Server:
    """Accept and serve connections from now on, at most `max_connections` at once."""

    def __init__(self, app: Callable[..., Any], listener: Any, max_connections: int) -> None:
        """Serve `app` on a listening (green) socket."""
        self._thread = eventlet.spawn(
            eventlet.wsgi.server,
            listener,
            app,
            log=_library,
            log_output=False,
            debug=False,
            max_size=max_connections,
            keepalive=_READ_S,
            socket_timeout=_READ_S,
        )

    @property
    def running(self) -> bool:
        """Say whether connections are still accepted."""
        return not self._thread.dead

    def stop(self) -> None:
        """Accept no more; what is open ends with the process."""
        self._thread.kill()


def _forgiving(handler: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """End the connection, and nothing else, when what it sends is no engine.io packet."""

    def run(websocket: Any) -> Any:
        try:
            return handler(websocket)
        except (ValueError, TypeError, AttributeError, IndexError) as error:
            connection = handler.__self__  # type: ignore[attr-defined]
            log.info("client sent what is no packet", extra={"client": connection.sid, "error": str(error)})
            connection.close(wait=False, abort=True, reason="bad packet")
            return []

    return run
