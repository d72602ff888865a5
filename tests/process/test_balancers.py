"""Two gateways of one installation behind a real HAProxy and a real nginx, as docs/scale.md shows them."""

from __future__ import annotations

import re
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import pytest

from crypto_stream.gateway.web.admin import CHANGE_TIMEOUT_S
from tests.docs.blocks import block, changed
from tests.process.haproxy import haproxy
from tests.process.nginx import nginx
from tests.process.programs import Running, program, short_folder
from tests.process.viewers import viewing
from tests.waiting import DEADLINE_S, SCALE, until

pytestmark = pytest.mark.timeout(180 * SCALE)
PROXIES = pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
MODULE = ["-m", "crypto_stream"]


class Gateway:
    """One of the gateways, a process of its own."""

    def __init__(self, running: Running, folder: Path, url: str) -> None:
        self.running = running
        self.url = url
        self._folder = folder

    @property
    def host(self) -> str:
        """HOST:PORT, for a proxy."""
        return self.url.removeprefix("http://")

    @property
    def log(self) -> str:
        """All of its log so far."""
        return (self._folder / "app.gateway.log").read_text("utf-8")

    def viewers(self) -> int:
        """Return how many viewers it has now."""
        text = httpx.get(f"{self.url}/metrics", timeout=DEADLINE_S).text
        found = re.search(r"^crypto_stream_viewers (\S+)$", text, re.MULTILINE)
        assert found is not None
        return int(float(found[1]))

    def readiness(self) -> int:
        """Return the status of /readyz."""
        return httpx.get(f"{self.url}/readyz", timeout=DEADLINE_S).status_code

    def kill(self) -> None:
        """Kill it; nobody starts it again."""
        self.running.process.kill()
        self.running.process.wait()


class Installation:
    """An engine and two gateways, which stand for two machines."""

    def __init__(self, engine: Running, gateways: tuple[Gateway, Gateway]) -> None:
        self.engine = engine
        self.gateways = gateways

    @property
    def hosts(self) -> tuple[str, str]:
        """HOST:PORT of both gateways."""
        return self.gateways[0].host, self.gateways[1].host

    @contextmanager
    def behind(self, proxy: str, path: str) -> Iterator[str]:
        """Run the program at `path`, of this kind, in front of both gateways; give its address."""
        if proxy == "haproxy":
            with haproxy(path, self.hosts) as url:
                yield url
        else:
            with nginx(path, *_nginx_blocks(*self.hosts)) as running:
                yield running.url


def _nginx_blocks(first: str, second: str) -> tuple[str, str]:
    """Return the documents' blocks: what stands in the server, and around it."""
    upstream = block("scale.md", "nginx", {"10.0.0.11:8000": first, "10.0.0.12:8000": second})
    site = block("operations.md", "nginx")
    one = re.search(r"^upstream .*$", site, re.MULTILINE)
    assert one is not None
    outside, server = changed(site, {one[0]: upstream}).split("\nserver {\n")
    return server.split("server_name stream.example.org;")[1].rstrip().removesuffix("}"), outside


@asynccontextmanager
async def installation(folder: Path) -> AsyncIterator[Installation]:
    """Run the engine and both gateways on free ports until both have live prices."""
    with (
        short_folder() as sockets,
        _part(folder, sockets, "engine", "--sources", "synthetic") as engine,
        _gateway(folder, sockets, "first") as first,
        _gateway(folder, sockets, "second") as second,
    ):
        pair = await _serving(first, folder / "first"), await _serving(second, folder / "second")
        await until(lambda: all(each.readiness() == 200 for each in pair), 30 * SCALE)
        yield Installation(engine, pair)


@contextmanager
def _part(folder: Path, sockets: str, name: str, *options: str, command: str = "") -> Iterator[Running]:
    """Run one process with a log of its own; all find each other by the data directory."""
    (folder / name).mkdir()
    files = ["--data-dir", str(folder / "data"), "--log-file", str(folder / name / "app.log")]
    with program([*MODULE, command or name, *options, *files], folder / name, TMPDIR=sockets) as running:
        yield running


def _gateway(folder: Path, sockets: str, name: str) -> AbstractContextManager[Running]:
    options = ["--port", "0", "--polling", "false", "--trusted-proxies", "127.0.0.1"]
    return _part(folder, sockets, name, *options, command="gateway")


async def _serving(running: Running, folder: Path) -> Gateway:
    await until(lambda: " gateway at http://" in running.output, 30 * SCALE)
    url = running.output.split(" gateway at ")[1].split(";")[0]
    return Gateway(running, folder, url)


@PROXIES
async def test_viewers_of_a_killed_gateway_reach_the_other_one(
    tmp_path: Path, require_program: Callable[[str], str], proxy: str
) -> None:
    """They were spread over both; nobody is sent to the dead one, whose viewers alone reconnect."""
    path = require_program(proxy)
    async with installation(tmp_path) as installed, AsyncExitStack() as stack:
        first, second = installed.gateways
        url = stack.enter_context(installed.behind(proxy, path))
        viewers = [await stack.enter_async_context(viewing(url)) for _ in range(6)]
        await until(lambda: all(viewer.quotes for viewer in viewers))
        before = first.viewers(), second.viewers()
        first.kill()
        async with httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as http:
            statuses = [(await http.get("/courses")).status_code for _ in range(20)]
        await until(lambda: sorted(each.connects for each in viewers) == [1, 1, 1, 2, 2, 2], 30 * SCALE)
        for viewer in viewers:
            await viewer.moves()

        assert before == (3, 3)
        assert statuses == [200] * 20
        assert second.viewers() == 6


@PROXIES
async def test_each_viewer_counts_by_its_own_address(
    tmp_path: Path, require_program: Callable[[str], str], proxy: str
) -> None:
    """Whatever it says of itself: the proxy replaces X-Forwarded-For, and gateways believe the proxy only."""
    path = require_program(proxy)
    forged = {"X-Forwarded-For": "6.6.6.6"}

    def addresses() -> list[str]:
        logs = "".join(each.log for each in installed.gateways)
        return sorted(re.findall(r"client connected .*address=(\S+)", logs))

    async with installation(tmp_path) as installed:
        with installed.behind(proxy, path) as url:
            async with viewing(url, "127.0.0.2", headers=forged), viewing(url, "127.0.0.3", headers=forged):
                await until(lambda: len(addresses()) == 2)

        assert addresses() == ["127.0.0.2", "127.0.0.3"]


async def test_without_prices_everybody_is_still_served(
    tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    """The check is for life, not for prices: without an engine all gateways go on, with stale quotes."""
    path = require_program("haproxy")
    often = {"inter 2s fastinter 500ms": "inter 20ms fastinter 20ms"}
    async with installation(tmp_path) as installed:
        first, second = installed.gateways
        with haproxy(path, installed.hosts, often) as url:
            async with viewing(url) as viewer, httpx.AsyncClient(base_url=url, timeout=DEADLINE_S) as http:
                await viewer.moves()
                installed.engine.process.send_signal(signal.SIGKILL)
                await until(lambda: {first.readiness(), second.readiness()} == {503}, 30 * SCALE)
                answers = [await http.get("/courses") for _ in range(200)]  # time for many checks

                assert {answer.status_code for answer in answers} == {503}
                assert all(quote["stale"] for answer in answers for quote in answer.json())
                assert viewer.connects == 1


async def test_a_quiet_viewer_is_not_cut_off(tmp_path: Path, require_program: Callable[[str], str]) -> None:
    """The short timeouts are those of requests; a WebSocket has an hour."""
    path = require_program("haproxy")
    short = {"timeout client 60s": "timeout client 1s", "timeout server 60s": "timeout server 1s"}
    async with installation(tmp_path) as installed:
        with haproxy(path, installed.hosts, short) as url:
            async with viewing(url, subscribes=False) as viewer:
                await until(lambda: viewer.statuses > 2, 30 * SCALE)  # one each 5 s

                assert viewer.connects == 1


def test_a_change_of_instruments_is_answered_before_the_proxy_gives_up() -> None:
    """The answer is ours, which says what happened, not a 504 of HAProxy."""
    waits = re.findall(r"timeout (?:client|server) (\d+)s", block("scale.md", "haproxy"))

    assert len(waits) == 2
    assert all(int(each) > CHANGE_TIMEOUT_S for each in waits)
