"""Nothing outlives its supervisor, stopped or not: the next start ends what is provably of the one before."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from crypto_stream.orphans import end_orphans, identify, pid_listening_on
from tests.process.programs import address, alive, command, program
from tests.waiting import SCALE, until

pytestmark = [
    pytest.mark.timeout(180 * SCALE),
    pytest.mark.skipif(sys.platform != "linux", reason="needs /proc"),
]


def _run(folder: Path, *more: str) -> list[str]:
    files = ["--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    return ["-m", "crypto_stream", "run", "--port", "0", "--sources", "synthetic", *files, *more]


@pytest.mark.parametrize("halves", [["engine"], ["gateway-1"], ["engine", "gateway-1"]])
async def test_what_was_stopped_when_its_supervisor_died_is_ended_by_the_next_start(
    tmp_path: Path, halves: list[str]
) -> None:
    """A stopped half notices no death; the next start on its data directory and port ends it and serves."""
    runtime = tmp_path / "r"
    with program(_run(tmp_path), tmp_path, TMPDIR=str(runtime.parent)) as first:
        port = (await address(first)).rsplit(":", 1)[1]
        stopped = [first.pids(half)[-1] for half in halves]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        first.process.kill()
        first.wait()
    try:
        with program(_run(tmp_path, "--port", port), tmp_path, TMPDIR=str(runtime.parent)) as second:
            await address(second)

            assert not any(alive(pid) for pid in stopped)
            assert all(f"had left behind pid={pid}" in second.log for pid in stopped)
    finally:
        for pid in filter(alive, stopped):
            os.kill(pid, signal.SIGKILL)


async def test_a_run_that_lives_is_left_alone_and_named(tmp_path: Path) -> None:
    """A second start ends nothing; its line says which process has the port."""
    with program(_run(tmp_path), tmp_path) as first:
        port = (await address(first)).rsplit(":", 1)[1]
        refused = command(*_run(tmp_path, "--port", port)[2:])

        assert refused.returncode == 2
        assert f"port: {port} on 127.0.0.1 is in use by process " in refused.stderr
        assert all(alive(first.pids(name)[-1]) for name in ("engine", "gateway-1"))


async def test_a_stopped_engine_in_the_way_is_named_with_what_to_do(tmp_path: Path) -> None:
    """A half that was started alone has no supervisor: the line says how to end it."""
    data = ["--data-dir", str(tmp_path / "data"), "--log-file", str(tmp_path / "app.log")]
    with program(["-m", "crypto_stream", "engine", "--sources", "synthetic", *data], tmp_path) as engine:
        log = tmp_path / "app.engine.log"
        await until(lambda: log.exists() and "engine started" in log.read_text(), 30 * SCALE)
        engine.process.send_signal(signal.SIGSTOP)
        refused = command("engine", "--sources", "synthetic", "--data-dir", str(tmp_path / "data"))

        assert f"kill -9 {engine.process.pid}" in (tmp_path / "app.engine.log").read_text() + refused.stderr


@pytest.mark.parametrize(
    "content",
    ["", "nonsense", "{}", "[[1]]", "[1, 2]", '[["a", "b"]]', "[[999999999, 'x']]", "null", '[[-1, ""]]'],
)
def test_a_roster_of_nonsense_names_nobody(tmp_path: Path, content: str) -> None:
    """The file is input like any other."""
    (tmp_path / "processes.json").write_text(content)

    assert end_orphans(tmp_path) == []


def test_a_process_that_only_has_the_same_number_is_left_alone(tmp_path: Path) -> None:
    """After a reboot or a wrap of process ids the start tells them apart."""
    with subprocess.Popen(["sleep", "60"]) as other:
        known = identify(other.pid)
        assert known is not None
        (tmp_path / "processes.json").write_text(
            json.dumps([[1 << 22, "gone"], [known[0], "another boot/1"]])
        )
        ended = end_orphans(tmp_path)
        lives = other.poll() is None
        other.kill()

    assert ended == []
    assert lives


def test_who_listens_on_a_port_that_nobody_has_is_nobody() -> None:
    """Port 1 is nobody's here."""
    assert pid_listening_on(1) is None


@pytest.mark.parametrize("gone", ["socket", "folder"])
async def test_a_deleted_socket_of_the_bus_is_made_anew(tmp_path: Path, gone: str) -> None:
    """A cleaner of temporary files costs nothing: whatever dies after it comes back and serves."""
    runtime = Path("/tmp") / f"cs-run-{os.getpid()}-{gone}"
    try:
        with program(_run(tmp_path, "--runtime-dir", str(runtime)), tmp_path) as running:
            await address(running)
            shutil.rmtree(runtime) if gone == "folder" else (runtime / "bus").unlink()
            await until((runtime / "bus").exists, 10 * SCALE)
            os.kill(running.pids("gateway-1")[-1], signal.SIGKILL)
            await until(lambda: running.log.count("gateway connected to the bus") == 2, 20 * SCALE)

            assert "the bus's socket was deleted and has been recreated" in running.log
            assert runtime.stat().st_mode & 0o777 == 0o700
    finally:
        shutil.rmtree(runtime, ignore_errors=True)
