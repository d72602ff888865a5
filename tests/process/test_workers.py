"""Several gateways on one port: one service to the outside; one's death touches no other's viewers."""

from __future__ import annotations

import asyncio
import http.client
import os
import re
import signal
import socket
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
import socketio
from prometheus_client.parser import text_string_to_metric_families

from crypto_stream.bus.interface import SILENCE_S
from tests.fakes import FakeBinance
from tests.gateway.process import Viewer, viewing
from tests.process.charts import starts
from tests.process.programs import Running, address, admin, alive, command, program
from tests.waiting import DEADLINE_S, SCALE, until

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.timeout(120 * SCALE),
    pytest.mark.skipif(sys.platform == "darwin", reason="macOS deals nothing out: one gateway gets all"),
]
BOTH = {"gateway-1", "gateway-2"}
SERVERS = pytest.mark.parametrize("server", ["eventlet", "gevent"])
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class Service:
    """A running program with two gateways, and its address."""

    def __init__(self, running: Running, folder: Path, url: str) -> None:
        self.running = running
        self.folder = folder
        self.url = url
        self.port = int(self.url.rsplit(":", 1)[1])

    def pid(self, name: str) -> int:
        """Return the process id of the newest start."""
        return self.running.pids(name)[-1]

    async def whose(self, viewer: Viewer) -> str:
        """Name the gateway that serves a viewer, as the log tells it."""
        line = re.compile(rf" (gateway-\d) \S+ client connected client={viewer.client.get_sid()}(?:\s|$)")
        await until(lambda: line.search(self.running.log))
        return str(line.findall(self.running.log)[0])

    async def viewers(self, stack: AsyncExitStack) -> dict[str, list[Viewer]]:
        """Connect viewers of everything until each gateway has one; return them by gateway."""
        await until(lambda: all(map(self._has_engine, BOTH)))
        found: defaultdict[str, list[Viewer]] = defaultdict(list)
        while found.keys() != BOTH:
            viewer = await stack.enter_async_context(viewing(self.url))
            await viewer.subscribe(symbols="all", interval_ms=0)
            found[await self.whose(viewer)].append(viewer)
        return found

    def _has_engine(self, name: str) -> bool:
        """Return whether a gateway's newest start has reached the engine: who comes earlier begins anew."""
        return (
            f" {name} crypto_stream.gateway.gateway the data set "
            in self.running.log.split(f" {name} started pid=")[-1]
        )


@asynccontextmanager
async def serving(folder: Path, *more: str, **environment: str) -> AsyncIterator[Service]:
    """Run the program with two gateways."""
    files = ["--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    arguments = ["-m", "crypto_stream", "run", "--port", "0", "--workers", "2", *files, *more]
    with program(arguments, folder, **environment) as running:
        yield Service(running, folder, await address(running))


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["eventlet", "gevent"])
async def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Service]:
    """Run it once, with a real pair of a fake venue, for the tests that break nothing."""
    chosen = ["--sources", "binance,synthetic", "--pairs", "btcusdt", "--server", request.param]
    folder = tmp_path_factory.mktemp("workers")
    async with FakeBinance(["btcusdt"]) as fake:
        addresses = {"CRYPTO_STREAM_BINANCE_URL": fake.url, "CRYPTO_STREAM_BINANCE_REST_URL": fake.rest_url}
        async with serving(folder, *chosen, **addresses) as service:
            yield service


@pytest_asyncio.fixture(loop_scope="module")
async def fresh(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Ask over a new connection each time, so that either gateway may answer."""
    limits = httpx.Limits(max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=service.url, limits=limits, timeout=DEADLINE_S) as client:
        yield client


async def test_every_gateway_tells_the_same(fresh: httpx.AsyncClient) -> None:
    """Readiness, once the program is, sources and quotes do not depend on who answers."""
    async with asyncio.timeout(DEADLINE_S):
        while {(await fresh.get("/readyz")).status_code for _ in range(16)} != {200}:
            pass  # until the pair is live, at each gateway
    sources = [(await fresh.get("/sources")).json() for _ in range(16)]
    quotes = [await fresh.get("/courses/ticker_00") for _ in range(64)]
    by_seq = {each.json()["seq"]: each.content for each in quotes}

    assert {
        (each["pinned"], *((one["name"], one["state"]) for one in each["sources"])) for each in sources
    } == {(None, ("binance", "live"), ("synthetic", "live"))}
    assert len({each.headers["Stream-Epoch"] for each in quotes}) == 1
    assert len(by_seq) < len(quotes)
    assert all(each.content == by_seq[each.json()["seq"]] for each in quotes)


async def test_metrics_cover_all_gateways_whoever_answers(service: Service, fresh: httpx.AsyncClient) -> None:
    """Each answer has every gateway's figures and the engine's once; no counter ever goes back."""
    async with AsyncExitStack() as stack:
        viewers = await service.viewers(stack)
        counts = {name: float(len(each)) for name, each in viewers.items()}
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if _by_gateway(await _scrape(fresh), "crypto_stream_viewers") == counts:
                    break
        scrapes = [await _scrape(fresh) for _ in range(40)]

    for scrape in scrapes:
        assert _by_gateway(scrape, "crypto_stream_viewers") == counts
        assert scrape["crypto_stream_engine_up", ()] == 1
    for before, after in pairwise(scrapes):
        for series in before.keys() & after.keys():
            if series[0].startswith(("crypto_stream_flushes", "crypto_stream_viewer_frames")):
                assert before[series] <= after[series]
    key = "crypto_stream_flushes_total"
    moved = {
        name for name, value in scrapes[-1].items() if name[0] == key and value > scrapes[0].get(name, 0)
    }
    assert {dict(labels)["gateway"] for _, labels in moved} == BOTH


Scrape = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def _scrape(client: httpx.AsyncClient) -> Scrape:
    """Read every series; a family or series that comes twice is an error."""
    families = list(text_string_to_metric_families((await client.get("/metrics")).text))
    samples = [sample for family in families for sample in family.samples]
    series = {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for sample in samples}
    assert len({family.name for family in families}) == len(families)
    assert len(series) == len(samples)
    return series


def _by_gateway(scrape: Scrape, family: str) -> dict[str, float]:
    return {dict(labels)["gateway"]: value for (name, labels), value in scrape.items() if name == family}


async def test_a_pin_is_seen_by_the_viewers_of_every_gateway(
    service: Service, fresh: httpx.AsyncClient
) -> None:
    """Pinned through one gateway, real pairs turn stale for all viewers; unpinned they are live again."""
    proof = admin(service.folder)
    async with AsyncExitStack() as stack:
        viewers = [each[0] for each in (await service.viewers(stack)).values()]
        await until(lambda: all(_stale(viewer) is False for viewer in viewers))
        bare = {(await fresh.post("/sources/active", json={"source": "auto"})).status_code for _ in range(8)}
        pinned = await fresh.post("/sources/active", json={"source": "synthetic"}, headers=proof)
        await until(lambda: all(_stale(viewer) is True for viewer in viewers))
        shown = {(await fresh.get("/sources")).json()["pinned"] for _ in range(16)}
        await fresh.post("/sources/active", json={"source": "auto"}, headers=proof)
        await until(lambda: all(_stale(viewer) is False for viewer in viewers))

    assert bare == {401}
    assert pinned.status_code == 200
    assert shown == {"synthetic"}


def _stale(viewer: Viewer, symbol: str = "btcusdt") -> bool | None:
    """Tell whether the newest quote this viewer was sent is stale; None before there was one."""
    for event, payload in reversed(viewer.got):
        if event in {"snapshot", "quotes"}:
            for quote in payload:
                if quote["symbol"] == symbol:
                    return bool(quote["stale"])
    return None


async def test_polling_is_refused_by_every_gateway(fresh: httpx.AsyncClient) -> None:
    """Whoever answers says that clients must use WebSockets."""
    answers = [await fresh.get("/socket.io/?EIO=4&transport=polling") for _ in range(16)]

    assert {each.status_code for each in answers} == {400}
    assert all("clients must use transports: ['websocket']" in each.json()["detail"] for each in answers)


async def test_a_shared_port_in_use_refuses_another_start(service: Service, tmp_path: Path) -> None:
    """Nobody else's gateways come to share the port."""
    files = ["--data-dir", str(tmp_path / "data"), "--log-file", str(tmp_path / "app.log")]
    for workers in ("1", "2"):
        done = await asyncio.to_thread(
            command, "run", "--port", str(service.port), "--workers", workers, *files
        )

        assert done.returncode == 2
        assert done.stderr.startswith(f"Error: port: {service.port} on 127.0.0.1 is in use")


@SERVERS
async def test_the_death_of_one_gateway_is_not_noticed_by_the_others_viewers(
    server: str, tmp_path: Path
) -> None:
    """After kill -9 of one gateway the other's viewers miss no second; the killed one serves again soon."""
    async with (
        serving(tmp_path, "--sources", "synthetic", "--server", server) as service,
        AsyncExitStack() as stack,
    ):
        viewers = await service.viewers(stack)
        os.kill(service.pid("gateway-2"), signal.SIGKILL)
        await asyncio.wait_for(viewers["gateway-2"][0].gone.wait(), DEADLINE_S)
        witness = viewers["gateway-1"][0]
        await until(lambda: len(service.running.pids("gateway-2")) == 2)
        seen = len(_times(witness))
        await until(lambda: len(_times(witness)) >= seen + 2)
        back = await service.viewers(stack)

        assert not any(viewer.gone.is_set() for viewer in viewers["gateway-1"])
        assert witness.names()[:2] == ["hello", "snapshot"]
        assert set(witness.names()[2:]) == {"quotes"}
        assert {later - earlier for earlier, later in pairwise(_times(witness))} == {1000}
        assert back["gateway-2"][0].names()[:2] == ["hello", "snapshot"]
        assert len(service.running.pids("gateway-1")) == len(service.running.pids("engine")) == 1


def _times(viewer: Viewer) -> list[int]:
    """List the seconds of ticker_00 that this viewer was told, each once."""
    payloads = [payload for event, payload in viewer.got if event in {"snapshot", "quotes"}]
    times = [quote["time"] for quotes in payloads for quote in quotes if quote["symbol"] == "ticker_00"]
    return list(dict.fromkeys(times))


@SERVERS
async def test_a_restart_of_the_engine_is_a_pause_for_the_viewers_of_every_gateway(
    server: str, tmp_path: Path
) -> None:
    """After kill -9 of the engine quotes go on: within 5 s none was stale, no `seq` goes back, no hello."""
    async with (
        serving(tmp_path, "--sources", "synthetic", "--server", server) as service,
        AsyncExitStack() as stack,
    ):
        viewers = [each[0] for each in (await service.viewers(stack)).values()]
        marks = [len(viewer.got) for viewer in viewers]
        killed_s = time.monotonic()
        os.kill(service.pid("engine"), signal.SIGKILL)
        await until(lambda: len(starts(service.running.log)) == 2, 40 * SCALE)
        begun = starts(service.running.log)[1]
        for viewer in viewers:
            await until(lambda viewer=viewer: _newest_seq(viewer) > begun)  # type: ignore[misc]
        paused_s = time.monotonic() - killed_s
        told = [viewer.got[mark:] for viewer, mark in zip(viewers, marks, strict=True)]
        quotes = [[one for name, each in events if name == "quotes" for one in each] for events in told]

        assert not {"hello", "snapshot"} & {name for events in told for name, _ in events}
        if paused_s < SILENCE_S:
            assert not any(one["stale"] for each in quotes for one in each)
            assert "source" not in {name for events in told for name, _ in events}
        for each in quotes:
            for symbol in {one["symbol"] for one in each}:
                numbers = [one["seq"] for one in each if one["symbol"] == symbol]
                assert numbers == sorted(numbers)
        assert not any(viewer.gone.is_set() for viewer in viewers)


def _newest_seq(viewer: Viewer) -> int:
    return max((one["seq"] for quotes in viewer.all("quotes") for one in quotes), default=0)


@SERVERS
async def test_connections_wait_for_dead_gateways(server: str, tmp_path: Path) -> None:
    """While no gateway lives the port still takes connections; each is answered when they are back."""
    async with serving(tmp_path, "--sources", "synthetic", "--server", server) as service:
        pids = [service.pid(name) for name in BOTH]
        service.running.process.send_signal(signal.SIGSTOP)
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        await until(lambda: not any(map(alive, pids)))
        waiting = [_connect(service.port) for _ in range(16)]
        service.running.process.send_signal(signal.SIGCONT)
        answers = [await asyncio.to_thread(_answer, connection) for connection in waiting]

        assert all(answer.startswith(b"HTTP/1.1 200 OK\r\n") for answer in answers)
        assert [len(service.running.pids(name)) for name in sorted(BOTH)] == [2, 2]


def _connect(port: int) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    connection.sendall(REQUEST)
    return connection


def _answer(connection: socket.socket) -> bytes:
    with connection:
        return connection.recv(4096)


async def test_figures_of_a_dead_gateway_vanish(tmp_path: Path) -> None:
    """Before a killed gateway is started again, the other shows its own figures alone."""
    async with serving(tmp_path, "--sources", "synthetic") as service, AsyncExitStack() as stack:
        viewers = await service.viewers(stack)
        kept = [http.client.HTTPConnection("127.0.0.1", service.port, timeout=DEADLINE_S) for _ in range(24)]
        for each in kept:
            each.auto_open = 0
            each.connect()
            stack.callback(each.close)
            _get(each, "/healthz")
        await until(lambda: all(f'gateway="{name}"' in _get(kept[0], "/metrics") for name in BOTH))
        service.running.process.send_signal(signal.SIGSTOP)
        os.kill(service.pid("gateway-2"), signal.SIGKILL)
        await asyncio.wait_for(viewers["gateway-2"][0].gone.wait(), DEADLINE_S)
        survivor = next(each for each in kept if _get(each, "/healthz"))
        shown = f'crypto_stream_viewers{{gateway="gateway-1"}} {len(viewers["gateway-1"])}.0\n'
        await until(lambda: shown in _get(survivor, "/metrics"))
        await until(lambda: 'gateway="gateway-2"' not in _get(survivor, "/metrics"))

        assert shown in _get(survivor, "/metrics")


def _get(connection: http.client.HTTPConnection, path: str) -> str:
    """Ask over this one connection; empty when it has ended."""
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    except (http.client.HTTPException, ConnectionError):
        return ""


async def test_the_limit_of_viewers_is_each_gateways_own(tmp_path: Path) -> None:
    """With max_viewers 1 two gateways take two viewers, one each, and refuse further ones."""
    async with (
        serving(tmp_path, "--sources", "synthetic", "--max-viewers", "1") as service,
        AsyncExitStack() as stack,
    ):
        taken: list[str] = []
        async with asyncio.timeout(DEADLINE_S):
            while len(taken) < 2:
                try:
                    taken.append(await service.whose(await stack.enter_async_context(viewing(service.url))))
                except socketio.exceptions.ConnectionError:
                    continue
        for _ in range(4):
            with pytest.raises(socketio.exceptions.ConnectionError):
                await stack.enter_async_context(viewing(service.url))

        assert set(taken) == BOTH


@SERVERS
async def test_a_renewal_refuses_no_new_connection(tmp_path: Path, server: str) -> None:
    """SIGUSR1: while both gateways are restarted each request is answered, and viewers can come back."""
    options = ["--sources", "synthetic", "--pairs", "", "--server", server]
    async with serving(tmp_path, *options) as service, AsyncExitStack() as stack:
        viewers = await service.viewers(stack)
        service.running.process.send_signal(signal.SIGUSR1)
        codes = []
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(base_url=service.url, limits=limits, timeout=DEADLINE_S) as client:
            while "gateway-2 restarted left=0" not in service.running.log:
                codes.append((await client.get("/courses/ticker_00")).status_code)
        await until(lambda: all(one.gone.is_set() for each in viewers.values() for one in each))
        back = await service.viewers(stack)

        assert set(codes) == {200}
        assert [one[0].names()[:2] for one in back.values()] == [["hello", "snapshot"]] * 2
        assert [len(service.running.pids(name)) for name in ("engine", *sorted(BOTH))] == [1, 2, 2]
