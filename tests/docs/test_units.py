"""The unit of docs/operations.md: systemd understands it, and each part runs with its lines."""

from __future__ import annotations

import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.docs.blocks import block
from tests.process.programs import ROOT, Running, program, short_folder
from tests.redis_server import running
from tests.waiting import DEADLINE_S, SCALE, until

pytestmark = pytest.mark.timeout(180 * SCALE)
PYTHON = "/opt/crypto-stream/.venv/bin/python"


def _unit(part: str, folder: Path) -> str:
    """Return the unit of a part, as systemd reads it, with folders that exist here."""
    changes = {
        PYTHON: sys.executable,
        "WorkingDirectory=/opt/crypto-stream": f"WorkingDirectory={ROOT}",
        "/var/lib/": f"{folder}/lib/",
        "/var/log/": f"{folder}/log/",
        "/run/": f"{folder}/run/",
        "%i": part,
    }
    return block("operations.md", "ini", changes)


def _values(unit: str, key: str) -> list[str]:
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


def _environment(unit: str) -> dict[str, str]:
    return dict(value.split("=", 1) for value in _values(unit, "Environment"))


@pytest.mark.parametrize("part", ["all", "engine", "gateways"])
def test_systemd_understands_every_line(
    tmp_path: Path, require_program: Callable[[str], str], part: str
) -> None:
    """And says nothing about it; what it thinks of this machine's other units is not asked."""
    analyze = require_program("systemd-analyze")
    path = tmp_path / f"crypto-stream-{part}.service"
    path.write_text(_unit(part, tmp_path))
    done = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(path)],
        capture_output=True, text=True, timeout=60 * SCALE, check=False,
    )  # fmt: skip
    path.write_text(_unit(part, tmp_path).replace("Restart=", "Restarts="))
    wrong = subprocess.run(
        [analyze, "verify", "--man=no", "--recursive-errors=no", str(path)],
        capture_output=True, text=True, timeout=60 * SCALE, check=False,
    )  # fmt: skip

    assert [line for line in done.stderr.splitlines() if path.name in line] == []
    assert "Restarts" in wrong.stderr


@contextmanager
def _started(part: str, folder: Path, **settings: str) -> Iterator[tuple[Running, socket.socket]]:
    """Run a part's unit as systemd would: its command, its environment, its folders, somebody who listens."""
    unit = _unit(part, folder)
    environment = _environment(unit)
    folders = {"StateDirectory": "lib", "LogsDirectory": "log", "RuntimeDirectory": "run"}
    for key, place in folders.items():
        (folder / place / _values(unit, key)[0]).mkdir(parents=True, mode=0o700)
    log = Path(environment["CRYPTO_STREAM_LOG_FILE"])
    interpreter, *arguments = shlex.split(_values(unit, "ExecStart")[0])
    assert interpreter == sys.executable
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        name = f"crypto-stream-test-{part}-{folder.name}"
        systemd.bind(f"\0{name}")
        systemd.settimeout(DEADLINE_S)
        everything = {**environment, **settings, "NOTIFY_SOCKET": f"@{name}"}
        with program(arguments, log.parent, **everything) as started:
            yield started, systemd


def _ready(systemd: socket.socket) -> str:
    while not (told := systemd.recv(1000).decode()).startswith("READY=1"):
        continue
    return told


def _reload(unit: str, pid: int) -> None:
    """Do what `systemctl reload` does."""
    (command,) = _values(unit, "ExecReload")
    subprocess.run(shlex.split(command.replace("$MAINPID", str(pid))), check=True)


async def test_each_part_runs_as_a_unit_of_its_own(require_program: Callable[[str], str]) -> None:
    """Both on one machine, in folders of their own; a reload restarts the gateways."""
    redis = require_program("redis-server")
    with short_folder() as short, running(redis, Path(short) / "redis") as relay:
        folder = Path(short)
        bus = {"CRYPTO_STREAM_BUS": relay.url("prod"), "CRYPTO_STREAM_PORT": "0"}
        with (
            _started("engine", folder, CRYPTO_STREAM_SOURCES="synthetic", **bus) as (engine, of_engine),
            _started("gateways", folder, **bus) as (gateways, of_gateways),
        ):
            told = _ready(of_engine), _ready(of_gateways)
            _reload(_unit("gateways", folder), gateways.process.pid)
            await until(lambda: "gateway-1 restarted left=0" in gateways.log, 30 * SCALE)
            engine.process.terminate()

            assert engine.wait() == 0
            assert "the engine is running" in told[0]
            assert "serves http://" in told[1]
            assert engine.log != gateways.log
            assert {path.name for path in (folder / "lib").rglob("*.db")} >= {"state.db", "orders.db"}
