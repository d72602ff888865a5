"""Serve with eventlet. Importing this file first makes the standard library green."""

import warnings

with warnings.catch_warnings():
    # eventlet is kept alive for bug fixes only and says so at every import; we know.
    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()

# Only now may anything else be imported: it must see the green standard library.
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
from crypto_stream.gateway.http.arrivals import IDLE_S, Arrivals, Caller
from crypto_stream.gateway.http.intake import WRITE_S, Intake, Manners

ASYNC_MODE = "eventlet"
KEPT_ALIVE = b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % IDLE_S

# Asking for the thread's name in a green thread makes a thread object that eventlet never frees.
logging.logThreads = False


class Hub:
    """The hub of this process's green threads."""

    def reading(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever there is something to read, or the connection broke."""
        return self._watch("read", descriptor, call)

    def writing(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever something can be written, or the connection broke."""
        return self._watch("write", descriptor, call)

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        """Call once on the hub, after what runs now."""
        eventlet.hubs.get_hub().schedule_call_global(0, call, *args)

    def later(self, seconds: float, call: Callable[..., None]) -> None:
        """Call once on the hub, after this time."""
        eventlet.hubs.get_hub().schedule_call_global(seconds, call)

    def spawn(self, call: Callable[[], None]) -> None:
        """Run in a green thread of its own."""
        eventlet.spawn_n(call)

    def _watch(self, kind: str, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        hub = eventlet.hubs.get_hub()
        return partial(hub.remove, hub.add(kind, descriptor, call, call, call))


class Pause:
    """Lets the green thread that made it wait (`fast.desk`)."""

    def __init__(self) -> None:
        self._thread = eventlet.getcurrent()

    def wait(self, seconds: float) -> bool:
        """Wait until `end`; False after this long without it."""
        hub = eventlet.hubs.get_hub()
        timer = hub.schedule_call_global(seconds, self._thread.switch, False)
        try:
            return bool(hub.switch())
        finally:
            timer.cancel()

    def end(self) -> None:
        """Let it go on, now; for callbacks of the hub, once for each `wait`."""
        self._thread.switch(True)


class Server:
    """Accept and serve connections from now on, as many as `manners.connections` has room for."""

    def __init__(self, app: Callable[..., Any], listener: Any, manners: Manners) -> None:
        """Serve `app` on a listening (green) socket, and first what the intake answers."""
        self._manners = manners
        self._wsgi = eventlet.wsgi.Server(
            listener,
            listener.getsockname(),
            app,
            log_output=False,
            debug=False,
            keepalive=IDLE_S,
            socket_timeout=WRITE_S,
        )
        hub, connections = Hub(), manners.connections
        self._arrivals = Arrivals(listener.family, hub, connections, manners.join, self._serve)
        self._acceptor = Acceptor(
            listener.fd, hub, connections, manners.counters, manners.throttle, self._take
        )

    @property
    def running(self) -> bool:
        """Say whether connections are still accepted."""
        return self._acceptor.running

    def sweep(self) -> None:
        """End the connections that never asked anything."""
        self._arrivals.sweep()

    def stop(self) -> None:
        """Accept no more; what is open ends with the process."""
        self._acceptor.stop()

    def _take(self, descriptor: int, address: Any) -> None:
        eventlet.hubs.notify_opened(descriptor)  # its number may have been another connection's
        self._arrivals.take(descriptor, address)

    def _serve(self, caller: Caller) -> None:
        state = [caller.peer, caller.connection, eventlet.wsgi.STATE_REQUEST]
        _Connection(caller, self._manners, state, self._wsgi)


class _Connection(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One HTTP connection, whose socket a WebSocket may take away."""

    rfile: Any
    environ: Any
    _taken = False

    def __init__(self, caller: Caller, manners: Manners, state: Any, server: Any) -> None:
        self._caller = caller
        self._manners = manners
        super().__init__(state, server)

    def handle(self) -> None:
        self.capitalize_response_headers = False  # ours are as they shall be
        super().handle()

    def setup(self) -> None:
        super().setup()
        self.rfile.close()
        self.rfile = io.BytesIO()
        self._intake = Intake(self._caller, self.connection.fd, self._manners, Hub(), Pause)

    def _read_request_line(self) -> Any:
        """Read the first line of what the intake gives: a whole request, or the end."""
        self.rfile = io.BytesIO(self._intake.next())
        return self.rfile.readline()

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["SERVER_PROTOCOL"] = self.request_version  # eventlet always says 1.0
        environ[DETACH] = self._detach
        return environ

    def _detach(self) -> tuple[int, bytes]:
        """Hand the connection over: from now on this server only closes its own descriptor of it."""
        descriptor = os.dup(self.connection.fileno())
        self._taken = True
        eventlet.wsgi.WSGI_LOCAL.already_handled = True
        eventlet.hubs.notify_opened(descriptor)
        return descriptor, self._intake.rest()

    def finish(self) -> None:
        self._intake.leave()
        self.environ = {}  # the last request's, by which eventlet makes them hold each other
        if not self._taken:
            super().finish()
            return
        for part in (self.wfile, self.connection):
            with contextlib.suppress(OSError):
                part.close()
