"""Every command of the documents, word for word, on a fresh clone.

The clone has this checkout's environment, which `make setup` would make in some minutes. All runs in a
network of its own, so that port 8000 is free whatever else this machine serves.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.process.programs import ROOT, clean_environment, short_folder
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(300 * SCALE)

DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAM = ".venv/bin/python -m crypto_stream"
_COMMAND = re.compile(r"(make|curl|grep|sed|npm|python3?|\.venv/bin/\w+|sudo|apt-get|pip)(?= )")
_INLINE = re.compile(r"`((?:make|\.venv/bin/\w+|curl) [^`\n]+)`")
_WAIT_S = 60 * SCALE

# They go on until somebody ends them; each has said by its first line that it works.
ENDLESS = {
    f"{PROGRAM} watch btcusdt ethusdt",
    f"{PROGRAM} watch --best",
    f"{PROGRAM} order watch",
    f"{PROGRAM} order place EUR/RUB buy 10 87 --wait",  # the walk may need its time to come there
}
SERVERS = {
    "make run",
    'make run ARGS="--port 9000"',
    'make run ARGS="--port 9000 --pairs btcusdt,solusdt"',
    'make run ARGS="--sources binance,okx,kraken,bybit,coinbase,synthetic --standby all"',
    f"{PROGRAM} run --workers 3",
}
# The two halves apart, in this order.
HALVES = [f"{PROGRAM} engine", f"{PROGRAM} gateway --port 8000"]
ID = f"{PROGRAM} order cancel ID"
OWNER = f"{PROGRAM} owner remove 5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5"
# While it runs, and while it is stopped, in this order.
BACKUP = [f"{PROGRAM} backup backups/2026-01-31", f"{PROGRAM} restore backups/2026-01-31"]
ELSEWHERE = {
    "make test": "this very run",
    "make check": "CI's first step",
    f"{PROGRAM} move --from sqlite --to postgresql://crypto_stream@db.example/crypto_stream": (
        "the server is the reader's; tests/process/test_postgres.py runs it"
    ),
    "make lock": "asks the packages' index; tests/test_pins.py judges what it wrote",
    ".venv/bin/pip install gevent": "CI has it",
    ".venv/bin/pip install 'python-socks[asyncio]' socksio": "would change other tests' environment",
    f"{PROGRAM} record acme.ndjson --sources acme": "the venue is the reader's; test_adding_a_venue runs it",
    f"{PROGRAM} run --sources replay:acme:acme.ndjson": "likewise",
}
# Minutes to hours each; their small forms are tests in tests/benchmarks, tests/process and tests/browser.
MEASUREMENTS = re.compile(
    r"\.venv/bin/(python -m (benchmarks|tests)\.|locust )"
    r"|make (loadtest|soak|soak-page|crash|bench|rehearse|rehearse-\w+)\b"
)


def commands(text: str) -> list[str]:
    """List the commands in a document's blocks and sentences, without the comments beside them."""
    found: list[str] = []
    fence: str | None = None
    for line in text.splitlines():
        if mark := re.match(r"```(\w*)", line):
            fence = None if fence is not None else mark[1]
        elif found and found[-1].endswith("\\"):
            found[-1] = f"{found[-1][:-1].rstrip()} {line.strip()}"
        elif (fence == "sh" or (fence is None and line.startswith("    "))) and _COMMAND.match(line.strip()):
            found.append(re.sub(r"\s+# .*", "", line.strip()))
        elif fence is None:
            found += _INLINE.findall(line)
    return [command for command in found if not MEASUREMENTS.match(command)]


ALL = list(
    dict.fromkeys(command for document in DOCUMENTS for command in commands(document.read_text("utf-8")))
)
TO_THE_END = [
    each
    for each in ALL
    if each not in (*ENDLESS, *SERVERS, *HALVES, *BACKUP, *ELSEWHERE, ID, OWNER, "make setup")
    and not each.startswith("sudo ")  # they change the reader's machine
]


class Clone:
    """A fresh clone in a network of its own, in which commands are run as a person types them."""

    def __init__(self, folder: Path, holder: int) -> None:
        self.folder = folder
        self._enter = ["nsenter", "--target", str(holder), "--net"]

    def run(self, command: str, seconds: float = _WAIT_S) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            [*self._enter, "bash", "-o", "pipefail", "-c", command],
            cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=seconds, check=False,
        )  # fmt: skip

    @contextmanager
    def running(self, command: str, sign: str) -> Iterator[str]:
        """Run a command that goes on, until it printed `sign`; end it as Ctrl-C does, and all of it."""
        with subprocess.Popen(
            [*self._enter, "bash", "-c", command],
            cwd=self.folder, env=self._environment(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, start_new_session=True,
        ) as process:  # fmt: skip
            try:
                yield _read_until(process, sign)
            finally:
                # Whoever is told to end may do so before those it started, which still write then.
                started = (
                    psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
                )
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGINT)
                _, left = psutil.wait_procs(started, _WAIT_S)
                for one in left:
                    one.kill()
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _environment(self) -> dict[str, str]:
        home = str(self.folder.parent)
        return {**clean_environment(), "HOME": home, "TMPDIR": home, "PYTHONUNBUFFERED": "1"}


def _read_until(process: subprocess.Popen[bytes], sign: str) -> str:
    assert process.stdout is not None
    os.set_blocking(process.stdout.fileno(), False)
    printed, deadline = "", time.monotonic() + _WAIT_S
    while not re.search(sign, printed):
        assert process.poll() is None, f"it ended by itself: {printed}"
        assert time.monotonic() < deadline, f"no sign of life: {printed}"
        time.sleep(0.05)
        printed += (process.stdout.read() or b"").decode()
    return printed


@pytest.fixture(scope="module")
def clone(require_program: Callable[[str], str]) -> Iterator[Clone]:
    """Clone the repository as it is committed; needs the right to make a network."""
    for program in ("unshare", "nsenter", "ip", "curl", "make"):
        require_program(program)
    if os.geteuid() != 0:
        pytest.skip("only root makes a network of its own here; CI does")
    with short_folder() as short:
        folder = Path(short) / "crypto-stream"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(folder)], check=True)
        for name in (".venv", "node_modules", "static/vendor"):
            (folder / name).symlink_to((ROOT / name).resolve())
        for path in folder.rglob("*"):  # older than what is installed, so that make installs nothing anew
            if not path.is_symlink():
                os.utime(path, (1, 1))
        with _network() as holder:
            yield Clone(folder, holder)


@pytest.fixture(scope="module")
def served(clone: Clone) -> Iterator[Clone]:
    """Run `make run` on the clone, with something of everything that the commands ask for."""
    with clone.running("make run", r"serves http://127\.0\.0\.1:8000 "):
        placed = clone.run(f"{PROGRAM} order place EUR/RUB buy 1 95 --wait")
        assert placed.returncode == 0, placed.stderr
        yield clone


def test_every_kind_of_command_is_still_there() -> None:
    """A table that names what no document says any more would hide that the test runs nothing."""
    assert {*ENDLESS, *SERVERS, *HALVES, *BACKUP, *ELSEWHERE, ID, OWNER} <= set(ALL)
    assert len(TO_THE_END) > 10
    assert not [each for each in ALL if re.search(r"(?<![/\w])python -m crypto_stream", each)]


@pytest.mark.parametrize("command", TO_THE_END)
def test_a_command_works_as_it_stands(served: Clone, command: str) -> None:
    """It ends well, and says something."""
    done = served.run(command)

    assert done.returncode == 0, done.stderr
    assert done.stdout or "trace=" in command  # there may be none, happily


@pytest.mark.parametrize("command", sorted(ENDLESS))
def test_a_command_that_goes_on_shows_something(served: Clone, command: str) -> None:
    """Its first line comes by itself; press Ctrl-C to stop."""
    with served.running(command, r"\n") as printed:
        assert "Error" not in printed


def test_what_is_suggested_works_as_it_stands(served: Clone) -> None:
    """The id that `order place` prints is what `order cancel` takes, by the very line that it suggests."""
    placed = served.run(f"{PROGRAM} order place EUR/RUB buy 10 1")
    suggested = re.search(r"Cancel it: (.*)", placed.stderr)
    assert suggested is not None
    cancelled = served.run(suggested[1])

    assert suggested[1] == ID.replace("ID", placed.stdout.split()[0])
    assert cancelled.returncode == 0, cancelled.stderr


@pytest.mark.parametrize("command", sorted(SERVERS - {"make run"}))
def test_a_server_starts_as_it_stands(clone: Clone, command: str, tmp_path: Path) -> None:
    """It serves, and the commands of the same folder find it wherever it listens."""
    with _beside(clone, tmp_path) as other, other.running(command, r"serves http://\S+ ") as printed:
        port = re.search(r"serves http://127\.0\.0\.1:(\d+) ", printed)
        assert port is not None
        listed = other.run(f"{PROGRAM} order list --csv")

        assert ("9000" in command) == (port[1] == "9000")
        assert listed.returncode == 0, listed.stderr


def test_the_halves_start_apart_as_they_stand(clone: Clone, tmp_path: Path) -> None:
    """The gateway finds its engine by the folder."""
    with (
        _beside(clone, tmp_path) as other,
        other.running(HALVES[0], r"engine \("),
        other.running(HALVES[1], r"gateway at "),
    ):
        deadline = time.monotonic() + _WAIT_S
        while other.run("curl -sf 'localhost:8000/history/ticker_00?interval=1s'").returncode:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_an_owner_of_the_list_is_removed(served: Clone) -> None:
    """The command with the id that the list shows."""
    listed = served.run(f"{PROGRAM} owner list")
    owner = re.search(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", listed.stdout)
    assert owner is not None
    removed = served.run(OWNER.rsplit(" ", 1)[0] + f" {owner[0]}")

    assert removed.returncode == 0, removed.stderr


def test_a_backup_is_put_back_as_it_stands(clone: Clone, tmp_path: Path) -> None:
    """Made while it runs, put back while it is stopped, and it starts with it."""
    with _beside(clone, tmp_path) as other:
        with other.running("make run", r"serves http://\S+ "):
            backup = other.run(BACKUP[0])
        restored = other.run(BACKUP[1])
        with other.running("make run", r"serves http://\S+ "):
            listed = other.run(f"{PROGRAM} order list --csv")

        assert backup.returncode == 0, backup.stderr
        assert restored.returncode == 0, restored.stderr
        assert listed.returncode == 0, listed.stderr


@contextmanager
def _beside(clone: Clone, tmp_path: Path) -> Iterator[Clone]:
    """Give a second checkout in a network of its own: the first one's server goes on."""
    folder = tmp_path / "crypto-stream"
    subprocess.run(["cp", "--archive", str(clone.folder), str(folder)], check=True)
    for left in ("data", "app.log"):
        subprocess.run(["rm", "-rf", str(folder / left)], check=True)
    with _network() as holder:
        yield Clone(folder, holder)


@contextmanager
def _network() -> Iterator[int]:
    """Make a network with nothing but a loopback; give the process that holds it."""
    command = ["unshare", "--net", "sh", "-c", "ip link set lo up && echo up && exec sleep infinity"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        try:
            yield holder.pid
        finally:
            holder.kill()
