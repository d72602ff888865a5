"""Keep the halves alive: start them, restart what dies, hangs or is to be renewed, write their log."""

from __future__ import annotations

import json
import logging
import os
import selectors
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NamedTuple

from crypto_stream.backoff import Backoff
from crypto_stream.logs import LINE_LIMIT, is_line

INHERITED = "CRYPTO_STREAM_INHERITED"  # environment variable that tells a process which half it is, as JSON
USAGE = 2  # exit status of a program that a person must start differently

_log = logging.getLogger(__name__)
_READ = 65536
_MOST_BARE = 20  # lines a second that a child may write past its log: a trace, no flood
_SIGNAL_NAMES = {number.value: number.name for number in signal.Signals}
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_RENEW_SIGNAL = signal.SIGUSR1


class Program(NamedTuple):
    """One process to keep alive: its command, what it is told in INHERITED, which descriptors it gets."""

    name: str
    command: Sequence[str]
    told: Mapping[str, Any]
    fds: Sequence[int] = ()


class Limits(NamedTuple):
    """Seconds: silence that counts as hanging, time to stop, waits between restarts.

    `start_s` is the silence allowed before the first beat: an engine reads a long recording first.
    """

    hang_s: float = 15.0
    start_s: float = 120.0
    stop_s: float = 10.0
    first_delay_s: float = 0.1
    longest_delay_s: float = 5.0
    good_life_s: float = 30.0


class Child:
    """One program, its present process and the pipe that carries its lines and beats."""

    def __init__(self, program: Program, limits: Limits, take: Callable[[str], None]) -> None:
        """Prepare `program`; `take` gets each line it writes."""
        self.name = program.name
        self.process: subprocess.Popen[bytes] | None = None
        self.pipe = -1
        self.restart_at = 0.0
        self.asked_to_end: float | None = None
        self.served = False
        self._program = program
        self._limits = limits
        self._take = take
        self._backoff = Backoff(limits.first_delay_s, limits.longest_delay_s)
        self._rest = b""
        self._started = self._heard = 0.0
        self._beaten = False
        self._bare_since, self._bare = 0.0, 0

    def start(self, now: float) -> None:
        """Start the process in a session of its own, so that Ctrl-C reaches it through us alone.

        Raises OSError when the machine cannot start one.
        """
        pipe, write = os.pipe()
        told = {**self._program.told, "name": self.name, "log": write, "hang_s": self._limits.hang_s * 1.5}
        try:
            self.process = subprocess.Popen(
                self._program.command,
                env={**os.environ, INHERITED: json.dumps(told)},
                pass_fds=(write, *self._program.fds),
                stdin=subprocess.DEVNULL,
                stderr=write,  # read by us for as long as we live: nobody waits for a terminal
                start_new_session=True,
            )
        except OSError:
            os.close(pipe)
            raise
        finally:
            os.close(write)
        os.set_blocking(pipe, False)
        self.pipe, self._rest = pipe, b""
        self._started, self._heard, self._beaten = now, now, False
        self.asked_to_end = None

    def read(self, now: float) -> bool:
        """Take what the pipe holds: lines go to the log, an empty one is a beat; False at its end."""
        try:
            data = os.read(self.pipe, _READ)
        except BlockingIOError:
            return True
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > 8 * LINE_LIMIT:  # nothing of ours writes such a line
            lines, self._rest = [*lines, self._rest], b""
        for line in lines:
            if line:
                self._hand_on(line.decode(errors="replace"), now)
            else:
                self._heard, self._beaten, self.served = now, True, True
        return bool(data)

    def _hand_on(self, line: str, now: float) -> None:
        """Give a line to the log; what was written past it (a crash, a library) is made one of ours."""
        if is_line(line):
            self._take(line)
            return
        if now - self._bare_since >= 1.0:
            self._bare_since, self._bare = now, 0
        self._bare += 1
        if self._bare <= _MOST_BARE:
            _log.warning("%s wrote to standard error", self.name, extra={"text": line})

    @property
    def serves(self) -> bool:
        """Tell whether the present process gave a beat."""
        return self.process is not None and self._beaten

    def end(self, now: float, *, hurry: bool = False) -> None:
        """Ask the process to end, and kill it when that takes too long."""
        if self.process is None:
            return
        if self.asked_to_end is None:
            self.asked_to_end = now
            self.process.terminate()
        elif hurry or now - self.asked_to_end > self._limits.stop_s:
            self.process.kill()

    def hangs(self, now: float) -> bool:
        """Tell whether the process was silent for too long."""
        limit = self._limits.hang_s if self._beaten else max(self._limits.hang_s, self._limits.start_s)
        return now - self._heard > limit

    def forgive(self, now: float) -> None:
        """Begin to wait for beats anew: it was us who did not listen."""
        self._heard = now

    def bury(self, now: float) -> None:
        """Take the last lines of a process that ended."""
        while self.read(now):
            continue
        if self._rest:
            self._hand_on(self._rest.decode(errors="replace"), now)
        os.close(self.pipe)
        self.process = None
        if now - self._started >= self._limits.good_life_s:
            self._backoff.reset()

    def put_off(self, now: float) -> float:
        """Put the next start off, twice as long each time; return the seconds."""
        delay = self._backoff.next_delay()
        self.restart_at = now + delay
        return delay


class Supervisor:
    """Run programs until a signal, or a program that was started wrongly, ends them all."""

    def __init__(
        self,
        programs: Sequence[Program],
        take: Callable[[str], None],
        serving: Callable[[], None],
        limits: Limits = Limits(),  # noqa: B008 - a frozen tuple
        note: Callable[[Sequence[int]], None] = lambda pids: None,
        beat: Callable[[], None] = lambda: None,
    ) -> None:
        """Give `take` every line the programs write; call `serving` once, when all of them gave a beat.

        `note` is told the ids of all processes whenever they change; `beat` is called at least each second.
        """
        self._beat = beat
        self._note = note
        self._limits = limits
        self._children = [Child(program, limits, take) for program in programs]
        self._serving: Callable[[], None] | None = serving
        self._selector = selectors.DefaultSelector()
        self._signals: list[int] = []
        self._renewing: list[tuple[Child, subprocess.Popen[bytes] | None]] = []  # the process before
        self._stopping = False
        self._hurry = False
        self._status = 0

    def run(self) -> int:
        """Return the exit status: 0 after a signal, USAGE after a program that was started wrongly."""
        with self._signals_caught():
            last = time.monotonic()
            while not self._stopping or any(child.process for child in self._children):
                now = time.monotonic()
                # Were we stopped, or was the machine asleep? Then their silence says nothing.
                if now - last > self._limits.hang_s / 2:
                    for child in self._children:
                        child.forgive(now)
                last = now
                for child in self._children:
                    self._look_after(child, now)
                if self._stopping:
                    self._stop_step(now)
                elif self._renewing:
                    self._renew_step(now)
                self._announce()
                self._beat()
                self._wait(now)
                self._obey()
        return self._status

    def _look_after(self, child: Child, now: float) -> None:
        if child.process is None:
            if not self._stopping and now >= child.restart_at:
                self._start(child, now)
        elif (status := child.process.poll()) is not None:
            self._ended(child, status, now)
        elif child.hangs(now):
            _log.error("%s is not responding: killing it", child.name, extra={"pid": child.process.pid})
            child.forgive(now)
            child.process.kill()

    def _stop_step(self, now: float) -> None:
        """Ask the others to end, then the first, which they live on; kill who takes too long."""
        first, *others = self._children
        for child in [other for other in others if other.process] or [first]:
            child.end(now, hurry=self._hurry)

    def _renew_step(self, now: float) -> None:
        """Restart all but the first, one after the other: the next when the one before it serves again."""
        child, before = self._renewing[0]
        if child.process is before:
            child.end(now)
        elif child.serves:
            self._renewing.pop(0)
            _log.info("%s renewed", child.name, extra={"left": len(self._renewing)})

    def _start(self, child: Child, now: float) -> None:
        try:
            child.start(now)
        except OSError as error:
            delay = child.put_off(now)
            _log.error("%s cannot be started: %s", child.name, error, extra={"next_start_in_s": delay})
            return
        self._selector.register(child.pipe, selectors.EVENT_READ, child)
        if child.process is not None:
            _log.info("%s started", child.name, extra={"pid": child.process.pid})
        self._note([each.process.pid for each in self._children if each.process])

    def _ended(self, child: Child, status: int, now: float) -> None:
        with suppress(KeyError):  # gone already when the end of its pipe was seen first
            self._selector.unregister(child.pipe)
        child.bury(now)
        cause = _SIGNAL_NAMES.get(-status, status)
        if self._stopping:
            _log.info("%s ended", child.name, extra={"status": cause})
        elif status == USAGE and not child.served:
            _log.info("%s cannot run with these settings: stopping everything", child.name)
            self._status = USAGE
            self._stopping = True
        elif child.asked_to_end is not None:
            _log.info("%s ended to be renewed", child.name, extra={"status": cause})
            child.restart_at = now
        else:
            delay = child.put_off(now)
            _log.warning("%s ended", child.name, extra={"status": cause, "next_start_in_s": delay})

    def _announce(self) -> None:
        if self._serving is not None and all(child.served for child in self._children):
            serving, self._serving = self._serving, None
            serving()

    def _wait(self, now: float) -> None:
        due = [min(1.0, self._limits.hang_s / 4)]
        if not self._stopping:
            due += [child.restart_at - now for child in self._children if child.process is None]
        for key, _ in self._selector.select(max(0.0, min(due))):
            if isinstance(key.data, Child):
                if not key.data.read(now):
                    self._selector.unregister(key.fd)
            elif isinstance(key.fileobj, socket.socket):
                key.fileobj.recv(_READ)

    def _obey(self) -> None:
        while self._signals:
            number = self._signals.pop(0)
            if number == _RENEW_SIGNAL:
                _log.info("restart of the gateways asked for by %s", _SIGNAL_NAMES[number])
                self._renewing = self._renewing or [(child, child.process) for child in self._children[1:]]
                continue
            _log.info("stop asked for by %s", _SIGNAL_NAMES[number])
            self._hurry = self._stopping  # who asks twice is in a hurry
            self._stopping = True

    @contextmanager
    def _signals_caught(self) -> Iterator[None]:
        """Note signals to stop or renew, and wake the selector for them and for a child's death."""

        def note(number: int, _: FrameType | None) -> None:
            if number != signal.SIGCHLD:
                self._signals.append(number)

        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        theirs.setblocking(False)
        before = {}
        for number in (*_STOP_SIGNALS, _RENEW_SIGNAL, signal.SIGCHLD):
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup means it
                before[number] = signal.signal(number, note)
        woken = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        self._selector.register(ours, selectors.EVENT_READ)
        try:
            yield
        finally:
            signal.set_wakeup_fd(woken)
            for number, handler in before.items():
                signal.signal(number, handler)
            self._selector.close()
            ours.close()
            theirs.close()
