"""Two engines on one database and one bus, as on two machines: the second one follows, then leads."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from websockets.asyncio.client import connect

from tests.fakes import FakeBinance
from tests.fakes.walk import Walk
from tests.postgres import Server
from tests.process.programs import Running, address, admin, machine
from tests.process.test_order_trouble import OWNER, PASSING, Seen, goes_on
from tests.recomputed.figures import Figures, bars
from tests.recomputed.venues import VENUES
from tests.redis_server import running
from tests.rehearsal.viewers import Viewer, watching
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(240 * SCALE)

_AGAIN = PASSING | {"store_unavailable"}
_LONG_S = 60 * SCALE
_PAIR = "btcusdt"
_ADDED = "ethusdt"


class NotingVenue(FakeBinance):
    """A venue that notes each frame of a trade that it sends."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.traded: list[str] = []

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return what is to be sent, and note it if it is a trade."""
        found = super().frames(walk, what)
        if what == "trade":
            self.traded += [frame for _, frame in found]
        return found

    def bars(self) -> list[dict[str, Any]]:
        """Return the one-second bars of the pair, worked out from these frames."""
        figures, read = Figures(), VENUES["binance"]()
        for frame in self.traded:
            figures.take(read(frame.encode()))
        return bars(figures.trades[_PAIR], 1000)


class Setup:
    """Two engines, of which the first one leads, their venue, a gateway, a viewer and a client."""

    def __init__(
        self, engines: list[Running], venue: NotingVenue, url: str, seen: Seen, viewer: Viewer
    ) -> None:
        self.first, self.second = engines
        self.venue = venue
        self.url = url
        self.seen = seen
        self.viewer = viewer

    async def leads(self, engine: Running) -> None:
        """Wait until an engine leads, and the viewer sees its prices."""
        await until(lambda: "engine started epoch=" in engine.log, _LONG_S)
        since = self.viewer.heard_s
        await until(lambda: self.viewer.live_since(since), _LONG_S)

    async def followed(self) -> None:
        """Wait until /metrics shows that an engine follows."""
        with httpx.Client(base_url=self.url) as http:
            followed = "\ncrypto_stream_engine_followers 1.0"
            await until(lambda: followed in http.get("/metrics").text, _LONG_S)

    async def bars(self) -> list[dict[str, Any]]:
        """Return the whole one-second bars of the pair, once one began after now; it must have no gap."""
        since_ms, last_ms = time.time() * 1000, 0
        async with httpx.AsyncClient(base_url=self.url, timeout=20 * SCALE) as http, asyncio.timeout(_LONG_S):
            while last_ms <= since_ms:
                await asyncio.sleep(0.1)
                page = (await http.get(f"/history/{_PAIR}?interval=1s&limit=5000&from=0")).json()
                # The first one began before the subscription, the last one has not ended.
                whole = page["bars"][1:-1]
                last_ms = whole[-1]["time"]
        assert not page["gaps"], page["gaps"]
        names = ("time", "open", "high", "low", "close", "trades")
        return [{**{name: bar[name] for name in names}, "volume": Decimal(bar["volume"])} for bar in whole]


@asynccontextmanager
async def setup(folder: Path, postgres: Server, redis: str) -> AsyncIterator[Setup]:
    """Start it all, and wait until the second engine could lead."""
    async with AsyncExitStack() as stack:
        relay = stack.enter_context(running(redis, folder / "redis"))
        venue = await stack.enter_async_context(NotingVenue([_PAIR, _ADDED], rate=20.0))
        hosts = {"CRYPTO_STREAM_BINANCE_URL": venue.url, "CRYPTO_STREAM_BINANCE_REST_URL": venue.rest_url}
        on = ["--parts", "engine", "--sources", "binance,synthetic", "--pairs", _PAIR]
        on += ["--database", postgres.database()]
        bus, engines = relay.url("prod"), []
        for name in ("first", "second"):
            engines.append(stack.enter_context(machine(folder, name, bus, *on, **hosts)))
            await until(lambda: "source live source=binance" in engines[-1].log, _LONG_S)
        gateways = ["--parts", "gateways", "--port", "0"]
        url = await address(stack.enter_context(machine(folder, "gateways", bus, *gateways)))
        viewer = await stack.enter_async_context(watching(url))
        place = f"{url.replace('http', 'ws')}/ws?mode=extended&client_id={OWNER}"
        seen = stack.enter_context(closing(Seen(url, await stack.enter_async_context(connect(place)))))
        made = Setup(engines, venue, url, seen, viewer)
        await made.leads(made.first)
        yield made


def vanish(one: Running) -> None:
    """End everything of a machine at once."""
    ours = psutil.Process(one.process.pid)
    for each in [ours, *ours.children(recursive=True)]:
        each.send_signal(signal.SIGKILL)


def stop(one: Running) -> None:
    """End a machine as a person would."""
    one.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("end", [vanish, stop])
async def test_viewers_see_a_pause_when_the_leader_is_gone(
    postgres: Server, require_program: Callable[[str], str], tmp_path: Path, end: Callable[[Running], None]
) -> None:
    """No event, nothing stale, no number that goes back; every trade is in its bar, and in no other one.

    Every acknowledged order is there.
    """
    async with setup(tmp_path, postgres, require_program("redis-server")) as run:
        placed = await run.seen.place(_AGAIN)
        said, waited = run.second.output, "engine started epoch=" not in run.second.log
        prices = await goes_on(run.seen)
        run.viewer.begin()
        end(run.first)
        await run.leads(run.second)
        later = await run.seen.place(_AGAIN)
        listed, viewer = await run.seen.listed(), run.viewer
        served = await run.bars()
        times = [bar["time"] for bar in served]
        traded = [bar for bar in run.venue.bars() if times[0] <= bar["time"] <= times[-1]]

    assert prices
    assert waited
    assert " follows the engine that leads (" in said
    assert (viewer.faults, viewer.stale, viewer.unexplained(), viewer.connects) == ([], 0, 0, 0)
    assert listed == [placed["order_id"], later["order_id"]]
    assert (later["store"], later["seq"]) == (placed["store"], placed["seq"] + 1)
    assert times == list(range(times[0], times[-1] + 1000, 1000))
    assert served == traded


async def test_a_leader_that_is_killed_leaves_the_lead_to_the_follower(
    postgres: Server, require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """Its next start, whose sources are not connected yet, follows; its lease need not run out."""
    async with setup(tmp_path, postgres, require_program("redis-server")) as run:
        run.viewer.begin()
        psutil.Process(run.first.pids("engine")[-1]).kill()
        await run.leads(run.second)
        await until(lambda: "follows: another engine leads" in run.first.log, _LONG_S)
        await run.followed()
        viewer, log, other = run.viewer, run.first.log, run.second.log

    if "the engine that follows is given the lead" not in log:  # the lease ran out before the next start
        assert _said_at(other, "leads term=2") < _said_at(log, "follows: another engine leads")
    assert log.count("engine started epoch=") == 1
    assert (viewer.faults, viewer.stale, viewer.unexplained()) == ([], 0, 0)


def _said_at(log: str, what: str) -> str:
    """Return the time of the only line of a log that says this."""
    (line,) = (line for line in log.splitlines() if what in line)
    return line.split()[0]


async def test_a_pair_that_was_added_meanwhile_is_served_by_the_next_leader(
    postgres: Server, require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """The follower was started before it was chosen; it carries it before it leads."""
    async with setup(tmp_path, postgres, require_program("redis-server")) as run:
        token = admin(tmp_path / "gateways")
        async with httpx.AsyncClient(base_url=run.url, timeout=60 * SCALE) as http:
            answer = await http.post("/instruments", json={"add": [_ADDED], "remove": []}, headers=token)
            await until(lambda: "carries the pairs of the engine that leads" in run.second.log, _LONG_S)
            await _served(http)
            run.viewer.begin()
            vanish(run.first)
            await run.leads(run.second)
            await _served(http)
            listed = (await http.get("/instruments")).json()["instruments"]
            again = await http.post("/instruments", json={"remove": [_ADDED]}, headers=token)
        viewer = run.viewer

    assert answer.json()["added"] == [_ADDED]
    assert [one["symbol"] for one in listed][:2] == [_PAIR, _ADDED]
    assert again.json()["removed"] == [_ADDED]
    assert (viewer.faults, viewer.stale, viewer.unexplained(), viewer.connects) == ([], 0, 0, 0)


async def _served(http: httpx.AsyncClient) -> None:
    """Wait until the added pair has a live price."""
    async with asyncio.timeout(_LONG_S):
        stale = True
        while stale:
            await asyncio.sleep(0.05)
            stale = (await http.get(f"/courses/{_ADDED}")).json().get("stale", True)
