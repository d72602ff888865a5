"""The bridge of docs/bridges.md under the supervisor: started, killed, restarted, stopped with the rest."""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path

import httpx
import psutil

from crypto_stream.client import Client, UnreachableError
from crypto_stream.errors import RefusedError
from crypto_stream.market.quotes import Quote
from tests.process.programs import ROOT, address, alive, program, short_folder
from tests.waiting import SCALE, until

NAME = "bridge:example"
DOCUMENT = ROOT / "docs" / "bridges.md"


def example(folder: Path) -> list[str]:
    """Write the program and the settings of the document; return the arguments that run it."""
    text = DOCUMENT.read_text("utf-8")
    block = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    assert block is not None
    (folder / "example.py").write_text(block[1], "utf-8")
    (folder / "settings.toml").write_text(
        'sources = ["bridge:example"]\npairs = ["btcusdt"]\n'
        f'[bridge.example]\ncommand = "{sys.executable} {folder}/example.py"\n',
        "utf-8",
    )
    files = ["--config", f"{folder}/settings.toml", "--log-file", f"{folder}/app.log"]
    return ["-m", "crypto_stream", "run", "--port", "0", "--data-dir", f"{folder}/data", *files]


def quote(url: str) -> Quote | None:
    """Return the quote as viewers get it."""
    try:
        return Client(url).course("btcusdt")
    except (UnreachableError, RefusedError):
        return None


def is_live(url: str) -> bool:
    """Return whether it is live."""
    return (found := quote(url)) is not None and not found.stale


async def test_the_documented_bridge_is_served_and_restarted() -> None:
    """Killed, it is back by itself; with the rest it is stopped."""
    with short_folder() as short, program(example(Path(short)), Path(short)) as running:
        url = await address(running)
        await until(lambda: is_live(url), 30 * SCALE)
        served = quote(url)
        first = running.pids(NAME)[-1]
        os.kill(first, signal.SIGKILL)
        await until(lambda: running.pids(NAME)[-1] != first, 30 * SCALE)
        await until(lambda: "source lost source=bridge:example" in running.log)
        await until(lambda: is_live(url), 30 * SCALE)
        second = running.pids(NAME)[-1]
        environment = psutil.Process(second).environ()
        async with httpx.AsyncClient(base_url=url) as http:
            source = (await http.get("/sources")).json()["sources"][0]
        running.process.send_signal(signal.SIGTERM)
        status = running.wait()
        log = running.log

    assert served is not None
    assert served.source == NAME
    assert re.fullmatch(r"640\d\d\.15", served.price or "")
    assert re.fullmatch(r"640\d\d\.10", served.bid or "")
    assert "bridge:example ended status=SIGKILL next_start_in_s=" in log
    assert "bridge connected source=bridge:example venue=Acme" in log
    assert not [name for name in environment if name.startswith("CRYPTO_STREAM_")]
    assert environment["BRIDGE_NAME"] == "example"
    assert source["url"] == "unix:bridge-example.sock"
    assert source["frames"]["trades"] > 0
    assert status == 0
    assert not alive(second)


async def test_a_bridge_whose_engine_dies_serves_the_next_one() -> None:
    """It ends with the connection, as the document says, and is started again."""
    with short_folder() as short, program(example(Path(short)), Path(short)) as running:
        url = await address(running)
        await until(lambda: is_live(url), 30 * SCALE)
        os.kill(running.pids("engine")[-1], signal.SIGKILL)
        await until(lambda: len(running.pids("engine")) == 2, 30 * SCALE)
        await until(lambda: running.log.count("source live source=bridge:example") >= 2, 60 * SCALE)
        await until(lambda: is_live(url), 30 * SCALE)

        assert len(running.pids(NAME)) >= 2
