"""Passwords, users and TLS of relays; what is refused says why, without a secret."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from crypto_stream.bus.messages import Quotes
from crypto_stream.bus.redis.connection import Connection
from crypto_stream.bus.redis.relays import Relay
from crypto_stream.bus.redis.tls import make_context
from tests.bus.ends import Engine, RedisBus, joined, serving
from tests.certificates import Certificates, running_tls
from tests.docs.blocks import block
from tests.redis_server import RedisServer, running
from tests.waiting import until


def _logged(caplog: pytest.LogCaptureFixture) -> str:
    """Return everything that was logged, all details included."""
    return "\n".join(str(record.__dict__) for record in caplog.records)


async def _works(bus: RedisBus) -> None:
    """Check that both ends find each other."""
    async with serving(bus, Engine()) as port, joined(bus) as gateway:
        await until(lambda: gateway.received)
        port.publish(Quotes(1, []))
        await until(lambda: gateway.seqs() == [1])


async def _is_refused(bus: RedisBus, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Check that both ends log this reason."""
    caplog.set_level("INFO")
    async with serving(bus, Engine()), joined(bus) as gateway:
        for logger in ("crypto_stream.bus.redis.engine", "crypto_stream.bus.redis.gateway"):
            await until(
                lambda logger=logger: any(  # type: ignore[misc]
                    reason in str(getattr(record, "reason", ""))
                    for record in caplog.records
                    if record.name == logger
                )
            )
        assert gateway.received == []


async def test_a_password(
    require_program: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The right one works, a wrong one and none are refused; no log line contains one."""
    with running(
        require_program("redis-server"), tmp_path / "redis", ["--requirepass", "the-secret"]
    ) as server:
        await _works(RedisBus(server.url(user=":the-secret@")))
        await _is_refused(RedisBus(server.url(user=":wrong-secret@")), "WRONGPASS", caplog)
        await _is_refused(RedisBus(server.url()), "NOAUTH", caplog)

    assert "-secret" not in _logged(caplog)


async def test_another_reason_is_logged_too(
    require_program: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A relay that could not be reached, and then refuses: an operator must see why it is not used now."""

    def reasons() -> str:
        of_engine = [one for one in caplog.records if one.name == "crypto_stream.bus.redis.engine"]
        return "\n".join(str(getattr(one, "reason", "")) for one in of_engine)

    server = RedisServer(require_program("redis-server"), tmp_path, ["--requirepass", "the-secret"])
    try:
        async with serving(RedisBus(server.url()), Engine()):
            await until(lambda: f"127.0.0.1:{server.port}: " in reasons())
            await asyncio.to_thread(server.start)
            await until(lambda: "NOAUTH" in reasons())
    finally:
        server.kill()


async def test_users_as_documented(
    require_program: Callable[[str], str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The lines of docs/scale.md suffice, also after a restart, and show no other installation."""
    lines = tmp_path / "redis.conf"
    lines.write_text(block("scale.md", "redis", {"bind 10.0.0.1": "protected-mode yes", ":prod:": ":test:"}))
    users = ("engine:engine-password@", "gateway:gateway-password@")
    with running(require_program("redis-server"), tmp_path / "redis", ["--include", str(lines)]) as server:
        for _ in range(2):
            await _works(RedisBus(*(server.url(user=user) for user in users)))
            server.kill()
            server.start()
        await _is_refused(RedisBus(*(server.url("elsewhere", user=user) for user in users)), "NOPERM", caplog)
        await _is_refused(RedisBus(server.url()), "NOAUTH", caplog)

    assert "-password" not in _logged(caplog)


@pytest.fixture
def certificates(require_program: Callable[[str], str], tmp_path: Path) -> Certificates:
    return Certificates(tmp_path, require_program("openssl"))


async def test_tls(
    tmp_path: Path,
    require_program: Callable[[str], str],
    certificates: Certificates,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """With the authority's certificate it works; without it the server is not believed."""
    with running_tls(require_program("redis-server"), certificates, tmp_path / "redis", []) as server:
        trusted = f"?ca={certificates.path('ca.pem')}"
        await _works(RedisBus(server.url(scheme="rediss", query=trusted)))
        await _is_refused(RedisBus(server.url(scheme="rediss")), "CERTIFICATE_VERIFY_FAILED", caplog)


async def test_tls_with_certificates_of_clients(
    tmp_path: Path, require_program: Callable[[str], str], certificates: Certificates
) -> None:
    """As Redis requires by default."""
    files = {"ca": "ca.pem", "cert": "client.pem", "key": "client.key"}
    query = "?" + "&".join(f"{name}={certificates.path(file)}" for name, file in files.items())
    with running_tls(
        require_program("redis-server"), certificates, tmp_path / "redis", [], clients="yes"
    ) as server:
        await _works(RedisBus(server.url(scheme="rediss", query=query)))


def _drip(listener: socket.socket) -> None:
    """Answer a TLS greeting byte by byte, for as long as somebody listens."""
    with suppress(OSError):
        connected, _ = listener.accept()
        with connected:
            connected.sendall(b"\x16\x03\x03\x40\x00")  # a message of 16 kB follows
            while True:
                connected.sendall(b"\x02")
                time.sleep(0.01)


def test_a_relay_that_never_ends_its_tls_greeting_is_given_up() -> None:
    """Bytes that keep coming are no progress."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=_drip, args=(listener,))
        dripping.start()
        relay = Relay("127.0.0.1", listener.getsockname()[1], tls=True)
        with pytest.raises(TimeoutError):
            Connection(relay, make_context(relay))
        dripping.join()
