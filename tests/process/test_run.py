"""The whole program as processes: what is killed or stopped comes back while viewers watch."""

from __future__ import annotations

import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
import socketio

from crypto_stream.client import Client, UnreachableError
from crypto_stream.errors import RefusedError
from tests.ports import free_port
from tests.process.charts import starts
from tests.process.programs import Running, address, alive, command, program, short_folder
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(120 * SCALE)


def _arguments(folder: Path, *more: str) -> list[str]:
    data, log = str(folder / "data"), str(folder / "app.log")
    return ["run", "--port", "0", "--sources", "synthetic", "--data-dir", data, "--log-file", log, *more]


@contextmanager
def _serving(folder: Path) -> Iterator[Running]:
    with program(["-m", "crypto_stream", *_arguments(folder)], folder) as running:
        yield running


class _Viewer:
    """One Socket.IO viewer of ticker_00 that keeps what it was sent."""

    def __init__(self, url: str) -> None:
        self.events: list[tuple[str, Any]] = []
        self.io = socketio.Client(reconnection_delay=0.1, reconnection_delay_max=0.2, handle_sigint=False)
        for event in ("hello", "snapshot", "quotes"):
            self.io.on(event, lambda payload, event=event: self.events.append((event, payload)))
        self.io.on("connect", self._subscribe)
        self.io.connect(url, transports=["websocket"])

    def _subscribe(self) -> None:
        self.io.emit("subscribe", {"symbols": ["ticker_00"], "interval_ms": 0})

    def names(self, since: int = 0) -> list[str]:
        return [event for event, _ in self.events[since:]]

    def epochs(self) -> list[str]:
        """List the epochs of the hellos; a gateway that has not yet heard the engine knows none."""
        hellos = [payload["epoch"] for event, payload in self.events if event == "hello"]
        return [epoch for epoch in hellos if epoch is not None]

    def live(self, since: int = 0) -> bool:
        """Tell whether a quote that is not stale came after event number `since`."""
        return any(
            not quote["stale"]
            for event, payload in self.events[since:]
            if event == "quotes"
            for quote in payload
        )


@contextmanager
def _viewer(url: str) -> Iterator[_Viewer]:
    viewer = _Viewer(url)
    try:
        yield viewer
    finally:
        viewer.io.disconnect()


async def test_courses_move(tmp_path: Path) -> None:
    """`run` serves a hundred tickers that move by exactly one each second."""
    with _serving(tmp_path) as running:
        client = Client(await address(running))
        first = {quote.symbol: quote for quote in client.courses()}
        await until(lambda: client.course("ticker_00").time != first["ticker_00"].time)
        second = client.course("ticker_00")

        assert {f"ticker_{number:02}" for number in range(100)} <= set(first)
        assert second.time is not None
        assert abs(int(second.price or 0) - int(first["ticker_00"].price or 0)) == 1
        assert second.time - (first["ticker_00"].time or 0) == 1000


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_lost_engine_comes_back_as_the_same_world(fault: signal.Signals, tmp_path: Path) -> None:
    """A viewer of a killed or stopped engine gets live quotes again: no hello, no snapshot, no `seq` back."""
    with _serving(tmp_path) as running, _viewer(await address(running)) as viewer:
        await until(viewer.live)
        before = len(viewer.events)
        os.kill(running.pids("engine")[0], fault)
        await until(lambda: len(starts(running.log)) == 2, 40 * SCALE)
        again = len(viewer.events)
        await until(lambda: viewer.live(again), 40 * SCALE)

        assert not {"hello", "snapshot"} & set(viewer.names(before))
        assert len(running.pids("gateway-1")) == 1


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_lost_gateway_comes_back_and_refuses_nobody(fault: signal.Signals, tmp_path: Path) -> None:
    """A viewer of a killed or stopped gateway is back by itself; the port never refuses a connection."""
    with _serving(tmp_path) as running, _viewer(await address(running)) as viewer:
        url = await address(running)
        await until(viewer.live)
        os.kill(running.pids("gateway-1")[0], fault)
        await until(lambda: not _runs(running.pids("gateway-1")[0]))
        waiting = [_connect(url) for _ in range(3)]
        await until(lambda: len(running.pids("gateway-1")) == 2, 40 * SCALE)
        again = len(viewer.events)
        await until(lambda: viewer.live(again), 40 * SCALE)
        answers = [_answer(connection) for connection in waiting]

        assert len(set(viewer.epochs())) == 1
        assert len(running.pids("engine")) == 1
        assert all(b" 200 OK\r\n" in answer for answer in answers)


def _runs(pid: int) -> bool:
    return alive(pid) and psutil.Process(pid).status() != psutil.STATUS_STOPPED


def _connect(url: str) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    connection = socket.create_connection((host, int(port)), 20 * SCALE)
    connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    return connection


def _answer(connection: socket.socket) -> bytes:
    with connection:
        return connection.recv(4096)


async def test_no_process_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    """After kill -9 of the supervisor engine and gateway end by themselves, and the port is free."""
    with _serving(tmp_path) as running:
        url = await address(running)
        pids = running.pids("engine") + running.pids("gateway-1")
        running.process.kill()
        await until(lambda: not any(alive(pid) for pid in pids), 10 * SCALE)

        with pytest.raises(UnreachableError):
            Client(url).courses()


async def test_a_stop_is_clean(tmp_path: Path) -> None:
    """SIGTERM ends all with status 0; the log tells start and stop, without a warning; no socket is left."""
    with (
        short_folder() as short,
        program(["-m", "crypto_stream", *_arguments(tmp_path)], tmp_path, TMPDIR=short) as running,
    ):
        await address(running)
        running.process.send_signal(signal.SIGTERM)
        status = running.wait()

        assert status == 0
        assert os.listdir(short) == []
        assert " stop status=0" in running.log.splitlines()[-1]
        assert " WARNING " not in running.log
        assert " ERROR " not in running.log


async def test_a_second_start_is_refused(tmp_path: Path) -> None:
    """A port, a data directory and a log file in use each refuse a second start with one line, status 2."""
    with _serving(tmp_path) as running:
        url = await address(running)
        port = url.rsplit(":", 1)[1]
        other = ["--log-file", str(tmp_path / "other.log")]
        on_port = _refused(tmp_path, "--port", port, *other)
        on_data = _refused(tmp_path, *other)
        on_log = _refused(tmp_path)

        assert on_port.startswith(f"Error: port: {port} on 127.0.0.1 is in use")
        assert "; stop that process, or " in on_port
        assert on_data.startswith("engine: error: ")
        assert str(tmp_path / "data") in on_data
        assert on_log.startswith(f"Error: log-file: '{tmp_path / 'app.log'}' is being written by another")
        assert len(Client(url).courses()) == 103


def _refused(folder: Path, *more: str) -> str:
    """Start a second program; return its one line."""
    done = command(*_arguments(folder, *more))
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    return done.stderr


async def test_halves_started_apart_find_each_other(tmp_path: Path) -> None:
    """`engine` and `gateway` with one data directory make one service, each with a log file of its own."""
    data, log = str(tmp_path / "data"), str(tmp_path / "app.log")
    engine = [
        "-m",
        "crypto_stream",
        "engine",
        "--sources",
        "synthetic",
        "--data-dir",
        data,
        "--log-file",
        log,
    ]
    (tmp_path / "engine").mkdir()
    with (
        short_folder() as short,
        program([*engine[:2], "gateway", *engine[3:], "--port", "0"], tmp_path, TMPDIR=short) as gateway,
        program(engine, tmp_path / "engine", TMPDIR=short),
    ):
        await until(lambda: " gateway at http://" in gateway.output)
        client = Client(gateway.output.split(" gateway at ")[1].split(";")[0])
        await until(lambda: _live(client))

        assert (tmp_path / "app.engine.log").exists()
        assert (tmp_path / "app.gateway.log").exists()
        assert not (tmp_path / "app.log").exists()


def _live(client: Client) -> bool:
    try:
        return any(not quote.stale for quote in client.courses())
    except (UnreachableError, RefusedError):
        return False


async def test_the_commands_reach_a_running_program(tmp_path: Path) -> None:
    """`switch` pins and says so, an unknown source is refused; `watch` prints the quotes it is sent."""
    with _serving(tmp_path) as running:
        url = await address(running)
        data = ("--data-dir", str(tmp_path / "data"))
        pinned = command("switch", "synthetic", "--url", url, *data)
        refused = command("switch", "nobody", "--url", url, *data)
        unknown = command("watch", "nothing", "--url", url)

        assert pinned.stdout.startswith("Pinned: only synthetic serves")
        assert Client(url).sources().pinned == "synthetic"
        assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
        assert (unknown.returncode, unknown.stderr.count("\n")) == (1, 1)


async def test_watch_prints_quotes_until_ctrl_c(tmp_path: Path) -> None:
    """`watch` prints a line for each change of the symbols asked for; press Ctrl-C to stop quietly."""
    (tmp_path / "watch").mkdir()
    with _serving(tmp_path) as running:
        watching = ["-m", "crypto_stream", "watch", "TICKER-00", "--url", await address(running)]
        with program(watching, tmp_path / "watch") as watch:
            await until(lambda: watch.output.count("\n") >= 4)
            watch.process.send_signal(signal.SIGINT)
            status = watch.wait()
        lines = watch.output.splitlines()

        assert status == 0
        assert lines[0].split()[:3] == ["TIME", "UTC", "SYMBOL"]
        assert {line.split()[1] for line in lines[1:]} == {"ticker_00"}


async def test_watch_says_why_it_is_not_connected(tmp_path: Path) -> None:
    """Whether the port is wrong, or the certificate, is not to be guessed."""
    watching = ["-m", "crypto_stream", "watch", "--url", f"http://127.0.0.1:{free_port()}"]
    with program(watching, tmp_path) as watch:
        await until(lambda: "trying again" in watch.output)

    assert re.search(r"not connected, trying again \(.*[Cc]onnection refused.*\)", watch.output)


async def test_watch_best_prints_best_bids_and_asks(tmp_path: Path) -> None:
    """The same of best bids and asks; the client gets them by HTTP, too, and the index with its reason.

    Without a symbol it shows those that come first: a gateway sends these prices of twenty at most.
    """
    (tmp_path / "watch").mkdir()
    with _serving(tmp_path) as running:
        url = await address(running)
        watching = ["-m", "crypto_stream", "watch", "--best", "eurusd", "--url", url]
        with program(watching, tmp_path / "watch") as watch:
            await until(lambda: watch.output.count("\n") >= 3)
            watch.process.send_signal(signal.SIGINT)
            status = watch.wait()
            lines = watch.output.splitlines()
        with program(["-m", "crypto_stream", "watch", "--best", "--url", url], tmp_path / "watch") as first:
            await until(lambda: len(_symbols(first.output)) == 20)
        instruments = [each.symbol for each in Client(url).instruments()]
        too_many = command("watch", "--best", *instruments[:21], "--url", url)
        best, index = Client(url).best("EUR/USD"), Client(url).index("eurusd")
        books = Client(url).depth("EUR/USD", 5)
        some = Client(url).courses(["EUR/USD", "ticker_00"])
        watched = next(view for view in Client(url).watch_index(["eurusd"]) if view.indexes)

        assert status == 0
        assert lines[0].split()[:4] == ["TIME", "UTC", "SYMBOL", "BID"]
        assert {line.split()[1] for line in lines[1:]} == {"eurusd"}
        assert (best.symbol, best.sources, best.crossed) == ("eurusd", ["synthetic"], False)
        assert (index.symbol, index.price, index.stale) == ("eurusd", None, True)
        assert "needed" in (index.reason or "")
        assert (books.symbol, books.stale, books.venues) == ("eurusd", True, [])
        assert [each.source for each in books.left_out] == ["synthetic"]
        assert [quote.symbol for quote in some] == ["eurusd", "ticker_00"]
        assert [(each.symbol, each.reason) for each in watched.indexes] == [("eurusd", index.reason)]
        assert _symbols(first.output) == set(instruments[:20])
        assert (too_many.returncode, too_many.stderr.count("\n")) == (1, 1)
        assert "at most 20" in too_many.stderr


def _symbols(output: str) -> set[str]:
    """Return the symbols in the lines that `watch` has printed completely."""
    return {line.split()[1] for line in output.rpartition("\n")[0].splitlines()[1:]}
