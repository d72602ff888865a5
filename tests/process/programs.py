"""Programs under test as processes: started, watched through their log, ended whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from tests.waiting import SCALE, until

ROOT = Path(__file__).parents[2]


class Running:
    """One program, its log file and what it printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path, output: Path, folder: str = "") -> None:
        """Watch `process`, which writes its log to `log` and both its outputs to `output`.

        `folder` is its folder for temporary files.
        """
        self.process = process
        self.folder = folder
        self._log = log
        self._output = output

    @property
    def log(self) -> str:
        """All of the log so far."""
        return self._log.read_text("utf-8") if self._log.exists() else ""

    @property
    def output(self) -> str:
        """All that was printed so far."""
        return self._output.read_text("utf-8")

    def pids(self, name: str) -> list[int]:
        """Return the process ids of each start of the child `name`, oldest first."""
        return [int(pid) for pid in re.findall(rf" {name} started pid=(\d+)", self.log)]

    def wait(self) -> int:
        """Return the exit status, which must come soon."""
        return self.process.wait(20 * SCALE)


@contextmanager
def program(
    arguments: Sequence[str],
    folder: Path,
    under: Sequence[str] = (),
    executable: str = sys.executable,
    cwd: str | Path = ROOT,
    **environment: str,
) -> Iterator[Running]:
    """Run Python with `arguments` and log file `folder`/app.log; at the end nothing of it is left.

    `under` is a command that runs it, such as a tracer; `executable` is run in place of Python. Its folder
    for sockets is a fresh one unless `environment` names one: pytest's own may be too long.
    """
    output = folder / "output"
    with short_folder() as short:
        with output.open("wb") as file:
            process = subprocess.Popen(
                [*under, executable, *arguments],
                cwd=cwd,
                env={**clean_environment(), "TMPDIR": short, **environment},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Running(process, folder / "app.log", output, short)
        finally:
            _end(process)


@contextmanager
def machine(
    folder: Path, name: str, bus: str, *options: str, under: Sequence[str] = (), **environment: str
) -> Iterator[Running]:
    """Run what one of several machines runs; a second time it finds its data again, in `folder`/`name`.

    `under` is a command that runs it.
    """
    own = folder / name
    own.mkdir(exist_ok=True)
    files = ["--data-dir", str(own / "data"), "--log-file", str(own / "app.log")]
    arguments = ["-m", "crypto_stream", "run", "--bus", bus, *options, *files]
    with program(arguments, own, under, **environment) as started:
        yield started


async def address(running: Running) -> str:
    """Return the address of `crypto_stream run` once it serves."""
    await until(lambda: " serves http://" in running.output, 30 * SCALE)
    return running.output.split(" serves ")[1].split(" ")[0]


def command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one command of the program to its end."""
    with short_folder() as short:
        return subprocess.run(
            [sys.executable, "-m", "crypto_stream", *arguments],
            cwd=ROOT,
            env={**clean_environment(), "TMPDIR": short, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30 * SCALE,
            check=False,
        )


def admin(folder: Path) -> dict[str, str]:
    """Return the header that proves who may read the data directory `folder`/data."""
    token = (folder / "data" / "admin-token").read_text().strip()
    return {"Authorization": f"Bearer {token}"}


def clean_environment() -> dict[str, str]:
    """Return the environment without settings of the machine that tests, and of the `make test` in it."""
    of_make = {"ARGS", "MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS"}
    return {
        key: value
        for key, value in os.environ.items()
        if key not in of_make and not key.startswith("CRYPTO_STREAM_")
    }


def short_folder() -> tempfile.TemporaryDirectory[str]:
    """Make a folder whose path leaves room for a socket's name."""
    return tempfile.TemporaryDirectory(dir="/tmp", prefix="cs-")


def _end(process: subprocess.Popen[bytes]) -> None:
    children = [] if process.poll() is not None else psutil.Process(process.pid).children(recursive=True)
    for each in [*children, process]:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):
            each.send_signal(signal.SIGKILL)
    process.wait()


def stand_ins(folder: Path, *behaviours: str, **limits: float) -> list[str]:
    """Return the arguments of a supervisor over stand-in children; `limits` are those of Limits."""
    return ["-m", "tests.process.stand_in", str(folder / "app.log"), json.dumps(limits), *behaviours]


def alive(pid: int) -> bool:
    """Tell whether a process exists and is not just waiting to be reaped."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
