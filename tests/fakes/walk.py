"""A fake market: one seeded random walk per symbol, in whole ticks, as exact text."""

from __future__ import annotations

import random
import time
from decimal import Decimal

from crypto_stream.market.instruments import pair

_STARTS = {"btcusdt": "60000", "ethusdt": "3000", "bnbusdt": "600", "solusdt": "150", "xrpusdt": "0.5"}
_SIZE_STEP = Decimal("0.001")
_BPS = Decimal("0.0001")
_SPREAD = 3 * _BPS


class Walk:
    """One symbol's market: top of book, last trade, 24 h figures; each change is one call.

    `sent_at` is the monotonic time (s) of the last change that was sent; ids and update numbers grow, also
    over restarts of the process.
    """

    def __init__(
        self, spelling: str, seed: int, start: str | None, factor: Decimal, near: Decimal | None = None
    ) -> None:
        """Start at `start` times `factor` (10 for unknown symbols); equal seeds give equal walks.

        With `near` it starts so many bps above `start` instead; bid and ask lie 3 bps apart, not 2 ticks, and
        trades are between them.
        """
        instrument = pair(spelling)
        self.symbol = instrument.symbol
        self.base, self.quote = instrument.base or "X", instrument.quote or "Y"
        first = Decimal(start or _STARTS.get(self.symbol, "10"))
        first *= factor if near is None else 1 + near * _BPS
        self.tick = Decimal("0.01") if first >= 1000 else Decimal("0.0001") if first >= 1 else Decimal("1E-6")
        self.half = 1  # ticks from the middle to bid and ask
        self.grain = 1  # ticks between the levels of the book
        if near is not None:
            self.tick = Decimal(1).scaleb((first * _BPS / 10).adjusted())
            self.half = round(first * _SPREAD / 2 / self.tick)
            self.grain = 10
        self.price = self.open = self.high = self.low = first.quantize(self.tick)
        self.bid, self.ask = self.price - self.half * self.tick, self.price + self.half * self.tick
        self.size = Decimal(1)
        self.volume = Decimal(1000)
        self.calm = False
        self.sent_at: float | None = None
        self.update_id = self.trade_id = time.time_ns() // 1_000_000
        self._random = random.Random(f"{seed}{self.symbol}")

    def step(self) -> None:
        """Move the top of book by a few ticks, never below a hundred of them."""
        change = self._random.choice((-3, -2, -1, 1, 2, 3)) * self.tick
        self.size = self._random.randint(1, 5000) * _SIZE_STEP
        bid = self.bid + change
        self.quote_at(bid if bid > 100 * self.tick else self.bid + abs(change), None)

    def quote_at(self, bid: Decimal | None, ask: Decimal | None) -> None:
        """Set the top of book; one side alone moves the other if they would cross."""
        if bid is not None:
            self.bid = bid
            self.ask = bid + 2 * self.half * self.tick if ask is None else ask
        elif ask is not None:
            self.ask = ask
            self.bid = min(self.bid, ask - self.tick)
        self.update_id += 1

    def trade(self) -> None:
        """Trade at the bid, now and then at the ask; where they lie far apart, in the middle."""
        if self.half > 1:
            self.trade_at(self.bid + self.half * self.tick)
        else:
            self.trade_at(self.bid if self.update_id % 8 else self.ask)

    def trade_at(self, price: Decimal) -> None:
        """Trade at `price`."""
        self.price = price
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.volume += self.size
        self.trade_id += 1

    def values(self) -> dict[str, object]:
        """Return the last values of this symbol, as JSON-ready values."""
        return {
            "price": format(self.price, "f"),
            "bid": format(self.bid, "f"),
            "ask": format(self.ask, "f"),
            "sent_at": self.sent_at,
        }
