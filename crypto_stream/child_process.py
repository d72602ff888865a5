"""A child process of the supervisor: its program, log pipe, heartbeats and restarts.

Most are ours. A foreign one is somebody's program, such as a bridge: it sends no heartbeats, both its outputs
are logged, and its standard input ends when the supervisor does.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from crypto_stream.backoff import Backoff
from crypto_stream.log_throttle import LineBudget
from crypto_stream.logs import LINE_LIMIT, is_line

_OUR_PREFIX = "CRYPTO_STREAM_"
INHERITED = f"{_OUR_PREFIX}INHERITED"  # environment variable with a process's role and settings, as JSON

_log = logging.getLogger(__name__)
_READ = 65536
_LAST_READS = 64
_MAX_STDERR_LINES = 20  # per second and child: enough for a traceback


class Program(NamedTuple):
    """A process to keep running: its command, the contents of INHERITED, and the descriptors it inherits.

    One that `stops_last` outlives the others. A `foreign` one gets `inherited` as environment variables, and
    none of our settings: they include secrets. Neither is restarted by a signal.
    """

    name: str
    command: Sequence[str]
    inherited: Mapping[str, Any]
    fds: Sequence[int] = ()
    stops_last: bool = False
    foreign: bool = False


class Timeouts(NamedTuple):
    """Seconds: `hang_s` without a heartbeat before a process is killed, `stop_s` to shut down, delays.

    `start_s` is allowed before the first heartbeat, since an engine may have to scan a long recording first.
    After `healthy_s` without a crash, a gateway after `gateway_healthy_s`, the restart delay starts from
    `first_delay_s` again: viewers wait for a gateway, and unlike an engine it connects to no exchange, which
    might refuse too many connections. Delays increase to `max_delay_s`, those of foreign programs to
    `foreign_max_delay_s`.
    """

    hang_s: float = 15.0
    start_s: float = 120.0
    stop_s: float = 10.0
    first_delay_s: float = 0.1
    max_delay_s: float = 5.0
    healthy_s: float = 30.0
    gateway_healthy_s: float = 3.0
    foreign_max_delay_s: float = 60.0


class Child:
    """A program, its current process, and the pipe that carries the process's log lines and heartbeats."""

    def __init__(self, program: Program, timeouts: Timeouts, write: Callable[[str], None]) -> None:
        """Prepare `program`; `write` receives each line of its log."""
        self.name = program.name
        self.stops_last = program.stops_last
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe = -1
        self.restart_at = 0.0
        self.terminated_at: float | None = None
        self.serves = self.ever_lived = program.foreign
        self._program = program
        self._timeouts = timeouts
        self._write = write
        most_s = timeouts.foreign_max_delay_s if program.foreign else timeouts.max_delay_s
        self._backoff = Backoff(timeouts.first_delay_s, most_s)
        self._partial_line = b""
        self._started = self._last_beat = 0.0
        self._has_beaten = False
        self._stderr_since = 0.0
        self._stderr_budget = LineBudget(_MAX_STDERR_LINES)

    def start(self, now: float) -> None:
        """Start the process in its own session, so that Ctrl-C reaches the supervisor only.

        Raises OSError if the system cannot start it.
        """
        pipe, write_end = os.pipe()
        try:
            self.process = self._spawn_foreign(write_end) if self.is_foreign else self._spawn(write_end)
        except OSError:
            os.close(pipe)
            raise
        finally:
            os.close(write_end)
        os.set_blocking(pipe, False)
        self.pipe, self._partial_line = pipe, b""
        self._started, self._last_beat, self._has_beaten = now, now, False
        self.terminated_at = None

    def _spawn(self, write_end: int) -> subprocess.Popen[bytes]:
        inherited = {
            **self._program.inherited,
            "name": self.name,
            "log": write_end,
            "hang_s": self._timeouts.hang_s * 1.5,
        }
        return subprocess.Popen(
            self._program.command,
            env={**os.environ, INHERITED: json.dumps(inherited)},
            pass_fds=(write_end, *self._program.fds),
            stdin=subprocess.DEVNULL,
            stderr=write_end,  # a terminal might block; we always read this pipe
            start_new_session=True,
        )

    def _spawn_foreign(self, write_end: int) -> subprocess.Popen[bytes]:
        environment = {name: text for name, text in os.environ.items() if not name.startswith(_OUR_PREFIX)}
        return subprocess.Popen(
            self._program.command,
            env={**environment, **self._program.inherited},
            stdin=subprocess.PIPE,  # never written to; it ends when we end, however that happens
            stdout=write_end,
            stderr=write_end,
            start_new_session=True,
        )

    def read(self, now: float) -> bool:
        """Read the pipe: lines go to the log, a blank one is a heartbeat; return False at its end.

        That of a process which serves is empty, that of one which waits for its turn is a space.
        """
        try:
            data = os.read(self.pipe, _READ)
        except BlockingIOError:
            return True
        self._take(data, now)
        return bool(data)

    def _take(self, data: bytes, now: float) -> None:
        *lines, self._partial_line = (self._partial_line + data).split(b"\n")
        if len(self._partial_line) > 8 * LINE_LIMIT:  # not written by our log: bound the buffer
            lines, self._partial_line = [*lines, self._partial_line], b""
        for line in lines:
            if line.strip():
                self._log_line(line.decode(errors="replace"), now)
            else:
                self._last_beat, self._has_beaten, self.ever_lived = now, True, True
                self.serves = not line or self.is_foreign

    def _log_line(self, line: str, now: float) -> None:
        """Write a line to the log; other output on standard error (a crash, a library) is wrapped in one."""
        if is_line(line) and not self.is_foreign:
            self._write(line)
            return
        if now - self._stderr_since >= 1.0:
            self._stderr_since = now
            self._stderr_budget.renew()
        if self._stderr_budget.allows("line"):
            if self.is_foreign:
                _log.info("%s wrote", self.name, extra={"text": line})
            else:
                _log.warning("%s wrote to standard error", self.name, extra={"text": line})

    @property
    def is_foreign(self) -> bool:
        """Whether it is somebody's program."""
        return self._program.foreign

    @property
    def is_gateway(self) -> bool:
        """Whether it is a gateway: the engine stops last, and all others are foreign."""
        return not (self.stops_last or self.is_foreign)

    @property
    def is_serving(self) -> bool:
        """Whether the current process has sent a heartbeat."""
        return self.process is not None and self._has_beaten

    def stop(self, now: float, *, force: bool = False) -> None:
        """Terminate the process; kill it if that takes too long, or with `force`. To be called repeatedly."""
        if self.process is None:
            return
        if self.terminated_at is None:
            self.terminated_at = now
            self._signal(self.process, signal.SIGTERM)
        elif force or now - self.terminated_at > self._timeouts.stop_s:
            self._signal(self.process, signal.SIGKILL)

    def _signal(self, process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send a signal; also to processes that a foreign one has started, a shell's for example."""
        if self.is_foreign and process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        else:
            process.send_signal(number)

    def is_hanging(self, now: float) -> bool:
        """Return whether there was no heartbeat for too long."""
        if self.is_foreign:
            return False
        timeouts = self._timeouts
        limit = timeouts.hang_s if self._has_beaten else max(timeouts.hang_s, timeouts.start_s)
        return now - self._last_beat > limit

    def reset_hang_timer(self, now: float) -> None:
        """Count the time without a heartbeat from now on."""
        self._last_beat = now

    def reap(self, now: float) -> None:
        """Log the last lines of a process that has ended, and release its pipe."""
        with suppress(BlockingIOError):  # a process that it started may keep the pipe open, and write on
            for _ in range(_LAST_READS):
                if not (data := os.read(self.pipe, _READ)):
                    break
                self._take(data, now)
        if self._partial_line:
            self._log_line(self._partial_line.decode(errors="replace"), now)
        os.close(self.pipe)
        if self.process is not None and self.process.stdin is not None:
            self.process.stdin.close()
        self.process = None
        timeouts = self._timeouts
        if now - self._started >= (timeouts.gateway_healthy_s if self.is_gateway else timeouts.healthy_s):
            self._backoff.reset()

    def delay_restart(self, now: float) -> float:
        """Schedule the next start with exponential backoff; return the delay in seconds."""
        delay = self._backoff.next_delay()
        self.restart_at = now + delay
        return delay
