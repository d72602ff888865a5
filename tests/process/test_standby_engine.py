"""Two engines on one database and one bus, as on two machines: the second one takes over from the first."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect

from tests.postgres import Server
from tests.process.programs import Running, address, machine
from tests.process.test_order_trouble import OWNER, PASSING, Seen, goes_on
from tests.redis_server import running
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(240 * SCALE)

_AGAIN = PASSING | {"store_unavailable"}
_LONG_S = 60 * SCALE


def _vanish(one: Running) -> None:
    """End everything of a machine at once."""
    ours = psutil.Process(one.process.pid)
    for each in [ours, *ours.children(recursive=True)]:
        each.send_signal(signal.SIGKILL)


async def test_the_second_engine_takes_over_when_the_first_one_is_gone(
    postgres: Server, require_program: Callable[[str], str], tmp_path: Path
) -> None:
    """It publishes nothing before; then gateways go on in the same epoch, with every acknowledged order."""
    redis = require_program("redis-server")
    on = ["--parts", "engine", "--sources", "synthetic", "--database", postgres.database()]
    with running(redis, tmp_path / "redis") as relay:
        bus = relay.url("prod")
        with (
            machine(tmp_path, "first", bus, *on) as first,
            machine(tmp_path, "gateways", bus, "--parts", "gateways", "--port", "0") as gateways,
        ):
            url = await address(gateways)
            place = f"{url.replace('http', 'ws')}/ws?mode=extended&client_id={OWNER}"
            async with connect(place) as connection:
                with closing(Seen(url, connection)) as seen:
                    placed = await seen.place(_AGAIN)
                    epoch = seen.epoch()
                    with machine(tmp_path, "second", bus, *on) as second:
                        await until(lambda: "another engine uses the database" in second.log, _LONG_S)
                        prices = await goes_on(seen)
                        waited = "engine started epoch=" not in second.log
                        _vanish(first)
                        await until(lambda: "engine started epoch=" in second.log, _LONG_S)
                        later = await seen.place(_AGAIN)
                        listed, after = await seen.listed(), seen.epoch()

    assert prices
    assert waited
    assert after == epoch
    assert listed == [placed["order_id"], later["order_id"]]
    assert (later["store"], later["seq"]) == (placed["store"], placed["seq"] + 1)
