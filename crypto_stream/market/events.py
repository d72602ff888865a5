"""The two market data events that venues' frames are parsed into and the book merges."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from crypto_stream.market.instruments import Instrument

# The key of an event for which the venue gives no order: events are ordered as they arrive.
ARRIVAL = -1


class Update(msgspec.Struct, frozen=True, gc=False):
    """New values of an instrument, only the fields contained in the frame; numbers are the venue's own text.

    `key` is the venue's sequence number within (symbol, channel), or ARRIVAL; an event that is not newer is
    dropped. `time` is the venue's time in ms. `slow` marks the 24 h ticker: price, bid and ask of faster
    channels take precedence over its own.
    """

    instrument: Instrument
    channel: str
    key: int
    time: int | None = None
    price: str | UnsetType | None = UNSET
    bid: str | UnsetType | None = UNSET
    bid_size: str | UnsetType | None = UNSET
    ask: str | UnsetType | None = UNSET
    ask_size: str | UnsetType | None = UNSET
    open_24h: str | UnsetType | None = UNSET
    high_24h: str | UnsetType | None = UNSET
    low_24h: str | UnsetType | None = UNSET
    volume_24h: str | UnsetType | None = UNSET
    slow: bool = False

    @property
    def symbol(self) -> str:
        """The instrument's symbol."""
        return self.instrument.symbol


class Trade(msgspec.Struct, frozen=True, gc=False):
    """One trade; `key` is its id if ids increase per symbol, `size` is None if the venue does not send it."""

    instrument: Instrument
    channel: str
    key: int
    time: int | None
    price: str
    size: str | None

    @property
    def symbol(self) -> str:
        """The instrument's symbol."""
        return self.instrument.symbol
