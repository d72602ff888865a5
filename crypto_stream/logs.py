"""One line per event: a half writes it to its pipe, the supervisor alone writes it to the log file.

    2026-01-31T12:00:00.123Z WARNING engine crypto_stream.feed connection lost source=okx reason="HTTP 503"

Time (UTC), level, process, logger, message, details. A trace is the detail `trace`, its line ends written as
`\\n`, so that one event stays one line and is found by `grep`. An empty line in a pipe is a beat.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import posix  # its `write` is never patched; a green `os.write` would wait where ours must not
import re
import signal
import stat
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO, TextIOWrapper
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType

from crypto_stream.descriptors import AT_ONCE, has_room
from crypto_stream.errors import UsageError

LINE_LIMIT = 32_000  # characters of one line; what is longer is cut
BUFFER_LIMIT = 1_000_000  # bytes a half keeps while its pipe is full; what comes then is lost and counted
ORPHAN_S = 5.0  # seconds an orphan has for a clean end before the kernel ends it

_LOG_MODE = 0o640

_PLAIN = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "line"}
# Only our own loggers follow the log level; a library that tells each request at INFO stays quiet.
_OURS = ("crypto_stream", "handlers")


_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ")


def is_line(text: str) -> bool:
    """Say whether `text` was written by a LineFormatter."""
    return _LINE.match(text) is not None


class LineFormatter(logging.Formatter):
    """Write a record as one line, details that are None left out; a finished `line` passes as it is."""

    def __init__(self, process: str) -> None:
        """Name the process as each of its lines shall."""
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        if (line := getattr(record, "line", None)) is not None:
            return str(line)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        details = {
            key: value for key, value in record.__dict__.items() if key not in _PLAIN and value is not None
        }
        if record.exc_info:
            details["trace"] = self.formatException(record.exc_info)
        words = [time.replace("+00:00", "Z"), record.levelname, self._process, record.name, _message(record)]
        words += [f"{key}={_value(value)}" for key, value in details.items()]
        line = " ".join(words)
        return line if len(line) <= LINE_LIMIT else line[:LINE_LIMIT] + "…"


def _message(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit the text must not cost the event
        text = f"{record.msg} {record.args}"
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _value(value: object) -> str:
    text = str(value)
    if text and text.isprintable() and not any(char in text for char in ' "='):
        return text
    return json.dumps(text, ensure_ascii=not text.isprintable())


class PipeHandler(logging.Handler):
    """Hand lines and beats to the supervisor without ever waiting for it.

    Up to BUFFER_LIMIT bytes wait while the pipe is full; then new lines are lost, and their number is told
    by a line of its own (`lost=N`) as soon as there is room again.
    """

    def __init__(self, fd: int, process: str, hang_s: float) -> None:
        """Write to `fd`; the kernel ends this process when it gives no beat for `hang_s` seconds."""
        super().__init__()
        os.set_blocking(fd, False)
        self.setFormatter(LineFormatter(process))
        self._fd = fd
        self._hang_s = hang_s
        self._pending = bytearray()
        self._lost = 0
        self._orphan = False

    def emit(self, record: logging.LogRecord) -> None:
        """Take one record; called by logging."""
        line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        if len(self._pending) + len(line) > BUFFER_LIMIT:
            self._lost += 1
        else:
            self._pending += line
        self._write()

    def beat(self) -> None:
        """Say "I live", each second; ask this process to end by SIGTERM when the supervisor is gone."""
        with self.lock:  # type: ignore[union-attr] # a handler's lock is None only after createLock was overridden
            if not self._orphan:
                # Where no supervisor is left to notice that we hang, the kernel does.
                signal.setitimer(signal.ITIMER_REAL, self._hang_s)
            if self._pending != b"\n" and not self._pending.endswith(b"\n\n"):
                self._pending += b"\n"
            self._write()

    def flush(self) -> None:
        """Write what the pipe takes now; called by logging at the end of the process."""
        with self.lock:  # type: ignore[union-attr] # as above
            self._write()

    def _write(self) -> None:
        while self._pending:
            try:
                del self._pending[: posix.write(self._fd, self._pending[:65536])]
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._end()
                return
        if self._lost:
            lost, self._lost = self._lost, 0
            self.emit(_record(logging.WARNING, "log lines lost, the pipe was full", lost=lost))

    def _end(self) -> None:
        self._pending.clear()
        if not self._orphan:
            self._orphan = True
            signal.setitimer(signal.ITIMER_REAL, ORPHAN_S)
            os.kill(os.getpid(), signal.SIGTERM)


class LogFile(RotatingFileHandler):
    """The log file with its one writer; rotated by size, `count` old files are kept.

    Its group may read it, nobody else. It is never opened through a link that somebody put in its place.
    """

    def __init__(self, path: Path, size: int, count: int, process: str) -> None:
        """Open `path`; raise UsageError when it cannot be written or another program writes it."""
        try:
            super().__init__(path, maxBytes=size, backupCount=count, encoding="utf-8")
        except BlockingIOError:
            raise UsageError(
                f"log-file: '{path}' is written by another running Crypto Stream; stop that one, or start"
                " this one with its own --data-dir and --log-file"
            ) from None
        except OSError as error:
            why = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise UsageError(f"log-file: '{path}' cannot be written ({why}); name a file that can") from None
        self.setFormatter(LineFormatter(process))
        self._complaint = ""

    def line(self, text: str) -> None:
        """Write a line that a half has finished."""
        self.handle(logging.makeLogRecord({"line": text}))

    def _open(self) -> TextIOWrapper:
        # Without O_NONBLOCK the opening of a FIFO that nobody reads would wait for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.baseFilename, flags, _LOG_MODE)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is no regular file")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_IMODE(found.st_mode) & ~_LOG_MODE and found.st_uid == os.geteuid():
                os.fchmod(descriptor, _LOG_MODE)  # made by an older version, for everybody to read
        except OSError:
            os.close(descriptor)
            raise
        return TextIOWrapper(FileIO(descriptor, "a"), encoding="utf-8", write_through=True)

    def doRollover(self) -> None:  # noqa: N802 - logging's own name
        """Begin a new file; where no old one shall be kept, empty this one (logging would let it grow)."""
        if self.backupCount:
            super().doRollover()
        elif self.stream is not None:
            self.stream.truncate(0)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Say once per cause that the file cannot be written; the program goes on."""
        complaint = f"{self.baseFilename} cannot be written: {sys.exc_info()[1]}"
        if complaint != self._complaint:
            self._complaint = complaint
            _show(complaint)


# What is logged here, at any level, also reaches the terminal: how far long work has come.
PROGRESS = "crypto_stream.progress"


class Terminal(logging.Handler):
    """Show warnings and worse, and progress, to the person who started the program; no time, no trace."""

    def __init__(self, process: str, level: int = logging.WARNING) -> None:
        """Show what `process` logs from `level` on, and finished lines of others, on standard error."""
        super().__init__(level)
        self.setFormatter(LineFormatter(process))

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; called by logging."""
        self.line(self.format(record))

    def line(self, text: str) -> None:
        """Show a finished line if its level is high enough."""
        _, level, process, logger, rest = (*text.split(" ", 4), "", "", "", "")[:5]
        if logging.getLevelNamesMapping().get(level, 0) >= self.level or logger == PROGRESS:
            _show(f"{process}: {level.lower()}: {rest.split(' trace=')[0]}")


class _Shown:
    """Standard error, for which nobody ever waits: what does not go out at once is left out and counted."""

    def __init__(self) -> None:
        self._lost = 0

    def line(self, text: str) -> None:
        """Show a line, if there is room for it now."""
        with suppress(OSError, ValueError):  # the terminal may be gone; that must end nobody
            if not has_room(sys.stderr.fileno()):
                self._lost += 1
                return
            lost, self._lost = self._lost, 0
            told = f"({lost} lines were not shown: nobody read them)\n" if lost else ""
            posix.write(sys.stderr.fileno(), f"{told}{text}\n".encode(errors="backslashreplace")[:AT_ONCE])


_shown = _Shown()


def _show(line: str) -> None:
    _shown.line(line)


def configure(level: str, *handlers: logging.Handler) -> None:
    """Send what this process logs to `handlers`: ours from `level` on, libraries' warnings, crashes."""
    root = logging.getLogger()
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level]))
    root.handlers[:] = handlers
    for name in _OURS:
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)
    sys.excepthook = _log_crash


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    logging.getLogger("crypto_stream").critical(
        "ended by an error: %s", error, exc_info=(kind, error, trace), extra={"error": kind.__name__}
    )


def _record(level: int, message: str, **details: object) -> logging.LogRecord:
    return logging.getLogger(__name__).makeRecord(__name__, level, "", 0, message, (), None, extra=details)
