"""CPU from a venue's frame to a quote in the book: `python -m benchmarks.parse` (about 1 minute; --quick).

The same Binance `bookTicker` frames (recorded ones where CRYPTO_STREAM_RECORDINGS names their folder) go
through our parser and book, through cryptofeed's Binance feed and through ccxt's, each in a process of its
own on the first core and each as its own connection would hand a frame over. CPU time of the process.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import click

from benchmarks.on_core import SERVER
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import on_core

_RECORDED = ("spot-20210417.ndjson", "spot-20210814.ndjson", "us-spot-20210405.ndjson")
_MADE = 2000  # synthetic frames, if there is no recording
_HEADINGS = ("handler", "µs/frame", "x cryptofeed", "x ccxt", "frames", "rounds", "runs")

Play = Callable[[], int]


@click.command(help=__doc__)
@options("parse")
@click.option("--seconds", default=2.0, show_default=True, help="Least CPU time of each run.")
def main(runs: int, quick: bool, only: str, output: Path, seconds: float) -> None:
    """Measure every handler in turn, print the table, write the results."""
    if quick:
        runs, seconds = 1, 0.05
    names = chosen(_HANDLERS, only)
    frames, origin = _frames(quick=quick)
    with tempfile.TemporaryDirectory(prefix="parse-") as place:
        (file := Path(place) / "frames.json").write_text(json.dumps(frames), "utf-8")
        rows = interleaved(names, runs, partial(_measure, file=file, seconds=seconds))
    middle = medians(names, rows)
    lines: list[list[object]] = []
    for name in names:
        row = middle.get(name)
        if row is None:
            lines.append([name, "void", None, None, None, None, None])
            continue
        mine = row["us_per_frame"]
        ratios = [ratio(mine, middle.get(other, {}).get("us_per_frame")) for other in ("cryptofeed", "ccxt")]
        lines.append([name, mine, *ratios, *(row[key] for key in ("frames", "rounds", "runs"))])
    setting = {"frames": len(frames), "origin": origin, "first_frame": frames[0], "seconds": seconds}
    finish(output, _HEADINGS, lines, {"setting": setting, "medians": middle, "runs": rows})


def _frames(*, quick: bool) -> tuple[list[str], str]:
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        return _made(), "written by hand"
    files = [Path(folder) / "binance" / name for name in _RECORDED[: 1 if quick else None]]
    lines = (json.loads(line) for file in files for line in file.read_text("utf-8").splitlines())
    frames = [line[2] for line in lines if line[1] == "recv" and "@bookTicker" in line[2][:60]]
    return frames, ", ".join(file.name for file in files)


def _made() -> list[str]:
    frames = []
    for number in range(_MADE):
        name = ("BTCUSDT", "ETHUSDT", "XRPUSDT")[number % 3]
        top = {"u": 400_900_217 + number, "s": name, "b": f"{25000 + number}.35190000", "B": "31.21000000"}
        data = top | {"a": f"{25001 + number}.36520000", "A": "40.66000000"}
        frame = {"stream": f"{name.lower()}@bookTicker", "data": data}
        frames.append(json.dumps(frame, separators=(",", ":")))
    return frames


def _measure(name: str, file: Path, seconds: float) -> Row:
    command = [sys.executable, "-m", "benchmarks.parse", "--handler", name, str(file), str(seconds)]
    with on_core(SERVER, command) as process:
        row: Row = json.loads(process.line(60 + 20 * seconds))
    return row


def _time(make: Callable[[list[str]], Play], frames: list[str], seconds: float) -> Row:
    """Play all frames repeatedly; each round starts with an empty book."""
    play = make(frames)
    read = play()  # a warm-up that also checks that every frame became a quote
    if read != len(frames):
        raise SystemExit(f"{read} of {len(frames)} frames were read")
    rounds, began = 0, time.process_time()
    while (used := time.process_time() - began) < seconds:
        play()
        rounds += 1
    return {"us_per_frame": used / rounds / len(frames) * 1e6, "frames": len(frames), "rounds": rounds}


def _ours(frames: list[str], *, compose: bool = False) -> Play:
    from crypto_stream.feed.handler import Update
    from crypto_stream.feed.loading import load_source
    from crypto_stream.feed.names import Discovered
    from crypto_stream.feed.sources import Venue
    from crypto_stream.market.book import SourceBook

    source = load_source("binance", None, {})
    assert isinstance(source, Venue)
    raw = [frame.encode() for frame in frames]  # our connections read bytes
    found = Discovered(source.pair_of, {}, {})
    seen = [event for one in raw for event in source.reader(found).read(one) if isinstance(event, Update)]
    read_frame = source.reader({each: found[each] for each in found}).read
    instruments = {event.symbol: event.instrument for event in seen}

    def play() -> int:
        book, read = SourceBook(), 0
        for frame in raw:
            now = time.monotonic_ns()
            for event in read_frame(frame):
                assert isinstance(event, Update)
                book.apply(event, now)
                if compose:
                    symbol = event.instrument.symbol
                    entry, one = book.entries[symbol], instruments[symbol]
                    entry.quote(one, "binance", received=1, published=2, seq=read, stale=False)
                read += 1
        return read

    return play


def _ours_composed(frames: list[str]) -> Play:
    return _ours(frames, compose=True)


def _cryptofeed(frames: list[str]) -> Play:
    from cryptofeed.defines import TICKER
    from cryptofeed.exchanges import Binance
    from cryptofeed.symbols import Symbols

    names = {json.loads(frame)["data"]["s"] for frame in frames}
    known = {f"{name[:-4]}-{name[-4:]}": name for name in names}
    Symbols.set(Binance.id, known, {"instrument_type": dict.fromkeys(known, "spot")})
    newest: dict[str, tuple[Decimal, Decimal]] = {}
    read = 0

    async def took(ticker: Any, received: float) -> None:
        nonlocal read
        newest[ticker.symbol] = (ticker.bid, ticker.ask)
        read += 1

    feed = Binance(symbols=list(known), channels=[TICKER], callbacks={TICKER: took})
    loop = asyncio.new_event_loop()

    async def all_of_them() -> None:
        for frame in frames:
            await feed.message_handler(frame, None, time.time())

    def play() -> int:
        nonlocal read
        newest.clear()
        read = 0
        loop.run_until_complete(all_of_them())
        return read

    return play


def _ccxt(frames: list[str]) -> Play:
    import ccxt.pro
    from ccxt.async_support.base.ws.client import Client

    venue = ccxt.pro.binance()
    names = {json.loads(frame)["data"]["s"] for frame in frames}
    venue.set_markets([ccxt_market(name) for name in names])
    # ccxt subscribes to raw streams, so it gets the frames without their wrapper, which is less to parse.
    bare = [frame[frame.index('"data":') + 7 : -1] for frame in frames]
    url = "wss://stream.binance.com:9443/ws/0"
    client = Client(url, venue.handle_message, lambda *_: None, lambda *_: None, lambda *_: None, {})

    def play() -> int:
        venue.bidsasks.clear()
        read = 0
        for frame in bare:
            client.handle_text_or_binary_message(frame)
            read += 1
        return read if venue.bidsasks else 0

    return play


def ccxt_market(name: str) -> dict[str, Any]:
    """Describe a market of Binance as ccxt does."""
    base, quote = name[:-4], name[-4:]
    market = {
        "id": name,
        "lowercaseId": name.lower(),
        "symbol": f"{base}/{quote}",
        "base": base,
        "quote": quote,
        "baseId": base,
    }
    return market | {
        "quoteId": quote,
        "type": "spot",
        "spot": True,
        "active": True,
        "precision": {},
        "limits": {},
    }


_HANDLERS: dict[str, Callable[[list[str]], Play]] = {
    "Crypto Stream": _ours,
    "Crypto Stream, quote composed": _ours_composed,
    "cryptofeed": _cryptofeed,
    "ccxt": _ccxt,
}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--handler"]:
        _, _, handler, source, least = sys.argv
        print(
            json.dumps(_time(_HANDLERS[handler], json.loads(Path(source).read_text("utf-8")), float(least)))
        )
    else:
        main()
