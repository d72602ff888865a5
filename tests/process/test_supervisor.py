"""The supervisor with stand-in children: what dies or hangs comes back, nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

from tests.process.programs import Running, alive, program, stand_ins
from tests.waiting import SCALE, until


async def test_a_killed_child_is_started_again(tmp_path: Path) -> None:
    """A child that dies is started again, and the log says how it ended."""
    with program(stand_ins(tmp_path, "polite"), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        os.kill(supervisor.pids("polite")[0], signal.SIGKILL)
        await until(lambda: len(supervisor.pids("polite")) == 2)

        assert "polite ended status=SIGKILL next_start_in_s=0.1" in supervisor.log
        assert supervisor.log.count("serving") == 1


async def test_a_stopped_child_is_killed_and_started_again(tmp_path: Path) -> None:
    """A child that gives no beat for the hang limit is killed and started again."""
    with program(stand_ins(tmp_path, "polite", hang_s=1.0 * SCALE), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        os.kill(supervisor.pids("polite")[0], signal.SIGSTOP)
        await until(lambda: len(supervisor.pids("polite")) == 2)

        assert "polite is not responding: killing it" in supervisor.log
        assert not alive(supervisor.pids("polite")[0])


async def test_a_child_that_never_beats_is_killed_after_the_start_limit(tmp_path: Path) -> None:
    """A child that hangs while it starts is restarted too, and nothing is announced as serving."""
    limits = {"hang_s": 0.3 * SCALE, "start_s": 0.3 * SCALE}
    with program(stand_ins(tmp_path, "hangs", **limits), tmp_path) as supervisor:
        await until(lambda: len(supervisor.pids("hangs")) == 2)

        assert "serving" not in supervisor.log


async def test_restarts_wait_longer_each_time(tmp_path: Path) -> None:
    """A child that dies at once is started again after waits that double up to the longest."""
    limits = {"first_delay_s": 0.01, "max_delay_s": 0.04}
    with program(stand_ins(tmp_path, "crashes", **limits), tmp_path) as supervisor:
        await until(lambda: supervisor.log.count("crashes ended") >= 4)
        ends = [line.split("next_start_in_s=")[1] for line in supervisor.log.splitlines() if "_in_s=" in line]

        assert ends[:4] == ["0.01", "0.02", "0.04", "0.04"]


async def _kill(supervisor: Running, name: str, number: int) -> None:
    """Kill a child after it was started for the time with this number, from 0."""
    await until(lambda: len(supervisor.pids(name)) > number)
    os.kill(supervisor.pids(name)[number], signal.SIGKILL)


async def test_a_gateway_killed_again_and_again_is_started_at_once_each_time(tmp_path: Path) -> None:
    """Its viewers wait for it; of the engine (the first program) a later restart waits longer."""
    limits = {"first_delay_s": 0.01, "gateway_healthy_s": 0.0}
    with program(stand_ins(tmp_path, "polite", "deaf", **limits), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        for number in range(3):
            await _kill(supervisor, "polite", number)
            await _kill(supervisor, "deaf", number)
        await until(lambda: supervisor.log.count(" ended status=SIGKILL") == 6)
        ends = re.findall(r" (polite|deaf) ended status=SIGKILL next_start_in_s=([\d.]+)", supervisor.log)

    assert [delay for name, delay in ends if name == "polite"] == ["0.01", "0.02", "0.04"]
    assert [delay for name, delay in ends if name == "deaf"] == ["0.01", "0.01", "0.01"]


async def test_a_crash_is_one_line_with_its_trace(tmp_path: Path) -> None:
    """An error that ends a child is one line of the log, its trace included."""
    with program(stand_ins(tmp_path, "crashes"), tmp_path) as supervisor:
        await until(lambda: "crashes ended" in supervisor.log)
        line = next(line for line in supervisor.log.splitlines() if "CRITICAL" in line)

        assert (
            "crashes crypto_stream ended by an error: broken\\nin two lines error=ValueError trace=" in line
        )
        assert "in _crashes" in line


async def test_no_child_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """When the supervisor is killed, its children end by themselves, even one that is deaf to SIGTERM."""
    with program(stand_ins(tmp_path, "polite", "deaf"), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        polite, deaf = supervisor.pids("polite")[0], supervisor.pids("deaf")[0]
        supervisor.process.kill()
        await until(lambda: not alive(polite), 5 * SCALE)
        await until(lambda: not alive(deaf), 20 * SCALE)

        assert not alive(polite)


async def test_a_stopped_child_ends_when_it_continues_without_supervisor(tmp_path: Path) -> None:
    """A child that was stopped while its supervisor died ends as soon as it can run again."""
    with program(stand_ins(tmp_path, "polite"), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        pid = supervisor.pids("polite")[0]
        os.kill(pid, signal.SIGSTOP)
        supervisor.process.kill()
        supervisor.wait()
        os.kill(pid, signal.SIGCONT)
        await until(lambda: not alive(pid), 5 * SCALE)

        assert not alive(pid)


async def test_a_hung_orphan_is_ended_by_the_kernel(tmp_path: Path) -> None:
    """A child that hangs while no supervisor is left to see it ends too."""
    with program(stand_ins(tmp_path, "hangs_later", hang_s=2.0 * SCALE), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        pid = supervisor.pids("hangs_later")[0]
        supervisor.process.kill()
        await until(lambda: not alive(pid))

        assert len(supervisor.pids("hangs_later")) == 1


async def test_sigterm_ends_all_cleanly(tmp_path: Path) -> None:
    """SIGTERM is passed on, children may say goodbye, the status is 0."""
    with program(stand_ins(tmp_path, "polite"), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        supervisor.process.send_signal(signal.SIGTERM)
        status = supervisor.wait()

        assert status == 0
        assert "polite crypto_stream.stand_in asked to end" in supervisor.log
        assert not alive(supervisor.pids("polite")[0])


async def test_the_first_program_ends_last(tmp_path: Path) -> None:
    """What the others live on is asked to end when they are gone."""
    with program(stand_ins(tmp_path, "polite", "other"), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        supervisor.process.send_signal(signal.SIGHUP)
        supervisor.wait()

        assert supervisor.log.index("other ended status=0") < supervisor.log.index(" polite crypto_stream.")


async def test_a_child_deaf_to_sigterm_is_killed_after_the_stop_limit(tmp_path: Path) -> None:
    """A stop takes at most the stop limit, whatever a child does."""
    with program(stand_ins(tmp_path, "deaf", stop_s=0.2), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        supervisor.process.send_signal(signal.SIGINT)
        status = supervisor.wait()

        assert status == 0
        assert "deaf ended status=SIGKILL" in supervisor.log


async def test_a_second_signal_hurries(tmp_path: Path) -> None:
    """Who asks twice does not wait for the stop limit."""
    with program(stand_ins(tmp_path, "deaf", stop_s=600.0), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        supervisor.process.send_signal(signal.SIGINT)
        await until(lambda: "stopping on" in supervisor.log)
        supervisor.process.send_signal(signal.SIGINT)

        assert supervisor.wait() == 0


async def test_all_but_the_first_are_restarted_one_after_the_other(tmp_path: Path) -> None:
    """SIGUSR1, said twice too: each is restarted once, a deaf one by force, when the one before serves."""
    with program(stand_ins(tmp_path, "polite", "deaf", "other", stop_s=0.2), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        supervisor.process.send_signal(signal.SIGUSR1)
        await until(lambda: "restarting the gateways on SIGUSR1" in supervisor.log)
        supervisor.process.send_signal(signal.SIGUSR1)
        await until(lambda: "other restarted left=0" in supervisor.log)
        told = [
            "deaf stopped for a restart status=SIGKILL",
            "deaf restarted",
            "other stopped for a restart status=0",
        ]
        at = [supervisor.log.index(text) for text in told]

        assert at == sorted(at)
        assert [len(supervisor.pids(name)) for name in ("polite", "deaf", "other")] == [1, 2, 2]
        assert supervisor.log.count("serving") == 1
        assert "next_start_in_s" not in supervisor.log


async def test_a_stop_ends_a_renewal(tmp_path: Path) -> None:
    """SIGTERM while a process is waited for ends everything, and nothing is started again."""
    with program(stand_ins(tmp_path, "polite", "deaf", stop_s=600.0), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log)
        supervisor.process.send_signal(signal.SIGUSR1)
        await until(lambda: "restarting the gateways on SIGUSR1" in supervisor.log)
        supervisor.process.send_signal(signal.SIGTERM)
        await until(lambda: "stopping on" in supervisor.log)
        supervisor.process.send_signal(signal.SIGTERM)
        status = supervisor.wait()

        assert status == 0
        assert [len(supervisor.pids(name)) for name in ("polite", "deaf")] == [1, 1]


async def test_a_child_started_wrongly_ends_all_with_status_2(tmp_path: Path) -> None:
    """A child that ends with status 2 before its first beat ends everything with status 2."""
    with program(stand_ins(tmp_path, "polite", "wrong"), tmp_path) as supervisor:
        status = supervisor.wait()

        assert status == 2
        assert len(supervisor.pids("wrong")) == 1
        assert not alive(supervisor.pids("polite")[0])
        assert "data-dir: it is in use" in supervisor.log


async def test_a_flood_of_lines_blocks_nobody_and_losses_are_counted(tmp_path: Path) -> None:
    """While the supervisor does not read, a child goes on; what it lost is told when lines flow again."""
    with program(stand_ins(tmp_path, "polite", "flood"), tmp_path) as supervisor:
        await until(lambda: supervisor.pids("flood"))
        supervisor.process.send_signal(signal.SIGSTOP)
        await until((tmp_path / "flood.over").exists)
        supervisor.process.send_signal(signal.SIGCONT)
        await until(lambda: _lost(supervisor.log) + supervisor.log.count(" number=") == 50_000)

        assert _lost(supervisor.log) > 0
        assert [len(supervisor.pids(name)) for name in ("polite", "flood")] == [1, 1]


def _lost(log: str) -> int:
    """Return how many lines were lost, as the log says."""
    return sum(int(text.split()[0]) for text in log.split("lost=")[1:])


async def test_a_child_that_waits_for_its_turn_lives(tmp_path: Path) -> None:
    """It is not killed although it does not serve; both are announced once, in this order."""
    with program(stand_ins(tmp_path, "polite", "waits", hang_s=0.5 * SCALE), tmp_path) as supervisor:
        await until(lambda: "serving" in supervisor.log, 20 * SCALE)
        log = supervisor.log

    assert 0 < log.index(" waiting") < log.index(" serving")
    assert (log.count(" waiting"), log.count(" serving")) == (1, 1)
    assert len(supervisor.pids("waits")) == 1


async def test_each_change_between_waiting_and_serving_is_announced(tmp_path: Path) -> None:
    """An engine that has lost the lead waits for its turn again; systemd shows what was announced last."""
    with program(stand_ins(tmp_path, "polite", "takes_turns"), tmp_path) as supervisor:
        await until(lambda: supervisor.log.count(" waiting") == 2, 20 * SCALE)
        said = re.findall(" (waiting|serving)", supervisor.log)

    assert said[:3] == ["waiting", "serving", "waiting"]
