"""One name for two coins: what the whole program does when the first venue is cut."""

from __future__ import annotations

import uuid
from itertools import dropwhile
from pathlib import Path
from typing import Any

import httpx
import pytest

from crypto_stream.client import OrderClient
from tests.fakes import FakeBinance, FakeOKX
from tests.process.programs import address, program
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(120 * SCALE)

PAIR = "neirousdt"


def command(folder: Path, *fakes: FakeBinance | FakeOKX) -> tuple[list[str], dict[str, str]]:
    """Make the options and the environment of a program on fake venues."""
    files = ["--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    options = ["--port", "0", "--sources", "binance,okx", "--pairs", PAIR, "--order-latency", "10", *files]
    hosts = {f"CRYPTO_STREAM_{fake.name.upper()}_URL": fake.url for fake in fakes}
    lists = {f"CRYPTO_STREAM_{fake.name.upper()}_REST_URL": fake.rest_url for fake in fakes}
    return ["-m", "crypto_stream", "run", *options], {**hosts, **lists}


class Watched:
    """What the program says over HTTP."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def get(self, path: str) -> Any:
        """Return the JSON of one path."""
        return (await self.http.get(path)).json()

    async def bars(self) -> list[Any]:
        """Return all bars of a second."""
        return list((await self.get(f"/history/{PAIR}?interval=1s&limit=5000"))["bars"])

    async def until(self, path: str, **wanted: Any) -> Any:
        """Wait until the answer has these values, and return it."""
        found: list[Any] = []
        while not found or any(found[-1].get(name) != value for name, value in wanted.items()):
            found.append(await self.get(path))
        return found[-1]


async def test_the_other_coin_is_not_shown_not_charted_and_not_traded(tmp_path: Path) -> None:
    """The quote stays, stale; no bar takes the foreign price, no order fills at it; who asks is told why."""
    async with (
        FakeBinance([PAIR], price="0.000266") as binance,
        FakeOKX([PAIR], price="0.0296") as okx,
    ):
        arguments, environment = command(tmp_path, binance, okx)
        with program(arguments, tmp_path, **environment) as running:
            url = await address(running)
            async with (
                httpx.AsyncClient(base_url=url, timeout=20 * SCALE) as http,
                OrderClient(url, client_id=str(uuid.uuid4())) as orders,
            ):
                watched = Watched(http)
                await watched.until(f"/courses/{PAIR}", source="binance", stale=False)
                await until(lambda: "source=okx" in running.log)
                while not any(bar["source"] == "binance" for bar in await watched.bars()):
                    continue  # it serves before its first trade
                order = await orders.place(PAIR, "sell", amount="1000", price="0.02")
                await binance.fault("refuse")
                quote = await watched.until(f"/courses/{PAIR}", stale=True)
                venues = await watched.get(f"/venues/{PAIR}")
                ready = await watched.get("/readyz")
                bars = await watched.bars()
                (kept,) = [one for one in await orders.orders() if one.order_id == order.order_id]
                (row,) = [one for one in venues["sources"] if one["source"] == "okx"]

    assert quote["source"] == "binance"
    assert float(quote["price"]) < 0.001
    assert venues["serving"] is None
    assert "jump_guard" in venues["reason"]
    assert "jump_guard" in row["reason"]
    assert venues["best_ask"] is None
    assert any("jump_guard" in text for text in ready.get("degraded", ready.get("reasons", [])))
    assert running.log.count("source held back: perhaps another coin") == 1
    # At the start the second venue may be quicker by a moment: until then nobody knows which coin is meant.
    later = list(dropwhile(lambda bar: bar["source"] != "binance", bars))
    assert later
    assert all(float(bar["high"]) < 0.001 for bar in later)
    assert kept.cum_amount == 0
