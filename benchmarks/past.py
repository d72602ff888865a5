"""A history as after a long run, for measuring its size and the speed of queries."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from crypto_stream.market.bars import INTERVALS, Bar
from crypto_stream.storage.interface import Batch, StoredBar
from crypto_stream.storage.sqlite_history import SqliteHistoryWriter

_AT_ONCE = 20_000
Make = Callable[[int, random.Random], Bar]


def ticker(time_ms: int, chance: random.Random) -> Bar:
    """Make a bar as the synthetic source does: short numbers, no sizes."""
    price = chance.randrange(-300, 300)
    return Bar(time_ms, str(price), str(price + 1), str(price - 1), str(price), None, 1, "synthetic")


def pair(time_ms: int, chance: random.Random) -> Bar:
    """Make a bar as of a busy Binance pair: eight decimal places, an exact volume."""
    price = chance.uniform(58_000, 64_000)
    first, high, low, last = (f"{price + off:.2f}000000" for off in (0, 9.5, -7.25, 3))
    volume = f"{chance.uniform(0, 20):.5f}000"
    return Bar(time_ms, first, high, low, last, volume, chance.randrange(1, 60), "binance")


def fill(path: Path, symbols: list[str], lengths_ms: dict[str, int], make: Make = ticker) -> int:
    """Write gapless bars up to now, of the given length in ms per interval; return how many."""
    writer = SqliteHistoryWriter(path)
    end_ms = time.time_ns() // 1_000_000
    count = 0
    bars = _bars(symbols, lengths_ms, end_ms, make)
    while batch := list(islice(bars, _AT_ONCE)):
        writer.write(Batch(batch, [], end_ms))
        count += len(batch)
    writer.close()
    return count


def _bars(symbols: list[str], lengths_ms: dict[str, int], end_ms: int, make: Make) -> Iterator[StoredBar]:
    chance = random.Random(1)
    for symbol in symbols:
        for interval, length_ms in lengths_ms.items():
            step = INTERVALS[interval]
            last = end_ms // step * step
            for at in range(last - length_ms, last, step):
                yield StoredBar(symbol, interval, make(at, chance))
