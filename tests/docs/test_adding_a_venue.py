"""The venue of docs/adding-a-venue.md, run as a reader would write it."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path

from websockets.asyncio.server import ServerConnection, serve

from crypto_stream.engine.composition import Composition
from crypto_stream.feed.connect_to_handler import connect_to_handler
from crypto_stream.feed.loading import load_sources
from tests.feed.rig import Feed, settings
from tests.waiting import until

DOCUMENT = Path(__file__).parents[2] / "docs" / "adding-a-venue.md"


class Acme:
    """A server of the invented protocol: acknowledges, refuses unknown pairs, sends what it is told."""

    def __init__(self) -> None:
        self.connections: list[ServerConnection] = []
        self.number = 0
        self.pongs: list[int] = []

    async def serve(self, connection: ServerConnection) -> None:
        self.connections.append(connection)
        await connection.send('{"ping":5}')
        async for text in connection:
            said = json.loads(text)
            if "pong" in said:
                self.pongs.append(said["pong"])
            topic = said.get("subscribe")
            if topic is None:
                continue
            known = topic.endswith(("BTC_USDT", "ETH_USDT"))
            await connection.send(
                json.dumps({"ack": topic} if known else {"refused": topic, "why": "no such pair"})
            )

    async def send(self, topic: str, **data: str) -> None:
        """Send a frame of one topic; `data` is JSON already: numbers keep their zeros."""
        self.number += 1
        fields = {
            "topic": f'"{topic}"',
            "pair": '"ETH_USDT"',
            "n": str(self.number),
            "t": str(time.time_ns() // 1_000_000),
            **data,
        }
        text = ",".join(f'"{name}":{value}' for name, value in fields.items())
        await self.connections[-1].send(f"{{{text}}}")


async def test_the_documented_venue_works(tmp_path: Path) -> None:
    """The file of the document, put in a folder, serves quotes, survives a cut, shows what is refused."""
    block = re.search(r"```python\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    assert block is not None
    (tmp_path / "acme.py").write_text(block[1], "utf-8")
    acme = Acme()
    async with serve(acme.serve, "127.0.0.1", 0) as server, asyncio.TaskGroup() as tasks:
        port = next(iter(server.sockets)).getsockname()[1]
        chosen = settings(sources="acme", pairs="ethusdt,foousdt", handlers_dir=str(tmp_path), stale_after=60)
        chosen = chosen.model_copy(update={"handler_options": {"acme": {"url": f"ws://127.0.0.1:{port}"}}})
        composition = Composition(
            chosen, load_sources(chosen), pin=None, bans={}, remember_ban=lambda name, until_ms: None
        )
        feed = Feed(composition)
        composition.accepted.append(feed.took)
        loop = tasks.create_task(connect_to_handler(composition.loop, feed))
        line = composition.loop.sources["acme"]
        await until(lambda: "foousdt" in line.refused)
        await acme.send("trade", price="3000.10", size="2")
        await acme.send("top", bid="[3000.0,1.50]", ask="null")
        await until(lambda: (entry := composition.book.entry("acme", "ethusdt")) is not None and entry.bid)
        refused = dict(line.refused)
        await acme.connections[-1].close()
        await until(lambda: len(acme.connections) == 2)
        await until(lambda: line.state == "connected")
        await acme.send("novelty")
        await acme.send("trade", price="3000.20", size="1")
        await until(lambda: feed.serving("ethusdt") == "acme")
        loop.cancel()

    entry = composition.book.entry("acme", "ethusdt")
    assert entry is not None
    assert (entry.price, entry.bid, entry.bid_size, entry.ask) == ("3000.20", "3000.0", "1.50", None)
    assert refused == {"foousdt": "no such pair"}
    assert acme.pongs == [5, 5]
    assert line.status(0, pin=None, serving=1).frames["novelty"] == 1
