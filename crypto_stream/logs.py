"""One line per event: engine and gateways write it to a pipe, and only the supervisor writes the log file.

    2026-01-31T12:00:00.123Z WARNING engine crypto_stream.feed connection lost source=okx reason="HTTP 503"

Time (UTC), level, process, logger, message, details. A traceback is the detail `trace` with its line breaks
written as `\\n`, so that an event remains one line for `grep`. An empty line in a pipe is a heartbeat.
"""

from __future__ import annotations

import errno
import fcntl
import json
import logging
import os
import posix  # unlike `os.write`, which a green server replaces, `posix.write` never blocks for the pipe
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

from crypto_stream import layout
from crypto_stream.descriptors import ATOMIC_WRITE_BYTES, is_writable
from crypto_stream.errors import UsageError

LINE_LIMIT = 32_000  # characters per line; longer ones are truncated
BUFFER_LIMIT = 1_000_000  # bytes buffered while the pipe is full; further lines are dropped and counted
ORPHAN_S = 5.0  # seconds an orphaned process has to shut down before the kernel kills it

_LOG_MODE = 0o640

_STANDARD_FIELDS = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName", "line"}
# Only our own loggers follow the log level: some libraries log every request at INFO.
_OURS = ("crypto_stream", layout.HANDLERS_PACKAGE)

_LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z [A-Z]+ ")


def is_line(text: str) -> bool:
    """Return whether `text` was written by a LineFormatter."""
    return _LINE.match(text) is not None


class LineFormatter(logging.Formatter):
    """Format a record as one line, omitting details that are None; a formatted `line` is passed through."""

    def __init__(self, process: str) -> None:
        """Write `process` into each line."""
        super().__init__()
        self._process = process

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without a line break."""
        if (line := getattr(record, "line", None)) is not None:
            return str(line)
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        details = {
            key: value
            for key, value in record.__dict__.items()
            if key not in _STANDARD_FIELDS and value is not None
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
    except (TypeError, ValueError):  # mismatched arguments must not lose the event
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
    """Send lines and heartbeats to the supervisor without ever blocking.

    Up to BUFFER_LIMIT bytes are buffered while the pipe is full; beyond that new lines are dropped, and a
    line with their number (`lost=N`) follows as soon as there is room again.
    """

    def __init__(self, fd: int, process: str, hang_s: float) -> None:
        """Write to `fd`; the kernel kills this process if `beat` is not called for `hang_s` seconds."""
        super().__init__()
        os.set_blocking(fd, False)
        self.setFormatter(LineFormatter(process))
        self._fd = fd
        self._hang_s = hang_s
        self._pending = bytearray()
        self._lost = 0
        self._orphan = False

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record; called by logging."""
        line = f"{self.format(record)}\n".encode(errors="backslashreplace")
        if len(self._pending) + len(line) > BUFFER_LIMIT:
            self._lost += 1
        else:
            self._pending += line
        self._write()

    def beat(self, *, waits: bool = False) -> None:
        """Send a heartbeat, each second; send SIGTERM to this process if the supervisor is gone.

        `waits` says that this process lives, but does not serve yet.
        """
        beat = b" \n" if waits else b"\n"
        with self.lock:  # type: ignore[union-attr] # a handler's lock is None only after createLock was overridden
            if not self._orphan:
                # If the supervisor is gone it cannot notice that we hang; this timer's signal kills us then.
                signal.setitimer(signal.ITIMER_REAL, self._hang_s)
            if self._pending != beat and not self._pending.endswith(b"\n" + beat):
                self._pending += beat
            self._write()

    def flush(self) -> None:
        """Write as much as the pipe accepts now; called by logging when the process exits."""
        with self.lock:  # type: ignore[union-attr] # as above
            self._write()

    def _write(self) -> None:
        while self._pending:
            try:
                del self._pending[: posix.write(self._fd, self._pending[:65536])]
            except BlockingIOError:
                return
            except BrokenPipeError:
                self._shut_down()
                return
        if self._lost:
            lost, self._lost = self._lost, 0
            self.emit(_record(logging.WARNING, "log lines lost, the pipe was full", lost=lost))

    def _shut_down(self) -> None:
        self._pending.clear()
        if not self._orphan:
            self._orphan = True
            signal.setitimer(signal.ITIMER_REAL, ORPHAN_S)
            os.kill(os.getpid(), signal.SIGTERM)


class LogFile(RotatingFileHandler):
    """The log file, written by one process only; rotated by size, with `count` old files kept.

    Readable by owner and group only. Never opened through a symbolic link that somebody put in its place.
    """

    def __init__(self, path: Path, size: int, count: int, process: str) -> None:
        """Open `path`; raise UsageError if it cannot be written or another program is writing it."""
        try:
            super().__init__(path, maxBytes=size, backupCount=count, encoding="utf-8")
        except BlockingIOError:
            raise UsageError(
                f"log-file: '{path}' is being written by another Crypto Stream; stop that one, or start"
                " this one with its own --data-dir and --log-file"
            ) from None
        except OSError as error:
            why = "it is a symbolic link" if error.errno == errno.ELOOP else error.strerror
            raise UsageError(f"log-file: '{path}' cannot be written ({why}); name a file that can") from None
        self.setFormatter(LineFormatter(process))
        self._last_error = ""

    def line(self, text: str) -> None:
        """Write a line that another process has formatted."""
        self.handle(logging.makeLogRecord({"line": text}))

    def _open(self) -> TextIOWrapper:
        # O_NONBLOCK: opening a FIFO that nobody reads would otherwise block for ever.
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.baseFilename, flags, _LOG_MODE)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode):
                raise OSError(errno.EINVAL, "it is not a regular file")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if stat.S_IMODE(found.st_mode) & ~_LOG_MODE and found.st_uid == os.geteuid():
                os.fchmod(descriptor, _LOG_MODE)  # an older version created it readable by everybody
        except OSError:
            os.close(descriptor)
            raise
        return TextIOWrapper(FileIO(descriptor, "a"), encoding="utf-8", write_through=True)

    def doRollover(self) -> None:  # noqa: N802 - logging's own name
        """Start a new file; without backups, truncate this one (the base class would let it grow)."""
        if self.backupCount:
            super().doRollover()
        elif self.stream is not None:
            self.stream.truncate(0)

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's own name
        """Show on the terminal, once per cause, that the file cannot be written, and continue."""
        text = f"{self.baseFilename} cannot be written: {sys.exc_info()[1]}"
        if text != self._last_error:
            self._last_error = text
            _stderr.line(text)


# Whatever is logged here, at any level, is also shown on the terminal: the progress of long operations.
PROGRESS = "crypto_stream.progress"


class Terminal(logging.Handler):
    """Show warnings, errors and progress on the terminal, without time and traceback."""

    def __init__(self, process: str, level: int = logging.WARNING) -> None:
        """Show what `process` logs at `level` or above, on standard error."""
        super().__init__(level)
        self.setFormatter(LineFormatter(process))

    def emit(self, record: logging.LogRecord) -> None:
        """Show one record; called by logging."""
        self.line(self.format(record))

    def line(self, text: str) -> None:
        """Show a line formatted by this or another process, if its level is high enough."""
        _, level, process, logger, rest = (*text.split(" ", 4), "", "", "", "")[:5]
        if logging.getLevelNamesMapping().get(level, 0) >= self.level or logger == PROGRESS:
            _stderr.line(f"{process}: {level.lower()}: {rest.split(' trace=')[0]}")


class _StandardError:
    """Standard error, never blocking: lines that cannot be written at once are dropped and counted."""

    def __init__(self) -> None:
        self._lost = 0

    def line(self, text: str) -> None:
        """Write a line if it can be written without blocking."""
        with suppress(OSError, ValueError):  # the terminal may be gone, which is not fatal
            if not is_writable(sys.stderr.fileno()):
                self._lost += 1
                return
            lost, self._lost = self._lost, 0
            notice = f"({lost} lines were not shown: the terminal was blocked)\n" if lost else ""
            data = f"{notice}{text}\n".encode(errors="backslashreplace")
            posix.write(sys.stderr.fileno(), data[:ATOMIC_WRITE_BYTES])


_stderr = _StandardError()


def configure(level: str, *handlers: logging.Handler) -> None:
    """Send our log records from `level` up, libraries' warnings and crashes to `handlers`."""
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
