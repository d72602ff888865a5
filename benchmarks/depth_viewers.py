"""Viewers of quotes and books: `python -m benchmarks.depth_viewers URL COUNT PAIRS`, each of one pair.

Prints {"ready": COUNT}; for each line of standard input, the ages in ms at which quotes and books arrived
since the line before.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import Any

import msgspec

from benchmarks.viewers import Sight, Viewer, connect

_EVENT = msgspec.json.Decoder(tuple[str, msgspec.Raw])


class _Quote(msgspec.Struct):
    bid_size: str | None


class _Venue(msgspec.Struct):
    bids: list[tuple[str, str]]


class _Depth(msgspec.Struct):
    venues: list[_Venue]


_QUOTES = msgspec.json.Decoder(list[_Quote])
_DEPTH = msgspec.json.Decoder(_Depth)


class Ages(Sight):
    """Remembers how old what arrived was; what repeats the last size shows another change."""

    def __init__(self) -> None:
        """Have seen nothing."""
        super().__init__()
        self.ages: dict[str, list[float]] = {"quotes": [], "depth": []}
        self._last: dict[str, str] = {}

    def take(self, message: bytes, now_s: float) -> None:
        """Look at one event of the server."""
        name, payload = _EVENT.decode(message)
        if name == "quotes":
            sizes = [quote.bid_size for quote in _QUOTES.decode(payload) if quote.bid_size]
        elif name == "depth":
            sizes = [venue.bids[0][1] for venue in _DEPTH.decode(payload).venues if venue.bids]
        else:
            return
        for size in sizes:
            if size != self._last.get(name):
                self._last[name] = size
                self.ages[name].append((now_s - float(size)) * 1000)


async def main(url: str, count: int, pairs: list[str]) -> None:
    """Connect, then answer the lines on standard input."""
    viewers: list[Viewer] = []
    for number, pair in enumerate(pairs):
        share = count // len(pairs) + (number < count % len(pairs))
        wish = {"symbols": [pair], "interval_ms": 0, "topics": ["depth"]}
        viewers += await connect(url, share, json.dumps(wish))
    sights = [Ages() for _ in viewers]
    for viewer, sight in zip(viewers, sights, strict=True):
        viewer.sight = sight
    _say({"ready": len(viewers)})
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while await lines.readline():
        _say(_taken(viewers, sights))


def _taken(viewers: list[Viewer], sights: list[Ages]) -> dict[str, Any]:
    names = ("quotes", "depth")
    found = {name: sorted(age for sight in sights for age in sight.ages[name]) for name in names}
    for sight in sights:
        sight.ages = {"quotes": [], "depth": []}
    lost = sum(viewer.lost for viewer in viewers)
    summaries = {name: _summary(ages) for name, ages in found.items()}
    return {"at": time.monotonic(), "lost": lost, **summaries}


def _summary(ages: list[float]) -> dict[str, float]:
    if not ages:
        return {"count": 0}
    last = len(ages) - 1
    at = {f"p{share:g}_ms": ages[min(last, int(len(ages) * share / 100))] for share in (50, 99, 99.9)}
    return {"count": len(ages), **at}


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3].split(",")))
