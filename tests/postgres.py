"""A real PostgreSQL server of the tests' own: on a free loopback port, in a temporary folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path

import psutil
import psycopg

from tests.ports import free_port
from tests.waiting import DEADLINE_S

USER, PASSWORD = "crypto", "open-sesame"
_START_S = 6 * DEADLINE_S


class Server:
    """A server that can be crashed, started again, stopped and continued as processes are."""

    def __init__(
        self,
        folder: Path,
        require_program: Callable[[str], str],
        *,
        durable: bool,
        host: str = "127.0.0.1",
        under: Sequence[str] = (),
        copies: Server | None = None,
    ) -> None:
        """Create a cluster in `folder`; it is not running yet. If `durable`, commits wait for the disk.

        It listens at `host`; `under` is a command that runs it. One that `copies` another, which is running,
        is a standby of it.
        """
        # Without that nothing is lost either, as long as the machine itself runs.
        self._fsync = "on" if durable else "off"
        self.host = host
        self.port = free_port()
        self._under = under
        self._folder = folder
        self._data = folder / "data"
        self._programs = {name: require_program(name) for name in ("initdb", "postgres", "pg_basebackup")}
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)
        # PostgreSQL refuses to run as root.
        self._user = "nobody" if os.geteuid() == 0 else None
        if copies is None:
            self._create()
        else:
            self._copy(copies)

    def _create(self) -> None:
        folder = self._folder
        password = folder / "password"
        password.write_text(PASSWORD)
        self._own(folder, password)
        self._run("initdb", "--auth=scram-sha-256", f"--username={USER}", f"--pwfile={password}", "--no-sync",
                  "--encoding=UTF8", "--locale=C", f"--pgdata={self._data}")  # fmt: skip
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write(
                "host all all 0.0.0.0/0 scram-sha-256\nhost replication all 0.0.0.0/0 scram-sha-256\n"
            )

    def _copy(self, other: Server) -> None:
        self._own(self._folder)
        source = f"postgresql://{USER}:{PASSWORD}@{other.host}:{other.port}/"
        self._run("pg_basebackup", f"--dbname={source}", f"--pgdata={self._data}", "--write-recovery-conf",
                  "--checkpoint=fast", "--no-sync")  # fmt: skip

    def _own(self, *paths: Path) -> None:
        """Give paths to the user that runs it."""
        if self._user is not None:
            nobody = pwd.getpwnam(self._user)
            for path in paths:
                os.chown(path, nobody.pw_uid, nobody.pw_gid)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = {"listen_addresses": self.host, "fsync": self._fsync, "max_connections": "200"}
        self._process = subprocess.Popen(
            [
                *self._command(),
                *(self._programs["postgres"], "-D", str(self._data), "-p", str(self.port)),
                *("-k", str(self._folder)),
                *(part for name, value in options.items() for part in ("-c", f"{name}={value}")),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            cwd="/", start_new_session=True, user=None if self._under else self._user,
        )  # fmt: skip
        deadline = time.monotonic() + _START_S
        while True:
            try:
                self.admin().close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, "PostgreSQL ended at its start"
                assert time.monotonic() < deadline
                time.sleep(0.02)
            else:
                return

    def use_tls(self, certificate: str, key: str) -> None:
        """Let it speak TLS, too, from its next start on, with these PEM files."""
        for name, given in (("server.crt", certificate), ("server.key", key)):
            path = self._data / name
            shutil.copyfile(given, path)
            path.chmod(0o600)
            self._own(path)
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\n")

    def promote(self) -> None:
        """Let a standby accept writes, which wait for no other standby."""
        with closing(self.admin()) as admin:
            admin.execute("SELECT pg_promote()")

    def require_standby(self) -> None:
        """Let commits wait for a standby from now on."""
        with closing(self.admin()) as admin:
            admin.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
            admin.execute("SELECT pg_reload_conf()")

    @property
    def running(self) -> bool:
        """Whether it was started, and not ended since."""
        return self._process is not None

    def crash(self) -> None:
        """Stop it as `pg_ctl stop -m immediate` does: nothing is written any more."""
        self._signal(signal.SIGQUIT)

    def stop(self) -> None:
        """Stop it, ending all sessions."""
        self._signal(signal.SIGINT)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Stop all of its processes, which then answer nobody, and continue them at the end."""
        processes = self._processes()
        for each in processes:
            each.suspend()
        try:
            yield
        finally:
            for each in processes:
                each.resume()

    def database(self) -> str:
        """Create an empty database; return its address."""
        name = f"test_{next(self._numbers)}"
        with closing(self.admin()) as admin:
            admin.execute(f"CREATE DATABASE {name}".encode())
        return self.address(name)

    def address(self, name: str, password: str = PASSWORD) -> str:
        """Return the address of a database."""
        return f"postgresql://{USER}:{password}@{self.host}:{self.port}/{name}"

    def admin(self) -> psycopg.Connection[tuple[object, ...]]:
        """Open a session of the tests' own."""
        return psycopg.connect(self.address("postgres"), autocommit=True, connect_timeout=10)

    def kill(self) -> None:
        """End it whatever state it is in."""
        for each in self._processes():
            with suppress(psutil.NoSuchProcess):  # its main process is gone, so it ends as well
                each.kill()
        if self._process is not None:
            self._process.wait()

    def _command(self) -> list[str]:
        """Return what runs it: in another network only root can become another user."""
        if not self._under or self._user is None:
            return [*self._under]
        return [*self._under, "setpriv", f"--reuid={self._user}", "--regid=nogroup", "--clear-groups"]

    def _processes(self) -> list[psutil.Process]:
        if self._process is None or self._process.poll() is not None:
            return []
        main = psutil.Process(self._process.pid)
        return [main, *main.children(recursive=True)]

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)
        self._process.wait(_START_S)
        self._process = None

    def _run(self, name: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._programs[name], *arguments],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            user=self._user,
        )
        assert done.returncode == 0, done.stderr


@contextmanager
def server(require_program: Callable[[str], str], *, durable: bool = False) -> Iterator[Server]:
    """Run a server; see `Server`."""
    folder = Path(tempfile.mkdtemp(dir="/tmp", prefix="cs-pg-"))
    one: Server | None = None
    try:
        one = Server(folder, require_program, durable=durable)
        one.start()
        yield one
    finally:
        if one is not None:
            one.kill()
        shutil.rmtree(folder, ignore_errors=True)
