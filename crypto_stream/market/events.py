"""What a venue's frame says about an instrument: the two events the book understands."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from crypto_stream.market.instruments import Instrument

# The key of an event whose venue says no order: it is the order of arrival.
ARRIVAL = -1


class Update(msgspec.Struct, frozen=True, gc=False):
    """Carry only the fields one frame gives; every number is the venue's own text.

    `key` is the venue's own order within (symbol, channel), or ARRIVAL: what is not newer is dropped. `time`
    is the venue's time in ms. `slow` marks the 24 h ticker, whose price, bid and ask give way to faster
    channels.
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
    """One trade; `key` is its id where ids grow per symbol, `size` None where the venue gives none."""

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
