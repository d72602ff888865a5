"""Where a bridge connects: a Unix socket in the data directory, or a TCP address of this machine."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from crypto_stream.addresses import MAX_SOCKET_PATH
from crypto_stream.errors import SettingError, VenueError

_ADDRESS = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[0-9.]+):(?P<port>[0-9]{1,5})")
_LAST_PORT = 65535

Connected = Callable[[asyncio.StreamReader, asyncio.StreamWriter], None]


class Place(NamedTuple):
    """The `path` of a Unix socket, or the `host` and `port` of a TCP address."""

    path: Path | None = None
    host: str = ""
    port: int = 0

    @property
    def address(self) -> str:
        """What the bridge connects to: a path, or host:port."""
        if self.path is not None:
            return str(self.path.absolute())
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def shown(self) -> str:
        """How users see it: without the folder, which is nobody's business."""
        return f"unix:{self.path.name}" if self.path is not None else f"tcp:{self.address}"

    def bind(self) -> socket.socket:
        """Create the socket, replacing one that a dead engine left; raise VenueError if it cannot be."""
        try:
            return self._bind_unix(self.path) if self.path is not None else self._bind_tcp()
        except OSError as error:
            raise VenueError(f"cannot listen at {self.shown}: {error.strerror or error}") from None

    async def serve(self, listener: socket.socket, connected: Connected) -> asyncio.Server:
        """Accept connections on `listener`."""
        if self.path is not None:
            return await asyncio.start_unix_server(connected, sock=listener)
        return await asyncio.start_server(connected, sock=listener)

    def release(self, listener: socket.socket, inode: int | None) -> None:
        """Close `listener` and remove its file, unless that is another one's by now."""
        listener.close()
        if self.path is not None and inode is not None and self.inode() == inode:
            self.path.unlink(missing_ok=True)

    def inode(self) -> int | None:
        """Return what identifies the socket's file; None if there is none."""
        try:
            return None if self.path is None else self.path.lstat().st_ino
        except OSError:
            return None

    def _bind_unix(self, path: Path) -> socket.socket:
        path.unlink(missing_ok=True)  # the lock of the data directory excludes another engine
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(os.fspath(path))
            path.chmod(0o600)  # nobody can connect before `listen`, which comes later
        except OSError:
            listener.close()
            raise
        return listener

    def _bind_tcp(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.host, self.port))
        except OSError:
            listener.close()
            raise
        return listener


def unix_place(path: Path, setting: str) -> Place:
    """Return the place of a Unix socket; raise SettingError if the path is too long for one."""
    if (length := len(os.fsencode(path))) > MAX_SOCKET_PATH:
        raise SettingError(
            f"{setting}: the data directory makes a socket path of {length} bytes, at most {MAX_SOCKET_PATH}"
            " are possible; use a shorter one, or let the bridge listen at 127.0.0.1:PORT"
        )
    return Place(path)


def tcp_place(text: str, setting: str) -> Place:
    """Parse host:port of a loopback address; raise SettingError for anything else."""
    form = _ADDRESS.fullmatch(text)
    if form is None or not 0 < int(form["port"]) <= _LAST_PORT:
        raise SettingError(f"{setting}: {text!r} is not allowed: write 127.0.0.1:PORT")
    host = form["host"].strip("[]")
    try:
        is_local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_local = False
    if not is_local:
        raise SettingError(f"{setting}: {text!r} is not allowed: {host} is not a loopback address")
    return Place(None, host, int(form["port"]))
