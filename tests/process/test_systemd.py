"""systemd is told when all of it serves, and each second that it lives."""

from __future__ import annotations

import socket
from pathlib import Path

import psutil
import pytest

from crypto_stream.systemd import Notifier
from tests.process.programs import program
from tests.waiting import DEADLINE_S

RUN = ["-m", "crypto_stream", "run", "--port", "0", "--sources", "synthetic", "--pairs", ""]


def test_a_unit_is_ready_when_all_serves_and_watched_from_then_on(tmp_path: Path) -> None:
    """The halves know nothing of systemd: a message of theirs would count as the supervisor's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(f"\0crypto-stream-test-{tmp_path.name}")
        systemd.settimeout(DEADLINE_S)
        named = {"NOTIFY_SOCKET": f"@crypto-stream-test-{tmp_path.name}", "WATCHDOG_USEC": "30000000"}
        places = ["--data-dir", str(tmp_path / "data"), "--log-file", str(tmp_path / "app.log")]
        with program([*RUN, *places], tmp_path, **named) as running:
            while "READY" not in (ready := systemd.recv(1000).decode()):
                assert ready == "WATCHDOG=1"
            served = "serving" in running.log
            after = [systemd.recv(1000).decode() for _ in range(2)]
            halves = psutil.Process(running.process.pid).children()
            knowing = [half.pid for half in halves if named.keys() & half.environ().keys()]

    assert ready.startswith("READY=1\nSTATUS=serves http://127.0.0.1:")
    assert served
    assert after == ["WATCHDOG=1"] * 2
    assert len(halves) == 2
    assert not knowing


@pytest.mark.parametrize("named", [{}, {"NOTIFY_SOCKET": "/nowhere/at/all", "WATCHDOG_USEC": "1"}])
def test_nobody_is_told_where_nobody_asked_or_listens(named: dict[str, str]) -> None:
    """And nothing of it stays in the environment."""
    notifier = Notifier(named)

    notifier.ready("serves")
    notifier.beat()

    assert not named
