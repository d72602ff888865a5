"""Where a program listens: the port for the world, the short path of the socket between its halves."""

from __future__ import annotations

import errno
import hashlib
import os
import socket
import stat
import sys
from pathlib import Path

from crypto_stream.errors import UsageError
from crypto_stream.leftovers import hint, listener_of

# What fits into sockaddr_un.sun_path beside its final zero byte.
LONGEST_PATH = 103 if sys.platform == "darwin" else 107
_BACKLOG = 4096


def listen(host: str, port: int) -> socket.socket:
    """Open the port; raise UsageError that says what to do when it cannot be had.

    Without SO_REUSEPORT, so that two programs can never share a port in silence. Accepted connections inherit
    TCP_NODELAY.
    """
    return _opened(host, port, shared=False)


def listen_together(host: str, port: int, number: int) -> list[socket.socket]:
    """Open the port `number` times, for as many processes; raise UsageError when it cannot be had.

    The kernel deals connections out among the listeners, dead processes' included as long as theirs is open.
    The first one is had exclusively before it begins to share: a port in use is an error here too.
    """
    first = listen(host, port)
    if number == 1:
        return [first]
    first.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    address, port = first.getsockname()[:2]
    return [first, *(_opened(address, port, shared=True) for _ in range(number - 1))]


def _opened(host: str, port: int, *, shared: bool) -> socket.socket:
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
        raise UsageError(_why(host, port, error)) from None
    listener.set_inheritable(True)
    return listener


def _why(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        pid = listener_of(port)
        who = f" by process {pid}{hint(pid)}" if pid else ""
        return (
            f"port: {port} on {host} is in use{who}; stop what listens there, or choose another with --port"
        )
    if error.errno == errno.EACCES:
        return f"port: {port} needs more rights; choose one from 1024 on with --port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"host: '{host}' is not an address of this machine; 127.0.0.1 and 0.0.0.0 always are"
    return f"port: {port} on {host} cannot be opened: {error.strerror}"


def web_address(listener: socket.socket) -> str:
    """Return the http:// address a person on this machine can open."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def bus_path(data_dir: Path, runtime_dir: Path | None) -> Path:
    """Return the socket between the halves, the same for one data directory in every process.

    Its folder is made (mode 0700, ours alone); UsageError when it cannot be used or the path is too long.
    """
    if runtime_dir is None:
        mark = hashlib.sha256(os.fsencode(data_dir.resolve())).hexdigest()[:12]
        runtime_dir = Path(os.environ.get("TMPDIR", "/tmp")) / f"crypto-stream-{os.geteuid()}-{mark}"
    path = runtime_dir.absolute() / "bus"
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise UsageError(
            f"runtime-dir: '{runtime_dir}' makes a socket path of {length} bytes, at most {LONGEST_PATH}"
            " are possible; choose a shorter one with --runtime-dir"
        )
    own_folder(runtime_dir)
    return path


def own_folder(runtime_dir: Path) -> None:
    """Make the folder of the sockets, ours alone; UsageError when it is not."""
    try:
        runtime_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = runtime_dir.lstat()
    except OSError as error:
        raise UsageError(f"runtime-dir: '{runtime_dir}' cannot be made: {error.strerror}") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise UsageError(
            f"runtime-dir: '{runtime_dir}' must be a folder that is yours alone (mode 0700);"
            " choose another with --runtime-dir"
        )
