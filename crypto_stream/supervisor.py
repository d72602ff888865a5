"""The supervisor: start the engine, gateways and bridges, restart those that die or hang, write their log.

SIGUSR1 restarts the gateways one after the other.
"""

from __future__ import annotations

import logging
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType

from crypto_stream.child_process import Child, Program, Timeouts

USAGE = 2  # exit status of a program that cannot run with these settings

_log = logging.getLogger(__name__)
_READ = 65536
_SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_RESTART_SIGNAL = signal.SIGUSR1


class Supervisor:
    """Keep programs running until a signal arrives or one of them exits with status USAGE at its start."""

    def __init__(
        self,
        programs: Sequence[Program],
        write: Callable[[str], None],
        on_serving: Callable[[], None],
        timeouts: Timeouts = Timeouts(),  # noqa: B008 - a frozen tuple
        on_processes: Callable[[Sequence[int]], None] = lambda pids: None,
        beat: Callable[[], None] = lambda: None,
        on_waiting: Callable[[], None] = lambda: None,
    ) -> None:
        """Pass the programs' log lines to `write`; call `on_serving` once all have sent a heartbeat.

        `on_waiting` is called if all live, but some of them wait for their turn: before that, or again.
        `on_processes` receives all process ids whenever they change; `beat` is called at least each second.
        """
        self._beat = beat
        self._on_processes = on_processes
        self._timeouts = timeouts
        self._children = [Child(program, timeouts, write) for program in programs]
        self._on_serving = on_serving
        self._on_waiting = on_waiting
        self._serves: bool | None = None  # None: not all have lived yet
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._restarting: list[tuple[Child, subprocess.Popen[bytes] | None]] = []  # with the old process
        self._stopping = False
        self._force = False
        self._status = 0

    def run(self) -> int:
        """Run until stopped; return 0 after a signal, USAGE if a program cannot run with its settings."""
        with self._signals_caught():
            last = time.monotonic()
            while not self._stopping or any(child.process for child in self._children):
                now = time.monotonic()
                # After we were stopped or the machine slept, missing heartbeats mean nothing.
                if now - last > self._timeouts.hang_s / 2:
                    for child in self._children:
                        child.reset_hang_timer(now)
                last = now
                for child in self._children:
                    self._check(child, now)
                if self._stopping:
                    self._stop_step(now)
                elif self._restarting:
                    self._restart_step(now)
                self._report_serving()
                self._beat()
                self._wait(now)
                self._handle_signals()
        return self._status

    def _check(self, child: Child, now: float) -> None:
        if child.process is None:
            if not self._stopping and now >= child.restart_at:
                self._start(child, now)
        elif (status := child.process.poll()) is not None:
            self._ended(child, status, now)
        elif child.is_hanging(now):
            _log.error("%s is not responding: killing it", child.name, extra={"pid": child.process.pid})
            child.reset_hang_timer(now)
            child.process.kill()

    def _stop_step(self, now: float) -> None:
        """Stop the gateways and bridges, then the engine."""
        running = [child for child in self._children if child.process]
        for child in [one for one in running if not one.stops_last] or running:
            child.stop(now, force=self._force)

    def _restart_step(self, now: float) -> None:
        """Restart the gateways one after the other, each once the previous one is serving again."""
        child, old_process = self._restarting[0]
        if child.process is old_process:
            child.stop(now)
        elif child.is_serving:
            self._restarting.pop(0)
            _log.info("%s restarted", child.name, extra={"left": len(self._restarting)})

    def _start(self, child: Child, now: float) -> None:
        try:
            child.start(now)
        except OSError as error:
            delay = child.delay_restart(now)
            _log.error("%s cannot be started: %s", child.name, error, extra={"next_start_in_s": delay})
            return
        self._selector.register(child.pipe, selectors.EVENT_READ, child)
        if child.process is not None:
            _log.info("%s started", child.name, extra={"pid": child.process.pid})
        self._on_processes([each.process.pid for each in self._children if each.process])

    def _ended(self, child: Child, status: int, now: float) -> None:
        with suppress(KeyError):  # already unregistered if the end of its pipe was read first
            self._selector.unregister(child.pipe)
        child.reap(now)
        cause = _SIGNAL_NAMES.get(-status, status)
        if self._stopping:
            _log.info("%s ended", child.name, extra={"status": cause})
        elif status == USAGE and not child.ever_lived:
            _log.info("%s cannot run with these settings: stopping everything", child.name)
            self._status = USAGE
            self._stopping = True
        elif child.terminated_at is not None:
            _log.info("%s stopped for a restart", child.name, extra={"status": cause})
            child.restart_at = now
        else:
            delay = child.delay_restart(now)
            _log.warning("%s ended", child.name, extra={"status": cause, "next_start_in_s": delay})

    def _report_serving(self) -> None:
        if not all(child.ever_lived for child in self._children):
            return
        serves = all(child.serves for child in self._children)
        if serves != self._serves:
            self._serves = serves
            (self._on_serving if serves else self._on_waiting)()

    def _wait(self, now: float) -> None:
        due = [min(1.0, self._timeouts.hang_s / 4)]
        if not self._stopping:
            due += [child.restart_at - now for child in self._children if child.process is None]
        for key, _ in self._selector.select(max(0.0, min(due))):
            if isinstance(key.data, Child):
                if not key.data.read(now):
                    self._selector.unregister(key.fd)
            elif isinstance(key.fileobj, socket.socket):
                key.fileobj.recv(_READ)

    def _handle_signals(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == _RESTART_SIGNAL:
                _log.info("restarting the gateways on %s", _SIGNAL_NAMES[number])
                if not self._restarting:
                    gateways = [each for each in self._children if each.is_gateway]
                    self._restarting = [(child, child.process) for child in gateways]
                continue
            _log.info("stopping on %s", _SIGNAL_NAMES[number])
            self._force = self._stopping  # a second signal kills what is still running
            self._stopping = True

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        """Collect signals; they, and the exit of a child, wake the selector."""

        def collect(number: int, _: FrameType | None) -> None:
            if number != signal.SIGCHLD:
                self._signals.append(number)

        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        previous = {}
        for number in (*_STOP_SIGNALS, _RESTART_SIGNAL, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN:  # respect nohup
                previous[number] = signal.signal(number, collect)
        previous_fd = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ)
        try:
            yield
        finally:
            signal.set_wakeup_fd(previous_fd)
            for number, handler in previous.items():
                signal.signal(number, handler)
            self._selector.close()
            ours.close()
            theirs.close()
