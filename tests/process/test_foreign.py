"""The supervisor with somebody's program: no heartbeats, any exit status, nothing is left behind."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

from tests.process.programs import Running, alive, program
from tests.waiting import SCALE, until

NAME = "bridge:x"


def foreign(folder: Path, *command: str, **limits: float) -> list[str]:
    """Return the arguments of the supervisor over this program; `limits` are those of Timeouts."""
    short = {"first_delay_s": 0.01, "foreign_max_delay_s": 0.04, "stop_s": 2.0, **limits}
    return ["-m", "tests.process.foreign", str(folder / "app.log"), json.dumps(short), *command]


async def started(running: Running) -> int:
    """Wait for the foreign program; return its process id."""
    await until(lambda: running.pids(NAME) and "serving" in running.log)
    return running.pids(NAME)[-1]


async def test_it_needs_no_heartbeat(tmp_path: Path) -> None:
    """Ours are killed without one, at the start too; it is not."""
    limit = 4.0 * SCALE
    with program(foreign(tmp_path, "sleep", "60", hang_s=limit, start_s=limit), tmp_path) as running:
        pid = await started(running)
        os.kill(running.pids("polite")[0], signal.SIGSTOP)
        await until(lambda: len(running.pids("polite")) == 2, 20 * SCALE)  # later than the limit

        assert running.pids(NAME) == [pid]
        assert alive(pid)


async def test_it_is_restarted_whatever_its_status(tmp_path: Path) -> None:
    """Also after status 2, which from ours would stop everything; the waits double."""
    with program(foreign(tmp_path, "sh", "-c", "exit 2"), tmp_path) as running:
        await until(lambda: running.log.count(f"{NAME} ended status=2") >= 4)
        waits = re.findall(rf"{NAME} ended status=2 next_start_in_s=([\d.]+)", running.log)

        assert waits[:4] == ["0.01", "0.02", "0.04", "0.04"]


async def test_a_program_that_is_not_there_is_tried_again(tmp_path: Path) -> None:
    """The log says what is missing; the others run."""
    with program(foreign(tmp_path, "/no/such/program"), tmp_path) as running:
        await until(lambda: running.log.count(f"{NAME} cannot be started") >= 2 and "serving" in running.log)

        assert "/no/such/program" in running.log


async def test_its_output_is_logged_but_cannot_pretend_to_be_ours(tmp_path: Path) -> None:
    """Both outputs; a line in the format of the log is quoted like any other, a blank one is no heartbeat."""
    faked = "2026-01-01T00:00:00.000Z ERROR engine crypto_stream faked"
    script = f"echo ' '; echo out; echo err >&2; echo '{faked}'; sleep 60"
    with program(foreign(tmp_path, "sh", "-c", script), tmp_path) as running:
        await until(lambda: "faked" in running.log and "serving" in running.log)
        log = running.log

    assert f"{NAME} wrote text=out" in log
    assert f"{NAME} wrote text=err" in log
    assert not any(line.startswith(faked) for line in log.splitlines())


async def test_it_is_stopped_with_what_it_started(tmp_path: Path) -> None:
    """A shell's child too; one that ignores SIGTERM is killed."""
    script = "trap '' TERM; sleep 60 & echo child $!; wait; sleep 60"
    with program(foreign(tmp_path, "sh", "-c", script), tmp_path) as running:
        pid = await started(running)
        await until(lambda: "child " in running.log)
        child = int(re.findall(r"child (\d+)", running.log)[0])
        running.process.send_signal(signal.SIGTERM)
        status = running.wait()

    assert status == 0
    assert not alive(pid)
    assert not alive(child)


async def test_its_input_ends_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    """So that it can end by itself."""
    with program(foreign(tmp_path, "cat"), tmp_path) as running:
        pid = await started(running)
        assert alive(pid)
        running.process.kill()
        await until(lambda: not alive(pid), 5 * SCALE)


async def test_restarting_the_gateways_leaves_it_alone(tmp_path: Path) -> None:
    """SIGUSR1 is for what is ours."""
    with program(foreign(tmp_path, "sleep", "60"), tmp_path) as running:
        pid = await started(running)
        running.process.send_signal(signal.SIGUSR1)
        await until(lambda: "other restarted left=0" in running.log)

        assert running.pids(NAME) == [pid]
        assert alive(pid)


async def test_it_gets_its_environment_and_none_of_our_settings(tmp_path: Path) -> None:
    """Ours contain the admin token."""
    command = foreign(tmp_path, "sh", "-c", "echo [$BRIDGE_NAME] [$CRYPTO_STREAM_ADMIN_TOKEN]; sleep 60")
    with program(command, tmp_path, CRYPTO_STREAM_ADMIN_TOKEN="secret") as running:
        await until(lambda: f"{NAME} wrote" in running.log)

        assert 'wrote text="[x] []"' in running.log
        assert "secret" not in running.log
