"""What a minimal viewer parses: the end of a WebSocket frame, and the quotes in it."""

from __future__ import annotations

import zlib

import msgspec

_EVENT = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_DEFLATED = 0x40


class Seen(msgspec.Struct, frozen=True):
    """The fields of a quote that are checked; a delta leaves out what did not change."""

    symbol: str
    seq: int
    price: str | None = None
    bid_size: str | None = None


_QUOTES = msgspec.json.Decoder(list[Seen])


class Shot:
    """One frame that many viewers get, decoded once."""

    __slots__ = ("first", "last", "name", "newest", "stamp_us")

    def __init__(self, name: str, quotes: list[Seen]) -> None:
        """Keep the range of `seq`, the newest values and the moment they were made."""
        self.name = name
        self.first = min((quote.seq for quote in quotes), default=0)
        self.last = max((quote.seq for quote in quotes), default=0)
        self.newest = {quote.symbol: [quote.price, quote.bid_size] for quote in quotes}
        self.stamp_us = _stamp_us(quotes[0].bid_size) if quotes else 0


def read_event(text: bytes) -> Shot:
    """Decode `["name", payload]`; raise MsgspecError for anything else."""
    name, payload = _EVENT.decode(text)
    return Shot(name, _QUOTES.decode(payload) if name in ("quotes", "snapshot") else [])


def inflated(first: int, payload: bytes) -> bytes:
    """Return a frame's payload, decompressed if its first byte says so."""
    if not first & _DEFLATED:
        return payload
    return zlib.decompressobj(-15).decompress(payload + b"\0\0\xff\xff")


def bounds(data: bytes, at: int) -> tuple[int, int]:
    """Return where the payload of the frame at `at` begins and ends; beyond the data if it is incomplete."""
    missing = len(data) + 1
    if len(data) - at < 2:
        return missing, missing
    size = data[at + 1]  # a server's frames are not masked
    if size < 126:
        return at + 2, at + 2 + size
    head = 4 if size == 126 else 10
    if len(data) - at < head:
        return missing, missing
    return at + head, at + head + int.from_bytes(data[at + 2 : at + head], "big")


def _stamp_us(text: str | None) -> int:
    seconds, _, part = (text or "0").partition(".")
    return int(seconds) * 1_000_000 + int(part.ljust(6, "0")[:6] or 0)
