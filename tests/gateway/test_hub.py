"""The hubs of both green servers, each in a process of its own: importing gevent's patches the process."""

from __future__ import annotations

import _socket
import importlib
import subprocess
import sys

import pytest

_MOST_YIELDS = 5


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
def test_a_busy_green_thread_does_not_keep_sockets_waiting(server: str) -> None:
    """Each time it yields control, the callbacks of sockets that are ready are called."""
    run = [sys.executable, "-m", "tests.gateway.test_hub", server]
    ended = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)

    assert ended.returncode == 0, ended.stderr
    assert int(ended.stdout) < _MOST_YIELDS


def _count_yields(server: str) -> int:
    """Count how often a green thread yields control until the hub has seen that a socket is readable."""
    hub = importlib.import_module(f"crypto_stream.gateway.servers.{server}").Hub()
    ours, theirs = _socket.socketpair()  # not green ones
    ours.setblocking(False)
    received: list[bytes] = []
    hub.on_readable(ours.fileno(), lambda *_: received.append(ours.recv(1)))
    hub.yield_control()  # from here on it is watched
    theirs.send(b"x")
    yields = 0
    while not received:
        hub.yield_control()
        yields += 1
    return yields


if __name__ == "__main__":
    sys.stdout.write(str(_count_yields(sys.argv[1])))
