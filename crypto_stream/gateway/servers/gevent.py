"""Serve with gevent. Importing this file first makes the standard library green."""

from gevent import monkey

monkey.patch_all()

# Only now may anything else be imported: it must see the green standard library.
import contextlib  # noqa: E402
import logging  # noqa: E402
import os  # noqa: E402
from collections.abc import Callable  # noqa: E402
from functools import partial  # noqa: E402
from typing import Any  # noqa: E402

import gevent  # noqa: E402
from gevent.hub import get_hub  # noqa: E402
from gevent.pool import Pool  # noqa: E402
from gevent.pywsgi import WSGIHandler, WSGIServer  # noqa: E402

from crypto_stream.gateway.delivery.hub import DETACH  # noqa: E402
from crypto_stream.gateway.fast.desk import Desk, Reader  # noqa: E402
from crypto_stream.gateway.fast.road import Road  # noqa: E402

ASYNC_MODE = "gevent"
# Seconds a client may take for its request line, headers and body, and between two requests.
_READ_S = 60.0
# Seconds for the headers alone, from the end of the request line.
_HEADERS_S = 20.0
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
        """Belong to the running green thread."""
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
    """Accept and serve connections from now on, at most `max_connections` at once."""

    def __init__(self, app: Callable[..., Any], road: Road, listener: Any, max_connections: int) -> None:
        """Serve `app` on a listening (green) socket, and first what `road` answers."""
        pool = Pool(max_connections)
        handler = partial(_Connection, road)
        self._server = WSGIServer(
            listener, app, log=None, error_log=_library, spawn=pool, handler_class=handler
        )
        self._server.start()

    @property
    def running(self) -> bool:
        """Say whether connections are still accepted."""
        return bool(self._server.started)

    def stop(self) -> None:
        """Accept no more; what is open ends with the process."""
        self._server.close()


class _Connection(WSGIHandler):  # type: ignore[misc]
    """One HTTP connection, whose socket a WebSocket may take away."""

    socket: Any
    rfile: Any
    _taken: Any = None

    def __init__(self, road: Road, *connection: Any) -> None:
        super().__init__(*connection)
        self.rfile = self._reader = Reader(self.rfile.detach())
        self._desk = Desk(self.socket, self.socket._sock, road, Hub(), Pause)

    def handle(self) -> None:
        self.socket.settimeout(_READ_S)
        super().handle()
        if self._taken is not None:  # else it would stay open until the garbage collector comes
            with contextlib.suppress(OSError):
                self._reader.close()
                self._taken.close()

    def read_requestline(self) -> Any:
        """Answer all that is simple, then read the first line of something else, or of the end."""
        self._reader.give_back(self._desk.attend(self._reader.drain(), _READ_S))
        return super().read_requestline()

    def read_request(self, raw_requestline: str) -> Any:
        with gevent.Timeout(_HEADERS_S, ValueError("the headers took too long")):
            return super().read_request(raw_requestline)

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
        environ[DETACH] = self._detach
        return environ

    def _detach(self) -> tuple[int, bytes]:
        """Hand the connection over: from now on this server only closes its own descriptor of it."""
        self._taken, self.socket = self.socket, None
        self.close_connection = True
        return os.dup(self._taken.fileno()), self._reader.drain()
