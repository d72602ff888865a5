"""What each channel of one instrument at one source gave last, and what it shows of the others. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from msgspec import UNSET, UnsetType

from crypto_stream.market.events import Trade, Update

Channel = Literal["top", "trades", "day"]
CHANNELS: tuple[Channel, ...] = ("top", "trades", "day")
# Trades come in bursts: the usual pause between two is a mean over about so many.
_SHARE = 8
# What one channel shows of another within this time after the other's last data may be that very data.
LAG_NS = 1_000_000_000

_Text = str | UnsetType | None


class Channels:
    """Times on the monotonic clock, in ns; 0 for never. Only what the book took counts.

    `top_ns`, `trades_ns` and `day_ns` are when each channel last gave something new: the same values under
    a newer key are none. The 24 h figures came last at `told_ns`. At `traded_ns` another channel
    first showed a trade that is later than the last one given, at `topped_ns` another top of book; at
    `day_due_ns` came the first trade that the 24 h figures do not hold. `pause_ns` is the usual time between
    two trades, None before the second. `gives` collects which channels there are.
    """

    __slots__ = (
        *("top_ns", "trades_ns", "day_ns", "told_ns", "traded_ns", "topped_ns", "day_due_ns", "pause_ns"),
        *("_trades_before_ns", "_top", "_day", "_generation", "_gives"),
    )

    def __init__(self, gives: set[Channel] | None = None) -> None:
        self._gives = set[Channel]() if gives is None else gives
        self.top_ns = self.trades_ns = self.day_ns = self.told_ns = 0
        self.traded_ns = self.topped_ns = self.day_due_ns = 0
        self.pause_ns: float | None = None
        self._trades_before_ns = 0
        self._top: Update | None = None
        self._day: Update | None = None
        self._generation = 0

    @property
    def tell_trades(self) -> bool:
        """Say whether the 24 h figures show that there was a trade."""
        return self._day is not None and (self._day.price, self._day.volume_24h) != (UNSET, UNSET)

    @property
    def tell_top(self) -> bool:
        """Say whether the 24 h figures come with bid and ask."""
        return self._day is not None and (self._day.bid, self._day.ask) != (UNSET, UNSET)

    def took(self, event: Update | Trade, received_ns: int, generation: int) -> None:
        """Note an event that the book took; what was shown on an older connection proves nothing on this."""
        if generation > self._generation:
            self._generation, self._day = generation, None
            self.told_ns = self.traded_ns = self.topped_ns = self.day_due_ns = 0
        if isinstance(event, Trade):
            self._took_trade(event, received_ns)
        elif event.slow:
            self._took_day(event, received_ns)
        elif event.bid is not UNSET or event.ask is not UNSET:
            top = self._top
            if (
                top is None or event.bid != top.bid or event.ask != top.ask
                or event.bid_size != top.bid_size or event.ask_size != top.ask_size
            ):  # fmt: skip
                if top is None:
                    self._gives.add("top")
                self.top_ns, self._top = received_ns, event

    def useless_trade(self) -> None:
        """Take the last trade back: it has no time, or came too late for its bar."""
        if self.day_due_ns == self.trades_ns:
            self.day_due_ns = 0
        self.trades_ns = self._trades_before_ns

    def last_ns(self, channel: Channel) -> int:
        """Tell when `channel` last gave something new."""
        if channel == "top":
            return self.top_ns
        return self.trades_ns if channel == "trades" else self.day_ns

    def _took_trade(self, trade: Trade, received_ns: int) -> None:
        last_ns = self._trades_before_ns = self.trades_ns
        if not last_ns:
            self._gives.add("trades")
        else:
            passed, usual = received_ns - last_ns, self.pause_ns
            self.pause_ns = passed if usual is None else usual + (passed - usual) / _SHARE
        self.trades_ns = received_ns
        if received_ns - self.day_ns > LAG_NS and self.day_due_ns <= self.day_ns:
            self.day_due_ns = received_ns
        if self._top and received_ns - self.top_ns > LAG_NS and self._is_beyond(self._top, trade.price):
            self._show_top(received_ns)

    def _is_beyond(self, top: Update, price: str) -> bool:
        at = Decimal(price)
        below = isinstance(top.bid, str) and at < Decimal(top.bid)
        return below or (isinstance(top.ask, str) and at > Decimal(top.ask))

    def _took_day(self, day: Update, received_ns: int) -> None:
        before, came_ns = self._day, self.told_ns
        if before is None:
            self._gives.add("day")
        # Figures without a volume may stay the same while trades go on.
        if before is None or _figures_of(day) != _figures_of(before) or not isinstance(day.volume_24h, str):
            self.day_ns = received_ns
        if before is not None:
            # The last price changes by trades only; the volume of 24 h grows by trades only.
            traded = day.price != before.price or _grew(day.volume_24h, before.volume_24h)
            if traded and came_ns > self.trades_ns + LAG_NS and self.traded_ns <= self.trades_ns:
                self.traded_ns = received_ns
            if (day.bid, day.ask) != (before.bid, before.ask) and came_ns > self.top_ns + LAG_NS:
                self._show_top(received_ns)
        self.told_ns, self._day = received_ns, day

    def _show_top(self, received_ns: int) -> None:
        if self.topped_ns <= self.top_ns:
            self.topped_ns = received_ns


def _figures_of(day: Update) -> tuple[_Text, ...]:
    return day.price, day.open_24h, day.high_24h, day.low_24h, day.volume_24h


def _grew(text: _Text, before: _Text) -> bool:
    if text == before or not isinstance(text, str) or not isinstance(before, str):
        return False
    return Decimal(text) > Decimal(before)
