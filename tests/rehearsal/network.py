"""The network of a rehearsal: machines that can be cut off from each other without a word.

As root, each machine is a network namespace of its own, and all are on one bridge. While two are cut off,
what one sends to the other goes to an address that nobody has: nothing arrives, nobody is told. On one
loopback all machines have its address, and what one asks another is forwarded, or held back: there a machine
cannot vanish without a word, nor PostgreSQL be cut off from its standby.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import NamedTuple, Protocol

from tests.bus.wire import Wire

_NOBODY = "02:00:00:00:ff:ff"
_SERVE = "import socket; one = socket.create_server(('', 9999)); print(flush=True); one.accept()"
_REACH = "import socket, sys; socket.create_connection((sys.argv[1], 9999), 5)"


class NetworkError(Exception):
    """Machines cannot be separated here."""


class Host(NamedTuple):
    """A machine: its address, and the command that runs a program there."""

    name: str
    address: str
    under: Sequence[str]


class Network(Protocol):
    """Machines, and the ways between them; this one is reached by all of them at `address`.

    `separates`: a machine can be isolated, and any two be cut off from each other.
    """

    address: str
    separates: bool

    def add(self, name: str) -> Host:
        """Add a machine."""

    async def way(self, client: Host, server: Host, port: int) -> str:
        """Return HOST:PORT at which a client reaches a port of a server."""

    def cut(self, one: Host, other: Host) -> None:
        """Let nothing pass between two machines any more."""

    def mend(self, one: Host, other: Host) -> None:
        """Let everything pass again."""

    def hang_up(self, client: Host, server: Host, port: int) -> None:
        """End the connections of a client to a port of a server at once; new ones are possible."""

    def isolate(self, host: Host) -> None:
        """Let nothing of a machine leave it any more."""

    def join(self, host: Host) -> None:
        """Let it be reached again, if it was isolated."""


@asynccontextmanager
async def network(*, loopback: bool | None = None) -> AsyncIterator[Network]:
    """Make machines with a network of their own each, or one loopback; None: whichever is possible.

    Raises NetworkError if they cannot be separated, and the loopback was not allowed.
    """
    bridge = None
    if not loopback:
        try:
            bridge = _bridge()
        except NetworkError:
            if loopback is not None:
                raise
    if bridge is not None:
        try:
            yield bridge
        finally:
            bridge.close()
    else:
        async with AsyncExitStack() as stack:
            yield Loopback(stack)


def _bridge() -> Bridge:
    if os.geteuid() != 0:
        raise NetworkError("only root may make network namespaces")
    try:
        return Bridge()
    except subprocess.CalledProcessError as error:  # not in every container
        said = error.stderr.decode("utf-8", "replace").strip()
        raise NetworkError(f"{' '.join(map(str, error.cmd))}: {said}") from None
    except OSError as error:
        raise NetworkError(str(error)) from None


class Bridge:
    """Namespaces on a bridge of this machine, which is itself reached at `address`."""

    separates = True

    def __init__(self) -> None:
        """Make the bridge; raise OSError or CalledProcessError, and leave nothing, if that is impossible."""
        self._name = f"cs{os.getpid()}"
        self._net = f"10.213.{os.getpid() % 250}"
        self._numbers = itertools.count(1)
        self._hosts: dict[str, int] = {}
        self.address = f"{self._net}.254"
        try:
            _ip("link", "add", self._name, "type", "bridge")
            _ip("addr", "add", f"{self.address}/24", "dev", self._name)
            _ip("link", "set", self._name, "up")
            self._check()
        except BaseException:
            self.close()
            raise

    def __str__(self) -> str:
        return f"network namespaces on the bridge {self._name}"

    def _check(self) -> None:
        """Let one machine reach another: not every container has namespaces, or lets anything pass."""
        one, other = self.add("probe-1"), self.add("probe-2")
        with subprocess.Popen([*one.under, sys.executable, "-c", _SERVE], stdout=subprocess.PIPE) as serving:
            try:
                assert serving.stdout is not None
                serving.stdout.readline()
                _run(*other.under, sys.executable, "-c", _REACH, one.address)
            finally:
                serving.kill()

    def add(self, name: str) -> Host:
        """Add a machine."""
        number = self._hosts[name] = next(self._numbers)
        space, outside = self._space(name), f"{self._name}-{number}"
        _ip("netns", "add", space)
        inside = ("name", "eth0", "address", _mac(number), "netns", space)
        _ip("link", "add", outside, "type", "veth", "peer", *inside)
        _ip("link", "set", outside, "master", self._name, "up")
        _ip("-n", space, "addr", "add", f"{self._address(name)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            _ip("-n", space, "link", "set", device, "up")
        return Host(name, self._address(name), ("ip", "netns", "exec", space))

    async def way(self, client: Host, server: Host, port: int) -> str:
        """Return the server's own address."""
        return f"{server.address}:{port}"

    def cut(self, one: Host, other: Host) -> None:
        """Let nothing pass between two machines any more."""
        self._point(one, other, _NOBODY)
        self._point(other, one, _NOBODY)

    def mend(self, one: Host, other: Host) -> None:
        """Let everything pass again."""
        self._point(one, other, _mac(self._hosts[other.name]))
        self._point(other, one, _mac(self._hosts[one.name]))

    def hang_up(self, client: Host, server: Host, port: int) -> None:
        """End the connections of a client to a port of a server at once; new ones are possible."""
        of = ("dst", server.address, "dport", "=", f":{port}")
        _run(*client.under, "ss", "--kill", "--tcp", "--numeric", *of)

    def isolate(self, host: Host) -> None:
        """Let nothing of a machine leave it any more: its port of the bridge is down."""
        self._set_port(host, "down")

    def join(self, host: Host) -> None:
        """Let it be reached again, if it was isolated."""
        self._set_port(host, "up")

    def _set_port(self, host: Host, state: str) -> None:
        _ip("link", "set", f"{self._name}-{self._hosts[host.name]}", state)

    def close(self) -> None:
        """Remove all of it."""
        for name in self._hosts:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", self._space(name))
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", self._name)

    def _point(self, one: Host, other: Host, mac: str) -> None:
        entry = (other.address, "lladdr", mac, "dev", "eth0", "nud", "permanent")
        _ip("-n", self._space(one.name), "neigh", "replace", *entry)

    def _space(self, name: str) -> str:
        return f"{self._name}-{name}"

    def _address(self, name: str) -> str:
        return f"{self._net}.{self._hosts[name]}"


class Loopback:
    """One machine that plays all of them; a cut holds back what one asks another."""

    address = "127.0.0.1"
    separates = False

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self._wires: dict[frozenset[str], list[Wire]] = {}

    def __str__(self) -> str:
        return "one loopback: no machine can vanish, PostgreSQL cannot be cut off from its standby"

    def add(self, name: str) -> Host:
        """Add a machine."""
        return Host(name, self.address, ())

    async def way(self, client: Host, server: Host, port: int) -> str:
        """Return the address of a wire."""
        wire = await self._stack.enter_async_context(Wire(port))
        self._wires.setdefault(frozenset((client.name, server.name)), []).append(wire)
        return f"{self.address}:{wire.port}"

    def cut(self, one: Host, other: Host) -> None:
        """Hold back what would pass between two machines."""
        for wire in self._of(one, other):
            wire.stall()

    def mend(self, one: Host, other: Host) -> None:
        """Let everything pass again."""
        for wire in self._of(one, other):
            wire.resume()

    def hang_up(self, client: Host, server: Host, _port: int) -> None:
        """End the connections of a client to a server at once; new ones are possible."""
        for wire in self._of(client, server):
            wire.cut()

    def isolate(self, host: Host) -> None:
        """Refuse: who is killed here closes its connections, and all learn of it."""
        raise NetworkError(f"{host.name} cannot vanish from a loopback")

    def join(self, host: Host) -> None:
        """Do nothing."""

    def _of(self, one: Host, other: Host) -> list[Wire]:
        return self._wires.get(frozenset((one.name, other.name)), [])


def _mac(number: int) -> str:
    return f"02:00:00:00:00:{number:02x}"


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)
