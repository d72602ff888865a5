"""The program in parts, as on several machines: an engine here, gateways there, relays between them."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from crypto_stream.client import Client, UnreachableError
from crypto_stream.errors import RefusedError
from tests.certificates import Certificates, running_tls
from tests.process.programs import Running, address, command, machine
from tests.redis_server import RedisServer, running
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(180 * SCALE)

SECRET = "sesame-opens"
CONNECTED = "a relay of the bus is connected"
LOST = "engine lost"
# Longer than an engine may be silent with two relays; shorter than the engine keeps a silent gateway.
_PAUSE_S = 3.0


@pytest.fixture
def relays(require_program: Callable[[str], str], tmp_path: Path) -> Iterator[Relays]:
    """Run two Redis servers with a password, the second one with TLS."""
    redis, password = require_program("redis-server"), ["--requirepass", SECRET]
    certificates = Certificates(tmp_path, require_program("openssl"))
    with (
        running(redis, tmp_path / "r1", password) as plain,
        running_tls(redis, certificates, tmp_path / "r2", password) as encrypted,
    ):
        yield Relays(plain, encrypted, certificates.path("ca.pem"))


class Relays(NamedTuple):
    """Two relays, and the file with the second one's authority."""

    plain: RedisServer
    encrypted: RedisServer
    ca: str

    @property
    def bus(self) -> str:
        """Return the setting."""
        user = f":{SECRET}@"
        encrypted = self.encrypted.url("prod", user, "rediss", f"?ca={self.ca}")
        return f"{self.plain.url('prod', user)},{encrypted}"


def _part(folder: Path, relays: Relays, parts: str, *more: str) -> AbstractContextManager[Running]:
    """Run a part in a folder of its own, which stands for a machine of its own."""
    options = ["--parts", parts, "--port", "0", "--admin-token", "the-token", *more]
    return machine(folder, parts, relays.bus, *options)


async def _moves(client: Client) -> None:
    """Wait until a price that changes each second has changed."""
    before = client.course("ticker_00").time
    await until(lambda: client.course("ticker_00").time != before, 20 * SCALE)


def _live(client: Client) -> bool:
    try:
        return any(not quote.stale for quote in client.courses())
    except (UnreachableError, RefusedError):
        return False


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_an_engine_and_gateways_apart(relays: Relays, tmp_path: Path, server: str) -> None:
    """They find each other over the relays, whichever of these dies; no process shows the password."""
    with (
        _part(tmp_path, relays, "engine", "--sources", "synthetic") as engine,
        _part(tmp_path, relays, "gateways", "--workers", "2", "--server", server) as gateways,
    ):
        await until(lambda: " runs the engine (sources synthetic; " in engine.output, 30 * SCALE)
        client = Client(await address(gateways))
        await until(lambda: _live(client), 20 * SCALE)
        for relay in (relays.plain, relays.encrypted):
            relay.kill()
            connected = engine.log.count(CONNECTED)
            await _moves(client)
            relay.start()
            await until(lambda connected=connected: engine.log.count(CONNECTED) > connected)  # type: ignore[misc]
        processes = [psutil.Process(part.process.pid) for part in (engine, gateways)]
        every = [each for one in processes for each in (one, *one.children(recursive=True))]
        shown = [" ".join(each.cmdline()) for each in every]

        assert len(every) == 2 + 1 + 2
        assert not any(SECRET in line for line in shown)
        for part in (engine, gateways):
            assert SECRET not in part.log + part.output
            assert " trace=" not in part.log
        assert "prod on 127.0.0.1:" in engine.output
        assert not engine.pids("gateway-1")
        assert not gateways.pids("engine")


async def test_gateways_are_restarted_and_stopped_without_an_engine(relays: Relays, tmp_path: Path) -> None:
    """SIGUSR1 restarts each, SIGTERM ends all with status 0; without an engine there are no prices."""
    with _part(tmp_path, relays, "gateways", "--workers", "2") as gateways:
        client = Client(await address(gateways))
        gateways.process.send_signal(signal.SIGUSR1)
        await until(lambda: "gateway-2 restarted left=0" in gateways.log, 30 * SCALE)
        live = _live(client)
        gateways.process.send_signal(signal.SIGTERM)

        assert gateways.wait() == 0
        assert not live


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_a_gateway_that_was_paused_does_not_call_the_engine_silent(
    relays: Relays, tmp_path: Path, server: str
) -> None:
    """What arrived while the process was stopped is read first: it stays joined, and prices go on."""
    with (
        _part(tmp_path, relays, "engine", "--sources", "synthetic"),
        _part(tmp_path, relays, "gateways", "--server", server) as gateways,
    ):
        client = Client(await address(gateways))
        await until(lambda: _live(client), 20 * SCALE)
        (pid,) = gateways.pids("gateway-1")
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(_PAUSE_S)
        os.kill(pid, signal.SIGCONT)
        await _moves(client)

        assert LOST not in gateways.log


async def test_an_engine_that_is_killed_comes_back(relays: Relays, tmp_path: Path) -> None:
    """Its supervisor starts it again, and the gateways of the other machine find the new one."""
    with (
        _part(tmp_path, relays, "engine", "--sources", "synthetic") as engine,
        _part(tmp_path, relays, "gateways") as gateways,
    ):
        client = Client(await address(gateways))
        await until(lambda: _live(client), 20 * SCALE)
        os.kill(engine.pids("engine")[0], signal.SIGKILL)
        await until(lambda: len(engine.pids("engine")) == 2, 20 * SCALE)
        await _moves(client)
        engine.process.send_signal(signal.SIGTERM)

        assert engine.wait() == 0
        assert len(gateways.pids("gateway-1")) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--parts", "engine"], "Error: parts: 'engine' needs a bus between machines"),
        (["--bus", f"redis://:{SECRET}@h"], "Error: bus: relay 1 needs the installation's name"),
        (["--bus", "kafka://h/x"], "Error: bus: it must be local, or begin with one of redis://"),
        (["--parts", "half"], "Error: parts: 'half' is not allowed"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(arguments: list[str], line: str, tmp_path: Path) -> None:
    """With status 2, before anything listens, and without a secret."""
    done = command("run", "--data-dir", str(tmp_path / "d"), "--log-file", str(tmp_path / "l"), *arguments)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(line)
    assert SECRET not in done.stderr


def test_a_command_says_why_the_bus_is_not_reached(relays: Relays, tmp_path: Path) -> None:
    """To start the engine would not help against a wrong password."""
    bus = relays.plain.url("prod", ":another-word@")
    done = command("owner", "list", "--data-dir", str(tmp_path), CRYPTO_STREAM_BUS=bus)

    assert done.returncode == 2
    assert "the relay refuses: WRONGPASS" in done.stderr
    assert "another-word" not in done.stderr
