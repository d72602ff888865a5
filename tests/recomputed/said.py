"""What a frame says, in one form for all venues; and the frames of a recording."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

Tops = tuple[str | None, str | None, str | None, str | None]  # bid, its size, ask, its size


class Said(NamedTuple):
    """Values of one instrument, in the venue's own texts; `key` None: the order of arrival counts.

    A trade has a price and a size; the figures of a day are `slow`: they give way to faster channels.
    """

    symbol: str
    channel: str
    key: int | None
    time: int | None
    price: str | None = None
    size: str | None = None
    tops: Tops | None = None
    volume: str | None = None
    slow: bool = False

    @property
    def is_trade(self) -> bool:
        """Whether it is a trade."""
        return not self.slow and self.tops is None


def frames(file: Path) -> Iterator[bytes]:
    """Read the frames that came from the venue, text or binary."""
    with gzip.open(file, "rt") if file.suffix == ".gz" else file.open(encoding="utf-8") as lines:
        for line in lines:
            _, kind, text = json.loads(line)
            if kind == "recv":
                yield text.encode()
            elif kind == "recv-hex":
                yield bytes.fromhex(text)


def parsed(frame: bytes) -> Any:
    """Parse JSON; numbers stay the texts that they are."""
    return json.loads(frame, parse_float=str, parse_int=str)


def joined(name: str) -> str:
    """Return the symbol of a venue's name such as BTC/USDT."""
    return "".join(each for each in name if each.isalnum()).lower()


def ms(text: str) -> int:
    """Return a time of ISO 8601 in ms."""
    return micros(text) // 1000


def micros(text: str) -> int:
    """Return a time of ISO 8601 in microseconds, cut off."""
    at = datetime.fromisoformat(text)
    return int(at.timestamp()) * 1_000_000 + at.microsecond


def nanos(text: str) -> int:
    """Return a time of ISO 8601 with a Z in nanoseconds."""
    seconds, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(f"{seconds}+00:00")
    return int(at.timestamp()) * 1_000_000_000 + int(fraction.ljust(9, "0"))


def first(levels: list[list[str]]) -> tuple[str | None, str | None]:
    """Return price and size of the first level; None if there is none."""
    return (levels[0][0], levels[0][1]) if levels else (None, None)
