"""What ccxt resolves, in the words of the bridge protocol."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from ccxt.async_support.base.ws.cache import ArrayCache
from ccxt.async_support.base.ws.order_book import OrderBook
from ccxt.base.decimal_to_precision import DECIMAL_PLACES, TICK_SIZE

from bridges.client import Message

_REMEMBERED_IDS = 200  # of an instrument's trades: exchanges send the last ones again after a reconnection
_LAST = "bridges_last"  # attribute of ccxt's cache of trades: the last one that was sent


def text(number: Any) -> str | None:
    """Return a number of ccxt as text; None if there is none."""
    if number is None or isinstance(number, str):
        return number or None
    return f"{Decimal(repr(number)):f}" if isinstance(number, float) else str(number)


def entry_of(market: Mapping[str, Any], mode: int) -> Message:
    """Describe a market in the protocol's words; `mode` is ccxt's precisionMode."""
    limits, precision = market.get("limits") or {}, market.get("precision") or {}
    active = market.get("active")
    return {
        "id": market["symbol"],
        "base": market["base"],
        "quote": market["quote"],
        "status": "" if active or active is None else "inactive",
        "tick": _step(precision.get("price"), mode),
        "lot": _step(precision.get("amount"), mode),
        "min_amount": text((limits.get("amount") or {}).get("min")),
        "min_notional": text((limits.get("cost") or {}).get("min")),
        "max_amount": text((limits.get("amount") or {}).get("max")),
        "max_notional": text((limits.get("cost") or {}).get("max")),
    }


def _step(precision: Any, mode: int) -> str | None:
    if precision is None or mode == TICK_SIZE:
        return text(precision)
    return f"{Decimal(1).scaleb(-int(precision)):f}" if mode == DECIMAL_PLACES else None


class Translator:
    """What ccxt resolves, in the protocol's words; each result once, however often ccxt resolves it."""

    def __init__(self) -> None:
        self._tops: dict[str, Message] = {}
        self._tickers: dict[str, Any] = {}
        self._ids: dict[str, deque[str]] = {}

    def messages(self, result: Any) -> Iterator[Message]:
        """Yield the new messages in a result; nothing for one of another kind."""
        if isinstance(result, OrderBook):
            yield from self._book(result)
        elif isinstance(result, ArrayCache):
            yield from self._cache(result)
        elif isinstance(result, list):
            for each in result:
                yield from self._one(each)
        else:
            yield from self._one(result)

    def _one(self, result: Any) -> Iterator[Message]:
        """Yield the messages in a trade, a ticker, or several of them by symbol."""
        if not isinstance(result, Mapping):
            return
        if {"price", "amount", "side"} <= result.keys():
            yield from self._trade(result)
        elif "symbol" not in result:
            for each in result.values():
                yield from self._one(each)
        elif "bid" in result and "info" in result:
            yield from self._ticker(result)

    def _book(self, book: Mapping[str, Any]) -> Iterator[Message]:
        bids, asks = book["bids"], book["asks"]
        bid, bid_size = bids[0][:2] if len(bids) else (None, None)
        ask, ask_size = asks[0][:2] if len(asks) else (None, None)
        yield from self._top(book["symbol"], (bid, bid_size, ask, ask_size), book.get("timestamp"))

    def _top(self, symbol: str | None, values: Sequence[Any], time: int | None) -> Iterator[Message]:
        names = ("bid", "bid_size", "ask", "ask_size")
        top = {"type": "quote", "instrument": symbol, **dict(zip(names, map(text, values), strict=True))}
        if symbol is not None and top != self._tops.get(symbol):
            self._tops[symbol] = top
            yield {**top, "time": time}

    def _ticker(self, ticker: Mapping[str, Any]) -> Iterator[Message]:
        symbol = ticker["symbol"]
        top = [ticker.get(name) for name in ("bid", "bidVolume", "ask", "askVolume")]
        if ticker.get("last") is None:  # of watch_bids_asks
            if top[0] is not None or top[2] is not None:
                yield from self._top(symbol, top, ticker.get("timestamp"))
            return
        if ticker is self._tickers.get(symbol):
            return
        self._tickers[symbol] = ticker
        figures = {"price": "last", "open": "open", "high": "high", "low": "low", "volume": "baseVolume"}
        tops = {"bid": "bid", "bid_size": "bidVolume", "ask": "ask", "ask_size": "askVolume"}
        found = {
            ours: text(ticker.get(theirs))
            for ours, theirs in {**figures, **tops}.items()
            if ticker.get(theirs) is not None
        }
        yield {"type": "day", "instrument": symbol, **found, "time": ticker.get("timestamp")}

    def _cache(self, trades: Any) -> Iterator[Message]:
        """Yield the trades that were appended since the last time."""
        count = len(trades)
        if not count or not {"price", "amount", "side"} <= trades[-1].keys():
            return
        last, new = getattr(trades, _LAST, None), 0
        while new < count and trades[-1 - new] is not last:
            new += 1
        setattr(trades, _LAST, trades[-1])
        for at in range(count - new, count):
            yield from self._trade(trades[at])

    def _trade(self, trade: Mapping[str, Any]) -> Iterator[Message]:
        symbol, price = trade["symbol"], text(trade["price"])
        known = self._ids.setdefault(symbol, deque(maxlen=_REMEMBERED_IDS))
        if price is None or (trade["id"] is not None and trade["id"] in known):
            return
        if trade["id"] is not None:
            known.append(trade["id"])
        size = text(trade["amount"])
        yield {
            "type": "trade", "instrument": symbol, "price": price, "size": size, "time": trade["timestamp"]
        }  # fmt: skip
