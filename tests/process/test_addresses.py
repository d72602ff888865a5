"""Ports and sockets: opened so that nothing is shared in silence, refused in words that help."""

from __future__ import annotations

import socket
import sys
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from crypto_stream.addresses import (
    MAX_SOCKET_PATH,
    bus_path,
    describe_address,
    listen,
    listen_shared,
    web_address,
)
from crypto_stream.errors import UsageError
from crypto_stream.settings import Settings
from crypto_stream.start import check_gateway
from tests.process.programs import short_folder
from tests.waiting import DEADLINE_S


def test_a_port_can_be_had_once() -> None:
    """A second listener on the port is refused, also one that would share it (SO_REUSEPORT)."""
    with listen("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port: {port} on 127\.0\.0\.1 is in use.*; .* --port"):
            listen("127.0.0.1", port)
        with socket.socket() as sharing:
            sharing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            with pytest.raises(OSError, match="in use"):
                sharing.bind(("127.0.0.1", port))


@pytest.mark.parametrize("host", ["203.0.113.1", "no.such.host.invalid", "a" * 70])
def test_a_host_that_is_not_this_machine_is_named(host: str) -> None:
    """A host that cannot be listened on is one line with the setting's name."""
    with pytest.raises(UsageError, match=f"host: '{host}' is not an address"):
        listen(host, 0)


def test_the_address_shown_can_be_opened() -> None:
    """Who listens everywhere is reached at the loopback address."""
    with listen("0.0.0.0", 0) as everywhere:
        port = everywhere.getsockname()[1]

        assert web_address(everywhere) == f"http://127.0.0.1:{port}"
        assert describe_address(everywhere) == f"http://127.0.0.1:{port} on all addresses"

    with listen("127.0.0.1", 0) as local:
        assert describe_address(local) == web_address(local)


def test_one_data_directory_means_one_socket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The socket's path follows from the data directory, however it is written; its folder is private."""
    with short_folder() as short:
        monkeypatch.setenv("TMPDIR", short)
        monkeypatch.chdir(tmp_path)
        path = bus_path(Path("data"), None)

        assert path == bus_path(tmp_path / "data", None)
        assert path != bus_path(tmp_path / "other", None)
        assert path.parent.stat().st_mode & 0o777 == 0o700


def test_a_path_too_long_for_a_socket_is_refused(tmp_path: Path) -> None:
    """The kernel takes no longer path; the line says how long it is and what to do."""
    folder = tmp_path / ("x" * 120)
    with pytest.raises(
        UsageError, match=rf"runtime-dir: .* at most {MAX_SOCKET_PATH} are possible; .*--runtime-dir"
    ):
        bus_path(Path("data"), folder)

    assert not folder.exists()


def test_a_folder_others_may_enter_is_refused() -> None:
    """Nobody else may be able to speak to the engine."""
    with short_folder() as short:
        Path(short).chmod(0o755)
        with pytest.raises(UsageError, match="must be a folder that only you can access"):
            bus_path(Path("data"), Path(short))


def test_missing_scripts_of_the_pages_name_the_one_command(tmp_path: Path) -> None:
    """Without the installed scripts a gateway says what to run instead of serving broken pages."""
    with pytest.raises(UsageError, match="run: make setup"):
        check_gateway(Settings(), tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS deals nothing out: one listener gets everything")
def test_connections_are_dealt_out_among_listeners_of_one_port() -> None:
    """Each of the listeners gets connections, the first included; none is refused or lost."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in listen_shared("127.0.0.1", 0, 3)]
        address = listeners[0].getsockname()
        for _ in range(100):
            stack.enter_context(socket.create_connection(address, DEADLINE_S))
        got = [_accepted(each) for each in listeners]

        assert {each.getsockname() for each in listeners} == {address}
        assert sum(got) == 100
        assert all(got)


def _accepted(listener: socket.socket) -> int:
    listener.setblocking(False)
    number = 0
    with suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            number += 1
    return number


@pytest.mark.parametrize("number", [1, 3])
def test_a_shared_port_is_refused_to_a_second_program(number: int) -> None:
    """Listeners that share a port among themselves share it with no other start, of one or many."""
    with ExitStack() as stack:
        listeners = [stack.enter_context(each) for each in listen_shared("127.0.0.1", 0, 3)]
        port = listeners[0].getsockname()[1]

        with pytest.raises(UsageError, match=rf"port: {port} on 127\.0\.0\.1 is in use.*; .* --port"):
            listen_shared("127.0.0.1", port, number)
