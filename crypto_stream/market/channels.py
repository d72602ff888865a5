"""When each channel of an instrument at a source last delivered data, and evidence that another should have.

If the 24 h figures show a new last price but no trade arrived, the trades channel is probably broken. Pure.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from msgspec import UNSET, UnsetType

from crypto_stream.market.events import Trade, Update

Channel = Literal["top", "trades", "day"]
CHANNELS: tuple[Channel, ...] = ("top", "trades", "day")
# Trades come in bursts: the usual pause between two is averaged over about this many.
_AVERAGED_PAUSES = 8
# Channels lag behind each other: evidence within this time after a channel's data may be of that same data.
LAG_NS = 1_000_000_000

_Text = str | UnsetType | None


class Channels:
    """Times on the monotonic clock, in ns, 0 for never; only events that the book accepted count.

    - `top_ns`, `trades_ns`, `day_ns`: when the channel last delivered new values
    - `day_received_ns`: when the 24 h figures were last received, changed or not
    - `trade_evidence_ns`: when the 24 h figures first showed a trade that was not delivered
    - `top_evidence_ns`: when another channel first showed a top of book that was not delivered
    - `day_due_ns`: when the first trade arrived that is not contained in the 24 h figures
    - `pause_ns`: the usual time between two trades; None before the second trade

    `gives`, which all instruments of a source share, collects the channels that the source has.
    """

    __slots__ = (
        "_day",
        "_generation",
        "_gives",
        "_previous_trades_ns",
        "_top",
        "day_due_ns",
        "day_ns",
        "day_received_ns",
        "pause_ns",
        "top_evidence_ns",
        "top_ns",
        "trade_evidence_ns",
        "trades_ns",
    )

    def __init__(self, gives: set[Channel] | None = None) -> None:
        self._gives = set[Channel]() if gives is None else gives
        self.top_ns = self.trades_ns = self.day_ns = self.day_received_ns = 0
        self.trade_evidence_ns = self.top_evidence_ns = self.day_due_ns = 0
        self.pause_ns: float | None = None
        self._previous_trades_ns = 0
        self._top: Update | None = None
        self._day: Update | None = None
        self._generation = 0

    @property
    def shows_trades(self) -> bool:
        """Whether the 24 h figures contain something that changes with each trade."""
        return self._day is not None and (self._day.price, self._day.volume_24h) != (UNSET, UNSET)

    @property
    def shows_top(self) -> bool:
        """Whether the 24 h figures contain bid and ask."""
        return self._day is not None and (self._day.bid, self._day.ask) != (UNSET, UNSET)

    def observe(self, event: Update | Trade, received_ns: int, generation: int) -> None:
        """Record an event that the book accepted; evidence from an earlier connection is discarded."""
        if generation > self._generation:
            self._begin(generation)
        if isinstance(event, Trade):
            self._observe_trade(event, received_ns)
        elif event.slow:
            self._observe_day(event, received_ns)
        else:
            self.observe_top(event, received_ns, generation)

    def observe_top(self, event: Update, received_ns: int, generation: int) -> None:
        """Record an event with a top of book that is no 24 h figure, by far the most frequent one."""
        if generation > self._generation:
            self._begin(generation)
        top = self._top
        if top is None or (  # sizes first: they change most often
            event.bid_size != top.bid_size or event.ask_size != top.ask_size
            or event.bid != top.bid or event.ask != top.ask
        ):  # fmt: skip
            if event.bid is UNSET and event.ask is UNSET:
                return
            if top is None:
                self._gives.add("top")
            self.top_ns = received_ns
            self._top = event

    def _begin(self, generation: int) -> None:
        self._generation, self._day = generation, None
        self.day_received_ns = self.trade_evidence_ns = self.top_evidence_ns = self.day_due_ns = 0

    def retract_trade(self) -> None:
        """Do not count the last trade: it has no time, or arrived too late for its bar."""
        if self.day_due_ns == self.trades_ns:
            self.day_due_ns = 0
        self.trades_ns = self._previous_trades_ns

    def last_ns(self, channel: Channel) -> int:
        """Return when `channel` last delivered new values."""
        if channel == "top":
            return self.top_ns
        return self.trades_ns if channel == "trades" else self.day_ns

    def _observe_trade(self, trade: Trade, received_ns: int) -> None:
        last_ns = self._previous_trades_ns = self.trades_ns
        if not last_ns:
            self._gives.add("trades")
        else:
            passed, usual = received_ns - last_ns, self.pause_ns
            self.pause_ns = passed if usual is None else usual + (passed - usual) / _AVERAGED_PAUSES
        self.trades_ns = received_ns
        if received_ns - self.day_ns > LAG_NS and self.day_due_ns <= self.day_ns:
            self.day_due_ns = received_ns
        if self._top and received_ns - self.top_ns > LAG_NS and self._is_beyond(self._top, trade.price):
            self._note_top_evidence(received_ns)

    def _is_beyond(self, top: Update, price: str) -> bool:
        at = Decimal(price)
        below = isinstance(top.bid, str) and at < Decimal(top.bid)
        return below or (isinstance(top.ask, str) and at > Decimal(top.ask))

    def _observe_day(self, day: Update, received_ns: int) -> None:
        before, before_ns = self._day, self.day_received_ns
        if before is None:
            self._gives.add("day")
        # Without a volume the figures may remain the same in spite of trades.
        if before is None or _figures_of(day) != _figures_of(before) or not isinstance(day.volume_24h, str):
            self.day_ns = received_ns
        if before is not None:
            # Only trades change the last price, and only trades make the 24 h volume grow.
            traded = day.price != before.price or _grew(day.volume_24h, before.volume_24h)
            if traded and before_ns > self.trades_ns + LAG_NS and self.trade_evidence_ns <= self.trades_ns:
                self.trade_evidence_ns = received_ns
            if (day.bid, day.ask) != (before.bid, before.ask) and before_ns > self.top_ns + LAG_NS:
                self._note_top_evidence(received_ns)
        self.day_received_ns, self._day = received_ns, day

    def _note_top_evidence(self, received_ns: int) -> None:
        if self.top_evidence_ns <= self.top_ns:
            self.top_evidence_ns = received_ns


def _figures_of(day: Update) -> tuple[_Text, ...]:
    return day.price, day.open_24h, day.high_24h, day.low_24h, day.volume_24h


def _grew(text: _Text, before: _Text) -> bool:
    if text == before or not isinstance(text, str) or not isinstance(before, str):
        return False
    return Decimal(text) > Decimal(before)
