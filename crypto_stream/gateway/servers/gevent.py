"""Serve with gevent. Importing this file first makes the standard library green."""

from gevent import monkey

monkey.patch_all()

# Only now may anything else be imported: it must see the green standard library.
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
from crypto_stream.gateway.http.arrivals import Arrivals, Caller  # noqa: E402
from crypto_stream.gateway.http.intake import Intake, Manners  # noqa: E402

ASYNC_MODE = "gevent"
KEPT_ALIVE = b""  # pywsgi confirms it to HTTP/1.0 only
_READ, _WRITE = 1, 2  # libev's EV_READ and EV_WRITE

_library = logging.getLogger(f"{__name__}.library")


class Hub:
    """The hub of this process's green threads."""

    def reading(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever there is something to read, or the connection broke."""
        return self._watch(_READ, descriptor, call)

    def writing(self, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        """Call whenever something can be written, or the connection broke."""
        return self._watch(_WRITE, descriptor, call)

    def soon(self, call: Callable[..., None], *args: Any) -> None:
        """Call once on the hub, after what runs now."""
        get_hub().loop.run_callback(call, *args)

    def later(self, seconds: float, call: Callable[..., None]) -> None:
        """Call once on the hub, after this time."""
        timer = get_hub().loop.timer(seconds)

        def run() -> None:
            timer.close()
            call()

        timer.start(run)

    def spawn(self, call: Callable[[], None]) -> None:
        """Run in a green thread of its own."""
        gevent.spawn_raw(call)

    def _watch(self, kind: int, descriptor: int, call: Callable[..., None]) -> Callable[[], Any]:
        watcher = get_hub().loop.io(descriptor, kind)
        watcher.start(call)
        close: Callable[[], Any] = watcher.close
        return close


class Pause:
    """Lets the green thread that made it wait (`fast.desk`)."""

    def __init__(self) -> None:
        self._thread = gevent.getcurrent()

    def wait(self, seconds: float) -> bool:
        """Wait until `end`; False after this long without it."""
        hub = get_hub()
        timer = hub.loop.timer(seconds)
        timer.start(self._thread.switch, False)
        try:
            return bool(hub.switch())
        finally:
            timer.close()

    def end(self) -> None:
        """Let it go on, now; for callbacks of the hub, once for each `wait`."""
        self._thread.switch(True)


class Server:
    """Accept and serve connections from now on, as many as `manners.connections` has room for."""

    def __init__(self, app: Callable[..., Any], listener: Any, manners: Manners) -> None:
        """Serve `app` on a listening (green) socket, and first what the intake answers."""
        self._manners = manners
        self._wsgi = WSGIServer(listener, app, log=None, error_log=_library)
        self._wsgi.init_socket()
        hub, connections = Hub(), manners.connections
        self._arrivals = Arrivals(listener.family, hub, connections, manners.join, self._serve)
        self._acceptor = Acceptor(
            listener._sock, hub, connections, manners.counters, manners.throttle, self._arrivals.take
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

    def _serve(self, caller: Caller) -> None:
        _Connection(caller, self._manners, self._wsgi).handle()


class _Connection(WSGIHandler):  # type: ignore[misc]
    """One HTTP connection, whose socket a WebSocket may take away."""

    socket: Any
    rfile: Any
    _taken: Any = None

    def __init__(self, caller: Caller, manners: Manners, server: Any) -> None:
        super().__init__(caller.connection, caller.peer, server, io.BytesIO())
        self._intake = Intake(caller, caller.connection._sock, manners, Hub(), Pause)

    def handle(self) -> None:
        try:
            super().handle()
        finally:
            self._intake.leave()  # if an error was in the way
        if self._taken is not None:  # else it would stay open until the garbage collector comes
            self._taken.close()

    def handle_one_request(self) -> Any:
        goes_on = super().handle_one_request()
        if goes_on is not True:
            self._intake.leave()
        return goes_on

    def read_requestline(self) -> Any:
        """Read the first line of what the intake gives: a whole request, or the end."""
        self.rfile = io.BytesIO(self._intake.next())
        return super().read_requestline()

    def finalize_headers(self) -> None:
        """Say that the connection ends where it does: pywsgi says so to HTTP/1.0 only."""
        super().finalize_headers()
        if self.close_connection and self.request_version == "HTTP/1.1":
            self.response_headers.append((b"Connection", b"close"))

    def _write_with_headers(self, data: bytes) -> None:
        """Send head and body at once: a client that hangs up after the head would not see why."""
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
        """Hand the connection over: from now on this server only closes its own descriptor of it."""
        descriptor = os.dup(self.socket.fileno())
        self._taken, self.socket = self.socket, None
        self.close_connection = True
        return descriptor, self._intake.rest()
