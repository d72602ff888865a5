"""Serve with gevent. Import this file first: it patches the standard library."""

from gevent import monkey

monkey.patch_all()

# Anything else may be imported only now: it must see the patched standard library.
import io  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
from collections.abc import Callable  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.hub import get_hub  # noqa: E402
from gevent.pywsgi import WSGIHandler, WSGIServer  # noqa: E402

from crypto_stream.gateway.delivery.hub import DETACH  # noqa: E402
from crypto_stream.gateway.http.acceptor import Acceptor  # noqa: E402
from crypto_stream.gateway.http.intake import ConnectionContext, Intake  # noqa: E402
from crypto_stream.gateway.http.new_connections import NewConnections, RequestConnection  # noqa: E402

ASYNC_MODE = "gevent"
KEEP_ALIVE = b""  # pywsgi confirms it for HTTP/1.0 only
_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE
# A timer, which fires after the loop has looked at the sockets. After `sleep(0)` a green thread can run again
# before that, for up to a second.
_MOMENT_S = 1e-9

_library = logging.getLogger(f"{__name__}.library")


class Hub:
    """This process's hub, the event loop of its green threads."""

    def on_readable(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever the socket is readable or has failed."""
        return self._watch(_READ, descriptor, call)

    def on_writable(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever the socket is writable or has failed."""
        return self._watch(_WRITE, descriptor, call)

    def call_soon(self, call: Callable[..., None], *args: Any) -> None:
        """Call once, after the current callback."""
        get_hub().loop.run_callback(call, *args)

    def call_later(self, seconds: float, call: Callable[..., None]) -> None:
        """Call once, after this time."""
        timer = get_hub().loop.timer(seconds)

        def run() -> None:
            timer.close()
            call()

        timer.start(run)

    def spawn(self, call: Callable[[], None]) -> None:
        """Run in a green thread of its own."""
        gevent.spawn_raw(call)

    def yield_control(self) -> None:
        """Let the other green threads run once, and call what is to be called for sockets that are ready."""
        gevent.sleep(_MOMENT_S)

    def _watch(self, kind: int, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        watcher = get_hub().loop.io(descriptor, kind)
        watcher.start(call)
        close: Callable[[], Any] = watcher.close
        return close


class Pause:
    """Suspends the green thread that created it (`http_cache.connection`)."""

    def __init__(self) -> None:
        self._thread = gevent.getcurrent()

    def wait(self, seconds: float) -> bool:
        """Suspend the thread until `resume`; False if that is not called within this time."""
        hub = get_hub()
        timer = hub.loop.timer(seconds)
        timer.start(self._thread.switch, False)
        try:
            return bool(hub.switch())
        finally:
            timer.close()

    def resume(self) -> None:
        """Resume the thread immediately; to be called on the hub, once for each `wait`."""
        self._thread.switch(True)


class Server:
    """Accepts and serves connections, as many as `context.connections` has room for."""

    def __init__(self, app: Callable[..., Any], listener: Any, context: ConnectionContext) -> None:
        """Start serving on a (green) listening socket; requests not answered by the intake go to `app`."""
        self._context = context
        self._wsgi = WSGIServer(listener, app, log=None, error_log=_library)
        self._wsgi.init_socket()
        hub, connections = Hub(), context.connections
        self._new_connections = NewConnections(listener.family, hub, connections, context.join, self._serve)
        self._acceptor = Acceptor(
            listener._sock, hub, connections, context.counters, context.throttle, self._new_connections.take
        )

    @property
    def running(self) -> bool:
        """Return whether connections are still accepted."""
        return self._acceptor.running

    def sweep(self) -> None:
        """Close the connections that have been idle for too long."""
        self._new_connections.sweep()

    def stop(self) -> None:
        """Stop accepting; open connections end with the process."""
        self._acceptor.stop()

    def _serve(self, connection: RequestConnection) -> None:
        _Connection(connection, self._context, self._wsgi).handle()


class _Connection(WSGIHandler):  # type: ignore[misc]
    """One HTTP connection, which may become a WebSocket."""

    socket: Any
    environ: Any
    rfile: Any
    _detached: Any = None

    def __init__(self, connection: RequestConnection, context: ConnectionContext, server: Any) -> None:
        super().__init__(connection.socket, connection.peer, server, io.BytesIO())
        self._intake = Intake(connection, connection.socket._sock, context, Hub(), Pause)

    def handle(self) -> None:
        try:
            super().handle()
        finally:
            self._intake.leave()  # in case of an error
            self.environ = {}  # it refers to us: avoid a reference cycle
        if self._detached is not None:  # otherwise it stays open until garbage collection
            self._detached.close()

    def handle_one_request(self) -> Any:
        goes_on = super().handle_one_request()
        if goes_on is not True:
            self._intake.leave()
        return goes_on

    def read_requestline(self) -> Any:
        """Get a complete request from the intake, or nothing at the end, and read its first line."""
        self.rfile = io.BytesIO(self._intake.next())
        return super().read_requestline()

    def finalize_headers(self) -> None:
        """Add `Connection: close` at the end of a connection: pywsgi does so for HTTP/1.0 only."""
        super().finalize_headers()
        if self.close_connection and self.request_version == "HTTP/1.1":
            self.response_headers.append((b"Connection", b"close"))

    def _write_with_headers(self, data: bytes) -> None:
        """Send head and body in one write: a client that hangs up after the head would miss the body."""
        held: list[bytes] = []
        self._sendall = held.append
        try:
            super()._write_with_headers(data)
        finally:
            del self._sendall
        self._sendall(b"".join(held))

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["SERVER_PROTOCOL"] = self.request_version
        environ["RAW_PATH_INFO"] = self.path.partition("?")[0]  # as eventlet does
        environ[DETACH] = self._detach
        return environ

    def _detach(self) -> tuple[int, bytes]:
        """Return a descriptor of the connection: this server then only closes its own copy of it."""
        descriptor = os.dup(self.socket.fileno())
        self._detached, self.socket = self.socket, None
        self.close_connection = True
        return descriptor, self._intake.rest()
