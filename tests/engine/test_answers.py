"""Answers that are made in pieces, between which the engine goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.messages import Sparks
from crypto_stream.engine.answers import sparks
from crypto_stream.engine.history import open_history
from crypto_stream.engine.timekeeping import MachineClocks
from crypto_stream.market.clock import EngineClock
from crypto_stream.settings import Settings
from tests.history.trading import trade

MINUTE = 60_000
NOW = 1_700_000_040_000


async def test_prices_pass_while_sparklines_are_made(tmp_path: Path) -> None:
    """However many instruments there are; one that is removed meanwhile is left out."""
    symbols = [f"c{at:03}usdt" for at in range(200)]
    history = open_history(Settings(data_dir=tmp_path), symbols, EngineClock(MachineClocks()))
    for symbol in symbols:
        for at in range(3):
            history.record("binance", trade(NOW + at * MINUTE, f"{at}.5", symbol=symbol), "binance")
    turns = 0
    async with asyncio.TaskGroup() as tasks:
        made = tasks.create_task(sparks(history, "e1", 7))
        while not made.done():
            await asyncio.sleep(0)
            turns += 1
            if turns == 1:
                history.remove("c199usdt")
    found = msgspec.msgpack.decode(encode_value(made.result()), type=Sparks)

    assert turns >= 8
    assert (found.epoch, found.seq, found.interval_ms) == ("e1", 7, MINUTE)
    assert list(found.sparks) == symbols[:-1]
    assert found.sparks["c000usdt"] == [(NOW, "0.5"), (NOW + MINUTE, "1.5"), (NOW + 2 * MINUTE, "2.5")]
