"""Recorded frames of real venues through parser and book, against a recomputation that shares no code.

Skipped unless CRYPTO_STREAM_RECORDINGS names the folder of recordings, which are not part of the project.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from crypto_stream.feed.handler import UNREADABLE, DepthChange, Event, Ignored, Trade, Update
from crypto_stream.market.book import SourceBook
from handlers import binance, okx
from tests.handlers import reading

Figures = dict[str, tuple[str | None, str | None, str | None]]
HANDLERS: dict[str, Any] = {"binance": binance, "okx": okx}
FILES = [
    "binance/spot-20210404-btc-eth-dot.ndjson", "binance/spot-20210417.ndjson",
    "binance/spot-20210814.ndjson",
    "binance/us-spot-20210405.ndjson", "binance/singles.ndjson", "binance/documented-examples.ndjson",
    "okx/public-20220513.ndjson", "okx/okex-public-20210722.ndjson", "okx/singles.ndjson",
    "okx/documented-examples.ndjson",
]  # fmt: skip


@pytest.fixture
def recordings() -> Path:
    """The folder of recordings."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder)


def received(file: Path) -> Iterator[str]:
    """Read the texts of the frames that came from the venue."""
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            _, kind, text = json.loads(line)
            if kind == "recv":
                yield text


def label(event: Event) -> str:
    """Name what a frame is counted under, by its first event."""
    if isinstance(event, DepthChange):
        return "books"
    return event.channel if isinstance(event, Update | Trade | Ignored) else type(event).__name__


def played(file: Path, handler: Any) -> tuple[Counter[str], Figures]:
    """Feed a file through parser and book; return the counts and the final figures."""
    counts: Counter[str] = Counter()
    book, reader = SourceBook(), reading.reader(handler)
    for number, text in enumerate(received(file)):
        try:
            events = list(reader.read(text.encode()))
        except UNREADABLE:
            counts["malformed"] += 1
            continue
        counts[label(events[0])] += 1
        for event in events:
            if isinstance(event, Update | Trade):
                book.apply(event, number)
    return counts, {symbol: (e.bid, e.ask, e.price) for symbol, e in book.entries.items()}


class Recomputed:
    """The final figures by the rules alone: per channel the key must grow, and the newer time wins.

    The slow ticker gives way to the fast channels unless its time is later than theirs.
    """

    def __init__(self) -> None:
        self.keys: dict[tuple[str, str], int] = {}
        self.price: dict[str, tuple[str, int, bool]] = {}
        self.top: dict[str, tuple[str, str, int | None, bool]] = {}

    def newer(self, symbol: str, channel: str, key: int) -> bool:
        """Judge and remember the key."""
        if key <= self.keys.get((symbol, channel), -1):
            return False
        self.keys[symbol, channel] = key
        return True

    def set_price(self, symbol: str, price: str, time: int, slow: bool) -> None:
        """Take a last price."""
        held = self.price.get(symbol)
        if held is None or (time > held[1] if slow and not held[2] else time >= held[1]):
            self.price[symbol] = (price, time, slow)

    def set_top(self, symbol: str, bid: str, ask: str, time: int | None, slow: bool) -> None:
        """Take a top of book; without times (Binance) the slow one never wins here."""
        held = self.top.get(symbol)
        if held is not None and slow and not held[3] and (held[2] is None or time is None or time <= held[2]):
            return
        if held is None or time is None or held[2] is None or time >= held[2]:
            self.top[symbol] = (bid, ask, time, slow)

    def figures(self) -> Figures:
        """Return the final bid, ask and price per symbol."""
        none = (None, None)
        symbols = {symbol for symbol, _ in self.keys}
        return {
            each: (*(self.top[each][:2] if each in self.top else none), self.price.get(each, none)[0])
            for each in symbols
        }


def recompute_binance(file: Path) -> tuple[Counter[str], Figures]:
    """Recompute a Binance file: bookTicker is known by its stream, in raw mode by its keys."""
    counts: Counter[str] = Counter()
    state = Recomputed()
    for text in received(file):
        message = json.loads(text)
        stream = message.get("stream", "")
        data = message.get("data", message)
        name = stream if stream.startswith("!") else stream.partition("@")[2]
        raw = {"24hrTicker": "ticker"}.get(data.get("e", ""), data.get("e", "")) if not stream else ""
        channel = (
            name or raw or ("bookTicker" if "u" in data else "depth" if "lastUpdateId" in data else "answer")
        )
        counts[channel] += 1
        symbol = data["s"].lower() if isinstance(data, dict) and "s" in data else ""
        if channel == "bookTicker" and state.newer(symbol, channel, data["u"]):
            state.set_top(symbol, data["b"], data["a"], None, False)
        elif channel == "aggTrade" and state.newer(symbol, channel, data["a"]):
            state.set_price(symbol, data["p"], data["T"], False)
        elif channel == "ticker" and state.newer(symbol, channel, data["E"]):
            state.set_price(symbol, data["c"], data["E"], True)
            state.set_top(symbol, data["b"], data["a"], data["E"], True)
    return counts, state.figures()


def recompute_okx(file: Path) -> tuple[Counter[str], Figures]:
    """Recompute an OKX file: only ids of two parts are spot pairs."""
    counts: Counter[str] = Counter()
    state = Recomputed()
    for text in received(file):
        message: dict[str, Any] = {"event": "pong"} if text == "pong" else json.loads(text)
        if "event" in message:
            counts["answer"] += 1
            continue
        channel, name = message["arg"]["channel"], message["arg"].get("instId", "")
        spot = len(name.split("-")) == 2
        counts[channel if spot or not name else "not_subscribed"] += 1
        symbol = name.replace("-", "").lower()
        for item in message["data"] if spot else []:
            if channel == "tickers" and state.newer(symbol, channel, int(item["ts"])):
                state.set_price(symbol, item["last"], int(item["ts"]), True)
                state.set_top(symbol, item["bidPx"], item["askPx"], int(item["ts"]), True)
            elif channel == "bbo-tbt" and state.newer(symbol, channel, item.get("seqId", int(item["ts"]))):
                state.set_top(symbol, item["bids"][0][0], item["asks"][0][0], int(item["ts"]), False)
            elif channel == "trades" and state.newer(symbol, channel, int(item["tradeId"])):
                state.set_price(symbol, item["px"], int(item["ts"]), False)
    return counts, state.figures()


@pytest.mark.parametrize("name", FILES)
def test_a_recording_gives_the_recomputed_figures(recordings: Path, name: str) -> None:
    """Every frame is counted once, by channel, and final bid, ask and price are the recomputed texts."""
    file = recordings / name
    venue = name.partition("/")[0]
    counts, figures = played(file, HANDLERS[venue])
    expected_counts, expected = (recompute_binance if venue == "binance" else recompute_okx)(file)
    answers = {"Acked", "Refused", "Moving", "Pong"}
    # A frame that says something about the connection has a kind, not a channel.
    merged = Counter(
        {channel: count for channel, count in counts.items() if channel not in answers}
        | {"answer": sum(count for channel, count in counts.items() if channel in answers)}
    )

    assert sum(counts.values()) == sum(1 for _ in received(file))
    assert counts["malformed"] == 0
    assert +merged == by_kind(expected_counts)
    assert figures == expected
    assert figures


def by_kind(counts: Counter[str]) -> Counter[str]:
    """Count announcements of a shutdown among the answers, as the parsers do."""
    moved = {"serverShutdown", "!serverShutdown"}
    kinds = Counter({channel: count for channel, count in counts.items() if channel not in moved})
    kinds["answer"] += sum(counts[channel] for channel in moved)
    return +kinds
