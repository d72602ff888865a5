"""The quotes and bars that follow from what a venue says, by the rules of docs/contracts.md."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any, NamedTuple

from tests.recomputed.said import Said, Tops


class _Price(NamedTuple):
    text: str
    time: int | None
    slow: bool
    channel: str


class Figures:
    """One venue's newest figures of each instrument, and its trades in the order of their bars."""

    def __init__(self) -> None:
        self.prices: dict[str, _Price] = {}
        self.tops: dict[str, tuple[Tops, int | None, bool]] = {}
        self.volumes: dict[str, str] = {}
        self.trades: dict[str, list[Said]] = {}
        self.symbols: set[str] = set()
        self._keys: dict[tuple[str, str], int] = {}
        self._seen: dict[tuple[str, str], set[int]] = {}

    def take(self, said: Iterable[Said]) -> None:
        """Apply what a frame says."""
        for each in said:
            self.symbols.add(each.symbol)
            if each.is_trade:
                self._trade(each)
            else:
                self._update(each)

    def final(self) -> dict[str, tuple[str | None, str | None, str | None]]:
        """Return bid, ask and price of each symbol."""
        none: Tops = (None, None, None, None)
        found = {}
        for symbol in self.symbols:
            bid, _, ask, _ = self.tops[symbol][0] if symbol in self.tops else none
            found[symbol] = (bid, ask, self.prices[symbol].text if symbol in self.prices else None)
        return found

    def _trade(self, trade: Said) -> None:
        stream = trade.symbol, trade.channel
        seen = self._seen.setdefault(stream, set())
        assert trade.key is not None
        if trade.key in seen:
            return
        is_late = bool(seen) and trade.key < max(seen)
        seen.add(trade.key)
        held = self.prices.get(trade.symbol)
        if not is_late or (held and held.time is not None and (trade.time or 0) > held.time):
            self._price(trade)
        mine = self.trades.setdefault(trade.symbol, [])
        if not mine or (trade.time or 0) // 1000 >= (mine[-1].time or 0) // 1000:
            mine.append(trade)

    def _update(self, said: Said) -> None:
        stream = said.symbol, said.channel
        if said.key is not None:
            if said.key <= self._keys.get(stream, -1):
                return
            self._keys[stream] = said.key
        if said.price is not None:
            self._price(said)
        if said.tops is not None:
            self._top(said, said.tops)
        if said.volume is not None:
            self.volumes[said.symbol] = said.volume

    def _price(self, said: Said) -> None:
        held, assured = self.prices.get(said.symbol), said.price
        assert assured is not None
        if held and said.slow and not held.slow:
            if said.time is None or held.time is None or said.time <= held.time:
                return
        elif held and said.channel != held.channel and _is_older(said.time, held.time):
            self.prices[said.symbol] = held._replace(slow=held.slow and said.slow)
            return
        self.prices[said.symbol] = _Price(assured, said.time, said.slow, said.channel)

    def _top(self, said: Said, tops: Tops) -> None:
        if held := self.tops.get(said.symbol):
            _, time, slow = held
            if said.slow and not slow and (said.time is None or time is None or said.time <= time):
                return
        self.tops[said.symbol] = (tops, said.time, said.slow)


def _is_older(time: int | None, than: int | None) -> bool:
    return time is not None and than is not None and time < than


def bars(trades: Iterable[Said], length_ms: int) -> list[dict[str, Any]]:
    """Put trades into buckets: first, highest, lowest, last, and the exact sum."""
    buckets: dict[int, list[Said]] = {}
    for trade in trades:
        at = trade.time or 0
        buckets.setdefault(at - at % length_ms, []).append(trade)
    return [
        {
            "time": at,
            "open": inside[0].price,
            "high": max((each.price or "" for each in inside), key=Decimal),
            "low": min((each.price or "" for each in inside), key=Decimal),
            "close": inside[-1].price,
            "volume": sum((Decimal(each.size or 0) for each in inside), Decimal(0)),
            "trades": len(inside),
        }
        for at, inside in sorted(buckets.items())
    ]
