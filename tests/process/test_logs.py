"""Lines of the log: one event is one line, whatever is in it; the file is rotated and has one writer."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream import logs
from crypto_stream.errors import UsageError
from tests.process.programs import program


def _line(message: str, *args: object, level: int = logging.INFO, **details: object) -> str:
    logger = logging.getLogger("crypto_stream.feed")
    record = logger.makeRecord(logger.name, level, "", 0, message, args, None, extra=details)
    return logs.LineFormatter("engine").format(record)


def _log_file(folder: Path, size: int = 10_000, count: int = 2) -> logs.LogFile:
    return logs.LogFile(folder / "app.log", size, count, "supervisor")


def test_a_line_has_time_level_process_logger_message_and_details() -> None:
    """Every line begins with the UTC time in ms and ends with key=value details, quoted where needed."""
    line = _line("connection lost", level=logging.WARNING, source="okx", reason="HTTP 503", after_s=0.5)

    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z WARNING engine crypto_stream\.feed connection lost"
        r' source=okx reason="HTTP 503" after_s=0\.5',
        line,
    )


@given(message=st.text(), value=st.text())
def test_whatever_an_event_holds_it_stays_one_line(message: str, value: str) -> None:
    """No text of a venue or a client can break a line or send control characters to a terminal."""
    line = _line("%s", message, value=value)

    assert line.isprintable()
    assert len(line.splitlines()) == 1


def test_a_trace_is_a_detail_of_its_event() -> None:
    """An error's trace stays in the line of its event."""
    try:
        raise ValueError("no number")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "failed", (), (ValueError, error, None))
    line = logs.LineFormatter("engine").format(record)

    assert line.endswith(' ERROR engine x failed trace="ValueError: no number"')


def test_arguments_that_do_not_fit_do_not_cost_the_event() -> None:
    """A log call with a mistake in it still gives a line."""
    assert _line("%d of %d", "one").endswith("crypto_stream.feed %d of %d ('one',)")


def test_a_very_long_event_is_cut() -> None:
    """One event can never fill the file or the pipe."""
    assert len(_line("x" * 1_000_000)) == logs.LINE_LIMIT + 1


def test_the_file_is_rotated_by_size_and_count(tmp_path: Path) -> None:
    """No file grows over the size; as many old ones as asked for are kept."""
    file = _log_file(tmp_path, size=10_000, count=2)
    for number in range(1000):
        file.line(f"{number:04} " + "x" * 95)
    file.close()
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}

    assert set(sizes) == {"app.log", "app.log.1", "app.log.2"}
    assert max(sizes.values()) <= 10_000
    assert (tmp_path / "app.log").read_text().splitlines()[-1].startswith("0999 ")


def test_without_old_files_the_file_still_never_outgrows_its_size(tmp_path: Path) -> None:
    """log_count 0 keeps one file within its size."""
    file = _log_file(tmp_path, count=0)
    for _ in range(1000):
        file.line("x" * 95)
    file.close()

    assert [path.name for path in tmp_path.iterdir()] == ["app.log"]
    assert (tmp_path / "app.log").stat().st_size <= 10_000


def test_the_file_has_one_writer_also_after_a_rotation(tmp_path: Path) -> None:
    """A second program that would write the same log file is refused with one line."""
    file = _log_file(tmp_path)
    for _ in range(200):
        file.line("x" * 95)
    with pytest.raises(UsageError, match=r"log-file: '.*app\.log' is being written by another Crypto Stream"):
        _log_file(tmp_path)
    file.close()


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A log file in a folder that does not exist ends the start with one line."""
    with pytest.raises(UsageError, match=r"log-file: '.*gone/app\.log' cannot be written \(No such file"):
        _log_file(tmp_path / "gone")


async def test_a_full_disk_is_said_once_and_ends_nobody(tmp_path: Path) -> None:
    """While the log cannot be written the program goes on; a person is told once."""
    with program(["-c", _WRITE_TOO_MUCH, str(tmp_path / "app.log")], tmp_path) as running:
        status = running.wait()

        assert status == 0
        assert running.output == f"{tmp_path}/app.log cannot be written: [Errno 27] File too large\n"


_WRITE_TOO_MUCH = """
import os, pathlib, resource, sys
from crypto_stream.logs import LogFile
resource.setrlimit(resource.RLIMIT_FSIZE, (5_000, 5_000))
file = LogFile(pathlib.Path(sys.argv[1]), 1_000_000, 1, "supervisor")
for _ in range(100):
    file.line("x" * 1000)
os._exit(0)
"""


@pytest.mark.parametrize("kind", ["link", "dangling link", "FIFO", "folder"])
def test_a_log_that_is_no_file_of_ours_is_refused(tmp_path: Path, kind: str) -> None:
    """A link is not followed, a FIFO is not waited for: one line says what is in the way."""
    path = tmp_path / "app.log"
    if kind == "FIFO":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    else:
        if kind == "link":
            (tmp_path / "other").write_text("theirs\n")
        path.symlink_to(tmp_path / "other")
    with pytest.raises(
        UsageError, match=r"log-file: '.*app\.log' cannot be written \(.+\); name a file that"
    ):
        _log_file(tmp_path)

    assert kind != "link" or (tmp_path / "other").read_text() == "theirs\n"
    assert kind != "dangling link" or not (tmp_path / "other").exists()


@pytest.mark.parametrize("before", [None, 0o644, 0o666])
def test_nobody_but_owner_and_group_reads_the_log(tmp_path: Path, before: int | None) -> None:
    """Also a file that an older version left open to everybody."""
    path = tmp_path / "app.log"
    if before is not None:
        path.touch()
        path.chmod(before)
    file = _log_file(tmp_path, size=10_000)
    for _ in range(50):
        file.line("x" * 1000)
    file.close()

    assert {each.stat().st_mode & 0o777 for each in tmp_path.iterdir()} == {0o640}
    assert len(list(tmp_path.iterdir())) > 1


async def test_nobody_waits_for_a_terminal_that_nobody_reads(tmp_path: Path) -> None:
    """A pipe that is full and never read costs lines on it, never time."""
    with program(["-c", _WARN_FOR_EVER], tmp_path) as running:
        status = running.wait()

        assert status == 0
        assert 1 < int(running.output) < 5_000


_WARN_FOR_EVER = """
import os
from crypto_stream.logs import Terminal
read, write = os.pipe()
os.dup2(write, 2)
terminal = Terminal("supervisor")
for number in range(5_000):
    terminal.line(f"time WARNING engine logger text {number} " + "x" * 200)
os.close(2)
os.close(write)
with open(read) as shown:
    print(shown.read().count("engine: warning: text"))
"""


async def test_a_closed_terminal_ends_nobody(tmp_path: Path) -> None:
    """A program whose terminal is gone goes on."""
    with program(["-c", _WARN_WITHOUT_TERMINAL, str(tmp_path / "done")], tmp_path) as running:
        status = running.wait()

        assert status == 0
        assert (tmp_path / "done").exists()


_WARN_WITHOUT_TERMINAL = """
import os, sys, pathlib
from crypto_stream.logs import Terminal
os.close(2)
Terminal("supervisor").line("time WARNING engine logger text")
pathlib.Path(sys.argv[1]).touch()
os.open(os.devnull, os.O_WRONLY)
"""


def test_a_full_pipe_loses_lines_and_says_how_many() -> None:
    """A half never waits for its pipe; what was lost is told as soon as there is room again."""
    read, write = os.pipe()
    os.set_blocking(read, False)
    handler = logs.PipeHandler(write, "engine", hang_s=60)
    record = logging.makeLogRecord({"name": "x", "levelname": "INFO", "msg": "y" * 30_000})
    for _ in range(100):
        handler.handle(record)
    text = b""
    while chunk := _read(read):
        text += chunk
        handler.flush()
    os.close(read)
    os.close(write)
    lost = int(text.rsplit(b"lost=", 1)[1])

    assert 0 < lost < 100
    assert text.count(b"\n") == 100 - lost + 1
    assert b" WARNING engine crypto_stream.logs log lines lost, the pipe was full lost=" in text


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1_000_000)
    except BlockingIOError:
        return b""


def test_a_terminal_shows_warnings_short_and_nothing_below(capfd: pytest.CaptureFixture[str]) -> None:
    """A person sees who warns and why, without time, logger and trace."""
    terminal = logs.Terminal("supervisor")
    terminal.line(_line("started", pid=1))
    terminal.line(_line("ended", level=logging.ERROR, status=1, trace="long"))

    assert capfd.readouterr().err == "engine: error: ended status=1\n"


def test_progress_reaches_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    """How far long work has come is shown to whoever waits for it, though it is no warning."""
    logs.Terminal("supervisor").line(f"time INFO engine {logs.PROGRESS} replaying frames=200")

    assert capfd.readouterr().err == "engine: info: replaying frames=200\n"
