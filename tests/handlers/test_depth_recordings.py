"""Recorded books of six venues, on a line that loses frames: each ladder is that of a correct rebuild.

The rebuild here shares no code with ours. Skipped unless CRYPTO_STREAM_RECORDINGS names the folder.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from handlers import kraken
from tests.feed.losing import Line, Moment, Receiver, follow

Side = dict[Decimal, tuple[str, str]]
PARTS = int(os.environ.get("CRYPTO_STREAM_DEPTH_ROUNDS", "3"))  # rounds with other losses each


@pytest.fixture
def recordings() -> Path:
    """The folder of recordings."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder)


class Rebuild:
    """A venue's book by the rule alone: a size of 0 removes, the worst beyond `depth` are dropped."""

    def __init__(self, depth: int | None = None) -> None:
        self.sides: tuple[Side, Side] = ({}, {})
        self._depth = depth

    def put(self, is_ask: bool, price: str, size: str) -> None:
        """Set one level."""
        side, key = self.sides[is_ask], Decimal(price)
        side.pop(key, None)
        if Decimal(size):
            side[key] = (price, size)

    def best(self, is_ask: bool, count: int = 400) -> list[tuple[str, str]]:
        """List a side, best first, and drop what the venue drops."""
        side = self.sides[is_ask]
        keys = sorted(side, reverse=not is_ask)
        for key in keys[self._depth :] if self._depth is not None else []:
            del side[key]
        return [side[key] for key in keys[: self._depth][:count]]

    def moment(self, frame: str, snapshot: str) -> Moment:
        """Return what is right after a frame."""
        bids, asks = (
            [(Decimal(price), Decimal(size)) for price, size in self.best(is_ask, 20)]
            for is_ask in (False, True)
        )
        return Moment(frame, snapshot, bids, asks)


def received(file: Path) -> Iterator[str]:
    """Read the texts of the frames that came from the venue."""
    raw = gzip.open if file.suffix == ".gz" else open
    with raw(file, "rt", encoding="utf-8") as lines:
        for line in lines:
            _, kind, text = json.loads(line)
            if kind == "recv":
                yield text


def kraken_moments(folder: Path) -> Iterator[Moment]:
    """Restore the eight decimals of quantities, which were lost when the file was written."""
    book = Rebuild(depth=10)
    for text in received(folder / "kraken" / "v2-book-2023-btcusd.ndjson"):
        message = json.loads(text, parse_float=str, parse_int=str)
        item = message["data"][0]
        for is_ask, name in ((False, "bids"), (True, "asks")):
            for level in item[name]:
                book.put(is_ask, f"{Decimal(level['price']):.1f}", f"{Decimal(level['qty']):.8f}")
        tail = f'"checksum":{item["checksum"]}}}]}}'
        sides = [
            ",".join(
                f'{{"price":{Decimal(level["price"]):.1f},"qty":{Decimal(level["qty"]):.8f}}}'
                for level in item[name]
            )
            for name in ("bids", "asks")
        ]
        head = f'{{"channel":"book","type":"{message["type"]}","data":[{{"symbol":"BTC/USD",'
        whole = [
            ",".join(f'{{"price":{price},"qty":{size}}}' for price, size in book.best(is_ask))
            for is_ask in (False, True)
        ]
        yield book.moment(
            f'{head}"bids":[{sides[0]}],"asks":[{sides[1]}],{tail}',
            f'{head.replace("update", "snapshot")}"bids":[{whole[0]}],"asks":[{whole[1]}],{tail}',
        )


def okx_moments(folder: Path) -> Iterator[Moment]:
    """Play the one spot pair of 2022; it has no numbers, but checksums."""
    book = Rebuild(depth=400)
    for text in received(folder / "okx" / "public-20220513.ndjson"):
        message = json.loads(text) if text != "pong" else {}
        if message.get("arg", {}) != {"channel": "books", "instId": "BTC-USDT"} or "data" not in message:
            continue
        item = message["data"][0]
        for is_ask, name in ((False, "bids"), (True, "asks")):
            for price, size, *_ in item[name]:
                book.put(is_ask, price, size)
        whole = {name: [[*level, "0", "1"] for level in book.best(is_ask)] for is_ask, name in
                 ((False, "bids"), (True, "asks"))}  # fmt: skip
        snapshot = message | {"action": "snapshot", "data": [item | whole]}
        yield book.moment(text, json.dumps(snapshot, separators=(",", ":")))


def coinbase_moments(folder: Path) -> Iterator[Moment]:
    """Play ETH-USD of 2026, whose book has tens of thousands of levels."""
    book = Rebuild()
    for text in received(folder / "coinbase" / "advanced-20260809-part1.ndjson.gz"):
        if '"l2_data"' not in text[:40] or '"ETH-USD"' not in text[:300]:
            continue
        message: dict[str, Any] = json.loads(text)
        for each in message["events"][0]["updates"]:
            book.put(each["side"] == "offer", each["price_level"], each["new_quantity"])
        event = {"type": "snapshot", "product_id": "ETH-USD", "updates": [
            {"side": side, "event_time": "", "price_level": price, "new_quantity": size}
            for is_ask, side in ((False, "bid"), (True, "offer")) for price, size in book.best(is_ask, 1_000)
        ]}  # fmt: skip
        yield book.moment(text, json.dumps(message | {"events": [event]}, separators=(",", ":")))


def bitfinex_moments(folder: Path) -> Iterator[Moment]:
    """Play the busiest book of 2021, level by level; no frame of the connection is missing."""
    book, number, channel = Rebuild(), 0, 0
    for text in received(folder / "bitfinex" / "spot-20210417.ndjson"):
        message = json.loads(text, parse_float=str)
        if isinstance(message, dict):
            is_its = (message.get("channel"), message.get("symbol")) == ("book", "tIOTETH")
            channel = message["chanId"] if is_its else channel
            continue
        assert not number or message[-1] == number + 1
        number = message[-1]
        if message[0] != channel or message[1] == "hb":
            continue
        rows = message[1] if isinstance(message[1][0], list) else [message[1]]
        for price, orders, amount in rows:
            size = str(amount).removeprefix("-")
            book.put(str(amount).startswith("-"), str(price), size if orders else "0")
        levels = [f"[{price},1,{sign}{size}]" for is_ask, sign in ((False, ""), (True, "-"))
                  for price, size in book.best(is_ask)]  # fmt: skip
        payload = text[text.index(",") : text.rindex(",")]
        yield book.moment(f"[1{payload}]", f"[1,[{','.join(levels)}]]")


def bybit_moments(folder: Path) -> Iterator[Moment]:
    """Play BTCUSDT of 2026; no number is missing, and each side always has 200 levels."""
    book, number = Rebuild(), 0
    for text in received(folder / "bybit" / "spot-20260809.ndjson"):
        message = json.loads(text)
        if message.get("topic") != "orderbook.200.BTCUSDT":
            continue
        data = message["data"]
        assert message["type"] == "snapshot" or data["u"] == number + 1
        number = data["u"]
        for is_ask, name in ((False, "b"), (True, "a")):
            for price, size in data[name]:
                book.put(is_ask, price, size)
            assert len(book.best(is_ask)) == 200
        whole = data | {"b": book.best(False), "a": book.best(True)}
        snapshot = message | {"type": "snapshot", "data": whole}
        yield book.moment(text, json.dumps(snapshot, separators=(",", ":")))


def binance_moments(folder: Path) -> Iterator[Moment]:
    """Rebuild the book of 2021 by its changes, and send its first 20 levels as the venue's stream does."""
    book, number = Rebuild(), 0
    file = folder / "rest" / "binance-depth-BTCUSDT-20210404.json.gz"
    first = json.loads(gzip.decompress(file.read_bytes()))
    for is_ask, name in ((False, "bids"), (True, "asks")):
        for price, size in first[name]:
            book.put(is_ask, price, size)
    for text in received(folder / "binance" / "spot-20210404-btc-eth-dot.ndjson"):
        message = json.loads(text)
        data = message["data"]
        if message["stream"] != "btcusdt@depth@100ms" or data["u"] <= first["lastUpdateId"]:
            continue
        assert not number or data["U"] == number + 1
        number = data["u"]
        for is_ask, name in ((False, "b"), (True, "a")):
            for price, size in data[name]:
                book.put(is_ask, price, size)
        levels = {"lastUpdateId": number, "bids": book.best(False, 20), "asks": book.best(True, 20)}
        frame = json.dumps({"stream": "btcusdt@depth20@100ms", "data": levels}, separators=(",", ":"))
        yield book.moment(frame, frame)


INTRODUCTIONS = {"bitfinex": ['{"event":"subscribed","channel":"book","chanId":1,"symbol":"tIOTETH"}']}
MOMENTS = {
    "binance": (binance_moments, "btcusdt"),
    "bitfinex": (bitfinex_moments, "iotaeth"),
    "bybit": (bybit_moments, "btcusdt"),
    "coinbase": (coinbase_moments, "ethusd"),
    "kraken": (kraken_moments, "btcusd"),
    "okx": (okx_moments, "btcusdt"),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", MOMENTS)
def test_recorded_books_on_a_line_that_loses(
    recordings: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without losses each ladder is right at each moment; with them it is right, or unknown and rebuilt."""
    monkeypatch.setattr(kraken.Reader, "levels", 10)  # as recorded
    make, symbol = MOMENTS[name]
    moments, introduction = list(make(recordings)), INTRODUCTIONS.get(name, ())
    clean = follow(iter(moments), Line("none", 0.0, 0), Receiver(name, symbol, introduction))

    assert clean.frames > 50
    assert (clean.known, clean.requested) == (clean.frames, 1)
    spoiled = dict.fromkeys(("drop", "cut", "repeat", "swap"), 0)
    for seed in range(PARTS):
        for kind in spoiled:
            lossy = follow(iter(moments), Line(kind, 0.02, seed), Receiver(name, symbol, introduction))
            spoiled[kind] += lossy.spoiled

            assert lossy.known > 0.2 * lossy.frames
    assert all(spoiled.values())
