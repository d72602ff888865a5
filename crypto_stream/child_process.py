"""A child process of the supervisor: its program, log pipe, heartbeats and restarts."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from crypto_stream.backoff import Backoff
from crypto_stream.log_throttle import LineBudget
from crypto_stream.logs import LINE_LIMIT, is_line

INHERITED = "CRYPTO_STREAM_INHERITED"  # environment variable with a process's role and settings, as JSON

_log = logging.getLogger(__name__)
_READ = 65536
_MAX_STDERR_LINES = 20  # per second and child: enough for a traceback


class Program(NamedTuple):
    """A process to keep running: its command, the contents of INHERITED, and the descriptors it inherits.

    One that `stops_last` outlives the others, and is not restarted by a signal.
    """

    name: str
    command: Sequence[str]
    inherited: Mapping[str, Any]
    fds: Sequence[int] = ()
    stops_last: bool = False


class Timeouts(NamedTuple):
    """Seconds: `hang_s` without a heartbeat before a process is killed, `stop_s` to shut down, delays.

    `start_s` is allowed before the first heartbeat, since an engine may have to scan a long recording first.
    After `healthy_s` without a crash the restart delay starts from `first_delay_s` again.
    """

    hang_s: float = 15.0
    start_s: float = 120.0
    stop_s: float = 10.0
    first_delay_s: float = 0.1
    max_delay_s: float = 5.0
    healthy_s: float = 30.0


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
        self.ever_served = self.ever_lived = False
        self._program = program
        self._timeouts = timeouts
        self._write = write
        self._backoff = Backoff(timeouts.first_delay_s, timeouts.max_delay_s)
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
        inherited = {
            **self._program.inherited,
            "name": self.name,
            "log": write_end,
            "hang_s": self._timeouts.hang_s * 1.5,
        }
        try:
            self.process = subprocess.Popen(
                self._program.command,
                env={**os.environ, INHERITED: json.dumps(inherited)},
                pass_fds=(write_end, *self._program.fds),
                stdin=subprocess.DEVNULL,
                stderr=write_end,  # a terminal might block; we always read this pipe
                start_new_session=True,
            )
        except OSError:
            os.close(pipe)
            raise
        finally:
            os.close(write_end)
        os.set_blocking(pipe, False)
        self.pipe, self._partial_line = pipe, b""
        self._started, self._last_beat, self._has_beaten = now, now, False
        self.terminated_at = None

    def read(self, now: float) -> bool:
        """Read the pipe: lines go to the log, a blank one is a heartbeat; return False at its end.

        That of a process which serves is empty, that of one which waits for its turn is a space.
        """
        try:
            data = os.read(self.pipe, _READ)
        except BlockingIOError:
            return True
        *lines, self._partial_line = (self._partial_line + data).split(b"\n")
        if len(self._partial_line) > 8 * LINE_LIMIT:  # not written by our log: bound the buffer
            lines, self._partial_line = [*lines, self._partial_line], b""
        for line in lines:
            if line.strip():
                self._log_line(line.decode(errors="replace"), now)
            else:
                self._last_beat, self._has_beaten, self.ever_lived = now, True, True
                self.ever_served |= not line
        return bool(data)

    def _log_line(self, line: str, now: float) -> None:
        """Write a line to the log; other output on standard error (a crash, a library) is wrapped in one."""
        if is_line(line):
            self._write(line)
            return
        if now - self._stderr_since >= 1.0:
            self._stderr_since = now
            self._stderr_budget.renew()
        if self._stderr_budget.allows("line"):
            _log.warning("%s wrote to standard error", self.name, extra={"text": line})

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
            self.process.terminate()
        elif force or now - self.terminated_at > self._timeouts.stop_s:
            self.process.kill()

    def is_hanging(self, now: float) -> bool:
        """Return whether there was no heartbeat for too long."""
        timeouts = self._timeouts
        limit = timeouts.hang_s if self._has_beaten else max(timeouts.hang_s, timeouts.start_s)
        return now - self._last_beat > limit

    def reset_hang_timer(self, now: float) -> None:
        """Count the time without a heartbeat from now on."""
        self._last_beat = now

    def reap(self, now: float) -> None:
        """Log the last lines of a process that has ended, and release its pipe."""
        while self.read(now):
            continue
        if self._partial_line:
            self._log_line(self._partial_line.decode(errors="replace"), now)
        os.close(self.pipe)
        self.process = None
        if now - self._started >= self._timeouts.healthy_s:
            self._backoff.reset()

    def delay_restart(self, now: float) -> float:
        """Schedule the next start with exponential backoff; return the delay in seconds."""
        delay = self._backoff.next_delay()
        self.restart_at = now + delay
        return delay
