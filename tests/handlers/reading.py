"""Handlers' readers as tests use them: over whatever instruments the frames name."""

from __future__ import annotations

from typing import Any

from crypto_stream.feed.handler import TOPICS, UNREADABLE, DepthChange, Event, Instrument, Listed, Wanted
from crypto_stream.feed.names import Discovered, Names
from crypto_stream.market.instruments import pair

UNREADABLE_ERRORS = UNREADABLE


def reader(handler: Any) -> Any:
    """Make a reader that knows every instrument a frame can name."""
    return handler.Reader(Discovered(handler.pair_of, {}, {}))


def read(handler: Any, frame: bytes) -> list[Event]:
    """Read one frame on a connection of its own."""
    return list(reader(handler).read(frame))


def change(handler: Any, text: str) -> DepthChange:
    """Read a frame that is one book."""
    (event,) = read(handler, text.encode())
    assert isinstance(event, DepthChange)
    return event


def wanted(handler: Any, *pairs: str) -> list[Wanted]:
    """Want every topic of pairs written as `BTC-USDT`."""
    instruments = [pair(each) for each in pairs]
    return [
        Wanted(handler.venue_id(instrument), instrument, topic)
        for instrument in instruments
        for topic in TOPICS
    ]


def by_symbol(handler: Any, listed: list[Listed]) -> dict[str, Listed]:
    """Return a venue's list by our symbols, all of it."""
    instruments = [Instrument(f"{each.base}{each.quote}".lower(), each.base, each.quote) for each in listed]
    return Names("venue", handler.venue_id, instruments, {}).learn(listed)
