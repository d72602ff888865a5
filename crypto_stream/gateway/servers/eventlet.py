"""Serve with eventlet. Importing this file first makes the standard library green."""

import warnings

with warnings.catch_warnings():
    # eventlet is kept alive for bug fixes only and says so at every import; we know.
    warnings.simplefilter("ignore")
    import eventlet

    eventlet.monkey_patch()

# Only now may anything else be imported: it must see the green standard library.
import contextlib
import logging
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import eventlet.hubs
import eventlet.wsgi

from crypto_stream.gateway.delivery.hub import DETACH
from crypto_stream.gateway.fast.desk import Desk, Reader
from crypto_stream.gateway.fast.road import Road

ASYNC_MODE = "eventlet"
# Seconds a client may take for its request line, headers and body, and between two requests.
_READ_S = 60.0
# Seconds for the headers alone, from the end of the request line.
_HEADERS_S = 20.0
KEPT_ALIVE = b"Connection: keep-alive\r\nKeep-Alive: timeout=%d\r\n" % _READ_S

# Asking for the thread's name in a green thread makes a thread object that eventlet never frees.
logging.logThreads = False
_library = logging.getLogger(f"{__name__}.library")
_library.setLevel(logging.WARNING)  # eventlet tells of every start and stop at INFO


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
        """Belong to the running green thread."""
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
    """Accept and serve connections from now on, at most `max_connections` at once."""

    def __init__(self, app: Callable[..., Any], road: Road, listener: Any, max_connections: int) -> None:
        """Serve `app` on a listening (green) socket, and first what `road` answers."""
        self._thread = eventlet.spawn(
            eventlet.wsgi.server,
            listener,
            app,
            protocol=partial(_Connection, road),
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


class _Connection(eventlet.wsgi.HttpProtocol):  # type: ignore[misc]
    """One HTTP connection, whose socket a WebSocket may take away."""

    rfile: Any
    _taken = False

    def __init__(self, road: Road, *connection: Any) -> None:
        self._road = road
        super().__init__(*connection)

    def handle(self) -> None:
        self.capitalize_response_headers = False  # ours are as they shall be
        super().handle()

    def setup(self) -> None:
        super().setup()
        self.rfile = self._reader = Reader(self.rfile.detach())
        self._desk = Desk(self.connection, self.connection.fd, self._road, Hub(), Pause)

    def _read_request_line(self) -> Any:
        """Answer all that is simple, then read the first line of something else, or of the end."""
        if not self.rfile.closed and self.conn_state[2] != eventlet.wsgi.STATE_CLOSE:
            try:
                self._reader.give_back(self._desk.attend(self._reader.drain(), _READ_S))
            except OSError as error:
                if error.errno in eventlet.wsgi.BROKEN_SOCK | eventlet.wsgi.BAD_SOCK:
                    return ""
                raise
        if self.conn_state[2] == eventlet.wsgi.STATE_CLOSE:  # the server ended meanwhile
            return ""
        return super()._read_request_line()

    def parse_request(self) -> bool:
        with eventlet.Timeout(_HEADERS_S, TimeoutError("the headers took too long")):
            return bool(super().parse_request())

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environ()
        environ["SERVER_PROTOCOL"] = self.request_version  # eventlet always says 1.0
        environ[DETACH] = self._detach
        environ["wsgi.input_terminated"] = True  # a chunked body ends by itself, any other by its length
        return environ

    def _detach(self) -> tuple[int, bytes]:
        """Hand the connection over: from now on this server only closes its own descriptor of it."""
        self._taken = True
        eventlet.wsgi.WSGI_LOCAL.already_handled = True
        early = self._reader.drain()
        descriptor = os.dup(self.connection.fileno())
        eventlet.hubs.notify_opened(descriptor)
        self.conn_state[1] = _Gone()  # the server would shut it down when this green thread ends
        return descriptor, early

    def finish(self) -> None:
        if not self._taken:
            super().finish()
            return
        for part in (self.wfile, self.rfile, self.connection):
            with contextlib.suppress(OSError):
                part.close()


class _Gone:
    """A connection that the server need not end any more."""

    def shutdown(self, how: int) -> None:
        """Leave it alone."""

    def close(self) -> None:
        """Leave it alone."""
