"""Where the program listens: the public port, and the socket between the engine and its gateways."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import sys
from pathlib import Path

from crypto_stream.errors import UsageError
from crypto_stream.orphans import pid_listening_on, stopped_hint

# The size of sockaddr_un.sun_path without its terminating zero byte.
MAX_SOCKET_PATH = 103 if sys.platform == "darwin" else 107
_BACKLOG = 4096
_LOOPBACK_OF = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def listen(host: str, port: int) -> socket.socket:
    """Listen on the port; raise UsageError, saying what to do, if that is impossible.

    Without SO_REUSEPORT, so that two programs never share a port unnoticed. Accepted connections inherit
    TCP_NODELAY.
    """
    return _listen(host, port, shared=False)


def listen_shared(host: str, port: int, number: int) -> list[socket.socket]:
    """Listen on the port `number` times, once per process; raise UsageError if that is impossible.

    The kernel distributes connections among all open listeners, including those of dead processes. The
    first listener binds exclusively and shares afterwards, so a port in use is still an error.
    """
    first = listen(host, port)
    if number == 1:
        return [first]
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    address, port = first.getsockname()[:2]
    return [first, *(_listen(address, port, shared=True) for _ in range(number - 1))]


def _listen(host: str, port: int, *, shared: bool) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise UsageError(f"host: '{host}' is not an address or name of this machine") from None
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if shared:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UsageError(_explain(host, port, error)) from None
    listener.set_inheritable(True)
    return listener


def _explain(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        pid = pid_listening_on(port)
        who = f" by process {pid}{stopped_hint(pid)}" if pid else ""
        return f"port: {port} on {host} is in use{who}; stop that process, or choose another port with --port"
    if error.errno == errno.EACCES:
        return f"port: {port} needs more privileges; choose one from 1024 up with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host: '{host}' is not an address of this machine; 127.0.0.1 and 0.0.0.0 always are"
    return f"port: {port} on {host} cannot be opened: {error.strerror}"


def web_address(listener: socket.socket) -> str:
    """Return the http:// URL that a browser on this machine can open."""
    host, port = listener.getsockname()[:2]
    host = _LOOPBACK_OF.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def describe_address(listener: socket.socket) -> str:
    """Return the URL of `web_address`, and whether this machine's other addresses are served, too."""
    everywhere = listener.getsockname()[0] in _LOOPBACK_OF
    return web_address(listener) + (" on all addresses" if everywhere else "")


def bus_path(data_dir: Path, runtime_dir: Path | None) -> Path:
    """Return the path of the bus's socket: all processes with the same data directory get the same one.

    Creates its private folder. Raises UsageError if that cannot be used or the path is too long.
    """
    if runtime_dir is None:
        digest = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
        runtime_dir = Path(os.environ.get("TMPDIR", "/tmp")) / f"crypto-stream-{os.geteuid()}-{digest}"
    path = runtime_dir.absolute() / "bus"
    length = len(os.fsencode(path))
    if length > MAX_SOCKET_PATH:
        raise UsageError(
            f"runtime-dir: '{runtime_dir}' makes a socket path of {length} bytes, at most {MAX_SOCKET_PATH}"
            " are possible; choose a shorter one with --runtime-dir"
        )
    make_private_folder(runtime_dir)
    return path


def make_private_folder(runtime_dir: Path) -> None:
    """Create the folder of the sockets with mode 0700; raise UsageError if it is not ours alone."""
    try:
        runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = runtime_dir.lstat()
    except OSError as error:
        raise UsageError(f"runtime-dir: '{runtime_dir}' cannot be created: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UsageError(
            f"runtime-dir: '{runtime_dir}' must be a folder that only you can access (mode 0700);"
            " choose another with --runtime-dir"
        )
