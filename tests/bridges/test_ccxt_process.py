"""The bridge of ccxt as users start it: named among the sources, in a process of its own, restarted."""

from __future__ import annotations

import json
import os
import signal
from decimal import Decimal
from pathlib import Path

import psutil
import pytest

from crypto_stream.client import Client
from tests.bridges.test_ccxt import configuration
from tests.fakes import FakeBinance
from tests.process.programs import Running, address, alive, program, short_folder
from tests.process.test_bridge import is_live
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(300 * SCALE)

NAME = "bridge:binance"


async def test_an_exchange_is_named_on_the_command_line_and_supervised(tmp_path: Path) -> None:
    """Its quotes are the exchange's, bid and ask letter by letter; killed, it is back by itself."""
    async with FakeBinance(["btcusdt"], price="64000") as fake:
        config = tmp_path / "binance.json"
        config.write_text(json.dumps(configuration(fake)))
        with short_folder() as short:
            run = ["-m", "crypto_stream", "run", "--port", "0", "--pairs", "btcusdt"]
            source = ["--sources", "bridge:ccxt:binance", "--data-dir", f"{short}/data"]
            files = ["--log-file", str(tmp_path / "app.log")]
            environment = {"CRYPTO_STREAM_BRIDGE_BINANCE_CONFIG": str(config)}
            with program([*run, *source, *files], tmp_path, **environment) as running:
                url = await address(running)
                await _live(running, url)
                fake.calm("btcusdt")
                await fake.push("btcusdt", bid="64123.41", ask="64123.45", price="64123.43")
                await until(lambda: Client(url).course("btcusdt").bid == "64123.41000000", 30 * SCALE)
                quote = Client(url).course("btcusdt")
                fake.calm("btcusdt", False)
                first = running.pids(NAME)[-1]
                words = psutil.Process(first).cmdline()
                os.kill(first, signal.SIGKILL)
                await until(lambda: running.pids(NAME)[-1] != first, 30 * SCALE)
                await until(lambda: running.log.count(f"source live source={NAME}") >= 2, 60 * SCALE)
                await _live(running, url)
                second = running.pids(NAME)[-1]
                running.process.send_signal(signal.SIGTERM)
                status = running.wait()

    assert words[1:] == ["-P", "-m", "bridges.ccxt", "binance", "--config", str(config)]
    assert (quote.source, quote.ask) == (NAME, "64123.45000000")
    assert quote.price is not None
    assert Decimal(quote.price) == Decimal("64123.43")
    assert status == 0
    assert not alive(second)


async def _live(running: Running, url: str) -> None:
    """Wait until it serves; ccxt takes seconds to start."""
    try:
        await until(lambda: is_live(url), 90 * SCALE)
    except TimeoutError:
        raise AssertionError(running.log[-3000:]) from None
