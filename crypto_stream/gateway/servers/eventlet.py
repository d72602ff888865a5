"""Serve with eventlet. Import this file first: it patches the standard library."""

import warnings

with warnings.catch_warnings():
    # eventlet warns at each import that it is in maintenance mode.
    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()

# Anything else may be imported only now: it must see the patched standard library.
import contextlib
import io
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import eventlet.hubs
import eventlet.wsgi

from crypto_stream.gateway.delivery.hub import DETACH
from crypto_stream.gateway.http.acceptor import Acceptor
from crypto_stream.gateway.http.intake import WRITE_S, ConnectionContext, Intake
from crypto_stream.gateway.http.new_connections import IDLE_S, NewConnections, RequestConnection

ASYNC_MODE = "eventlet"
KEEP_ALIVE = b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % IDLE_S

# Logging a green thread's name would create a thread object that eventlet never frees.
logging.logThreads = False


class Hub:
    """This process's hub, the event loop of its green threads."""

    def on_readable(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever the socket is readable or has failed."""
        return self._watch("read", descriptor, call)

    def on_writable(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever the socket is writable or has failed."""
        return self._watch("write", descriptor, call)

    def call_soon(self, call: Callable[..., None], *args: Any) -> None:
        """Call once, after the current callback."""
        eventlet.hubs.get_hub().schedule_call_global(0, call, *args)

    def call_later(self, seconds: float, call: Callable[..., None]) -> None:
        """Call once, after this time."""
        eventlet.hubs.get_hub().schedule_call_global(seconds, call)

    def spawn(self, call: Callable[[], None]) -> None:
        """Run in a green thread of its own."""
        eventlet.spawn_n(call)

    def yield_control(self) -> None:
        """Let the other green threads run once, and call what is to be called for sockets that are ready."""
        eventlet.sleep(0)

    def _watch(self, kind: str, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        hub = eventlet.hubs.get_hub()
        return partial(hub.remove, hub.add(kind, descriptor, call, call, call))


class Pause:
    """Suspends the green thread that created it (`http_cache.connection`)."""

    def __init__(self) -> None:
        self._thread = eventlet.getcurrent()

    def wait(self, seconds: float) -> bool:
        """Suspend the thread until `resume`; False if that is not called within this time."""
        hub = eventlet.hubs.get_hub()
        timer = hub.schedule_call_global(seconds, self._thread.switch, False)
        try:
            return bool(hub.switch())
        finally:
            timer.cancel()

    def resume(self) -> None:
        """Resume the thread immediately; to be called on the hub, once for each `wait`."""
        self._thread.switch(True)


class Server:
    """Accepts and serves connections, as many as `context.connections` has room for."""

    def __init__(self, app: Callable[..., Any], listener: Any, context: ConnectionContext) -> None:
        """Start serving on a (green) listening socket; requests not answered by the intake go to `app`."""
        self._context = context
        self._wsgi = eventlet.wsgi.Server(
            listener,
            listener.getsockname(),
            app,
            log_output=False,
            debug=False,
            keepalive=IDLE_S,
            socket_timeout=WRITE_S,
        )
        hub, connections = Hub(), context.connections
        self._new_connections = NewConnections(listener.family, hub, connections, context.join, self._serve)
        self._acceptor = Acceptor(
            listener.fd, hub, connections, context.counters, context.throttle, self._take
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

    def _take(self, descriptor: int, address: Any) -> None:
        eventlet.hubs.notify_opened(descriptor)  # the number may be known from a closed connection
        self._new_connections.take(descriptor, address)

    def _serve(self, connection: RequestConnection) -> None:
        state = [connection.peer, connection.socket, eventlet.wsgi.STATE_REQUEST]
        _Connection(connection, self._context, state, self._wsgi)


class _Connection(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One HTTP connection, which may become a WebSocket."""

    rfile: Any
    environ: Any
    _detached = False

    def __init__(
        self, connection: RequestConnection, context: ConnectionContext, state: Any, server: Any
    ) -> None:
        self._accepted = connection
        self._context = context
        super().__init__(state, server)

    def handle(self) -> None:
        self.capitalize_response_headers = False  # ours are capitalised as intended
        super().handle()

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO()
        self._intake = Intake(self._accepted, self.connection.fd, self._context, Hub(), Pause)

    def _read_request_line(self) -> Any:
        """Get a complete request from the intake, or nothing at the end, and read its first line."""
        self.rfile = io.BytesIO(self._intake.next())
        return self.rfile.readline()

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["SERVER_PROTOCOL"] = self.request_version  # eventlet always says 1.0
        environ[DETACH] = self._detach
        return environ

    def _detach(self) -> tuple[int, bytes]:
        """Return a descriptor of the connection: this server then only closes its own copy of it."""
        descriptor = os.dup(self.connection.fileno())
        self._detached = True
        eventlet.wsgi.WSGI_LOCAL.already_handled = True
        eventlet.hubs.notify_opened(descriptor)
        return descriptor, self._intake.rest()

    def finish(self) -> None:
        self._intake.leave()
        self.environ = {}  # it refers to us: avoid a reference cycle
        if not self._detached:
            super().finish()
            return
        for part in (self.wfile, self.connection):
            with contextlib.suppress(OSError):
                part.close()
