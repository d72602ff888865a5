"""The recipe of docs/scale.md: relays, engine, machines of gateways, one after the other, with viewers."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, AsyncExitStack
from pathlib import Path

import pytest

from tests.process.haproxy import haproxy
from tests.process.programs import Running, address, machine
from tests.redis_server import RedisServer, running
from tests.rehearsal.faults import upgrade
from tests.rehearsal.network import network
from tests.rehearsal.rehearse import rehearse
from tests.rehearsal.viewers import Viewer, watching
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(300 * SCALE)
WORKERS = 2
_LIVELY = ("ticker_00", "ticker_50")


def _engine(folder: Path, bus: str) -> AbstractContextManager[Running]:
    return machine(folder, "engine", bus, "--parts", "engine", "--sources", "synthetic")


async def _relay_replaced(relay: RedisServer, engine: Running) -> None:
    """Stop a relay, start it again, empty, and wait until the engine uses it."""
    connected = engine.log.count("a relay of the bus is connected")
    relay.kill()
    relay.start()
    await until(lambda: engine.log.count("a relay of the bus is connected") > connected, 30 * SCALE)


async def _all_move(viewers: list[Viewer]) -> None:
    """Wait until all of them have had live prices again."""
    since_s = time.monotonic()
    await until(lambda: all(viewer.live_since(since_s) for viewer in viewers), 60 * SCALE)


async def test_an_upgrade_costs_each_viewer_no_more_than_reconnecting(
    tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    """New relays and a new engine cost no connection; each restarted gateway costs those of its viewers.

    No price is shown as stale less than 5 s after it was live, none goes back, and the data remain the same.
    """
    redis, proxy = require_program("redis-server"), require_program("haproxy")
    async with AsyncExitStack() as stack:
        relays = [stack.enter_context(running(redis, tmp_path / name)) for name in ("r1", "r2")]
        bus = ",".join(relay.url("prod") for relay in relays)
        gateways = ["--parts", "gateways", "--port", "0", "--workers", str(WORKERS)]
        machines = [stack.enter_context(machine(tmp_path, name, bus, *gateways)) for name in ("m1", "m2")]
        hosts = [(await address(each)).removeprefix("http://") for each in machines]
        url = stack.enter_context(haproxy(proxy, (hosts[0], hosts[1])))
        with _engine(tmp_path, bus) as engine:
            viewers = [await stack.enter_async_context(watching(url, _LIVELY)) for _ in range(6)]
            await _all_move(viewers)
            for relay in relays:
                await _relay_replaced(relay, engine)
                await _all_move(viewers)
            engine.process.send_signal(signal.SIGTERM)
            status = engine.wait()
        with _engine(tmp_path, bus):
            await _all_move(viewers)
            connects = [viewer.connects for viewer in viewers]
            for each in machines:
                each.process.send_signal(signal.SIGUSR1)
                await until(lambda each=each: "restarted left=0" in each.log, 60 * SCALE)  # type: ignore[misc]
            await until(lambda: all(viewer.client.connected for viewer in viewers), 30 * SCALE)
            await _all_move(viewers)

        assert status == 0
        assert connects == [1] * 6
        assert all(2 <= viewer.connects <= 1 + 2 * WORKERS for viewer in viewers)
        assert [fault for viewer in viewers for fault in viewer.faults] == []


async def test_with_an_engine_that_follows_nobody_sees_a_stale_price(
    tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    """Two relays, two engines on PostgreSQL, three machines of gateways, with viewers and traders.

    Each step goes on until all viewers have live prices and all traders new reports.
    """
    async with network(loopback=True) as net:
        steps = upgrade()
        report = await rehearse(
            net, steps, random.Random(), tmp_path, require_program, lambda _: None, timed=False
        )

    assert [one.name for one in report.seen] == [step.name for step in steps]
    assert [one.stale for one in report.seen] == [0] * len(steps)
    assert report.ledger.orders > 0
    assert report.faults == []
