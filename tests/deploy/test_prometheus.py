"""A real Prometheus, configured as docs/operations.md shows it, scrapes a running installation."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.deploy.expressions import RULES, exported, named, panels
from tests.docs.blocks import block
from tests.fakes import FakeBinance
from tests.ports import free_port
from tests.postgres import Server
from tests.process.programs import Running, address, machine
from tests.process.test_order_trouble import OWNER, PASSING, Seen
from tests.process.viewers import viewing
from tests.redis_server import running
from tests.waiting import DEADLINE_S, SCALE, until

pytestmark = pytest.mark.timeout(300 * SCALE)


class Prometheus:
    """A running Prometheus, asked through its API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ready(self) -> bool:
        """Return whether it answers questions."""
        try:
            return httpx.get(f"{self._url}/-/ready", timeout=DEADLINE_S).is_success
        except httpx.TransportError:
            return False

    def empty(self) -> list[str]:
        """Return the expressions of panels that find nothing, after their titles; all must be valid."""
        return [
            f"{title}: {each}" for title, every in panels().items() for each in every if not self._finds(each)
        ]

    def firing(self) -> set[str]:
        """Return the names of the alerts that are firing."""
        return {
            each["labels"]["alertname"] for each in self._ask("alerts")["alerts"] if each["state"] == "firing"
        }

    def alerts(self) -> set[str]:
        """Return the names of all alerts that it has loaded."""
        return {rule["name"] for group in self._ask("rules")["groups"] for rule in group["rules"]}

    def _finds(self, expression: str) -> bool:
        return bool(self._ask("query", query=expression)["result"])

    def _ask(self, what: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self._url}/api/v1/{what}", params=parameters, timeout=DEADLINE_S).json()
        assert answer["status"] == "success", (parameters, answer)
        return answer["data"]


@contextmanager
def _prometheus(path: str, folder: Path, target: str) -> Iterator[Prometheus]:
    """Run the Prometheus at `path` with the documented configuration, but more often, for HOST:PORT."""
    folder.mkdir()
    changes = {
        "/opt/crypto-stream/deploy/prometheus-rules.yml": str(RULES),
        '"10.0.0.11:8000", "10.0.0.12:8000"': f'"{target}"',
        "scrape_interval: 5s": "scrape_interval: 500ms",
    }
    (folder / "prometheus.yml").write_text(block("operations.md", "yaml", changes))
    port = free_port()
    command = [
        path,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
    started = Prometheus(f"http://127.0.0.1:{port}")
    try:
        deadline_s = time.monotonic() + DEADLINE_S
        while not started.ready():
            assert process.poll() is None, (folder / "output").read_text()
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        yield started
    finally:
        process.kill()
        process.wait()


class Installation(NamedTuple):
    """An engine that leads, one that follows, and two gateways on one port."""

    engines: list[Running]
    url: str

    async def used(self) -> None:
        """Let happen what some figures tell of: an order is placed, and a viewer is refused."""
        place = f"{self.url.replace('http', 'ws')}/ws?mode=extended&client_id={OWNER}"
        async with connect(place) as connection, httpx.AsyncClient(base_url=self.url) as http:
            with closing(Seen(self.url, connection)) as seen:
                await seen.place(PASSING | {"store_unavailable"})
            await http.get("/socket.io/?EIO=4&transport=polling")

    def stop(self) -> None:
        """End the engines, the follower first."""
        for engine in reversed(self.engines):
            engine.process.send_signal(signal.SIGTERM)
            engine.wait()


@asynccontextmanager
async def _installation(folder: Path, redis: str, database: str) -> AsyncIterator[Installation]:
    """Run two engines on PostgreSQL and a fake venue, and gateways, which find each other over two relays."""
    async with AsyncExitStack() as stack:
        relays = [stack.enter_context(running(redis, folder / name)) for name in ("redis-1", "redis-2")]
        bus = ",".join(relay.url("prod") for relay in relays)
        venue = await stack.enter_async_context(FakeBinance(["btcusdt"]))
        addresses = {"CRYPTO_STREAM_BINANCE_URL": venue.url, "CRYPTO_STREAM_BINANCE_REST_URL": venue.rest_url}
        on = ["--parts", "engine", "--sources", "binance,synthetic", "--pairs", "btcusdt"]
        engines = []
        for name in ("engine-1", "engine-2"):
            engines.append(
                stack.enter_context(machine(folder, name, bus, *on, "--database", database, **addresses))
            )
            await until(lambda: "source live source=binance" in engines[-1].log, 60 * SCALE)
        options = ["--parts", "gateways", "--port", "0", "--workers", "2"]
        gateways = stack.enter_context(machine(folder, "gateways", bus, *options))
        yield Installation(engines, await address(gateways))


def _unknown(url: str) -> set[str]:
    """Return which metrics rules and dashboard name that /metrics does not have."""
    texts = [RULES.read_text("utf-8"), *(each for every in panels().values() for each in every)]
    return named(texts) - exported(httpx.get(f"{url}/metrics", timeout=DEADLINE_S).text)


async def test_each_metric_exists_each_expression_finds_something_and_an_alert_fires(
    tmp_path: Path, postgres: Server, require_program: Callable[[str], str]
) -> None:
    """Nothing fires while all is well; once both engines have stopped, that alert does, and no other."""
    path, redis = require_program("prometheus"), require_program("redis-server")
    async with (
        _installation(tmp_path, redis, postgres.database()) as installation,
        viewing(url := installation.url) as viewer,
    ):
        with _prometheus(path, tmp_path / "prometheus", url.removeprefix("http://")) as prometheus:
            await viewer.moves()
            await installation.used()
            await until(lambda: not _unknown(url), 30 * SCALE)
            with suppress(TimeoutError):
                await until(lambda: not prometheus.empty(), 30 * SCALE)
            empty, before = prometheus.empty(), prometheus.firing()
            installation.stop()
            await until(prometheus.firing, 90 * SCALE)
            loaded, firing = prometheus.alerts(), prometheus.firing()

    assert empty == []
    assert before == set()
    assert firing == {"EngineUnreachable"}
    assert firing < loaded
