"""A fake Coinbase Advanced Trade: one channel per message, numbered frames, trades newest first."""

from __future__ import annotations

import json
import re
import time
from collections import deque
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from typing import Any

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_CHANNELS = {"ticker", "ticker_batch", "market_trades", "candles", "level2", "status", "heartbeats"}
_HEARTBEAT_S = 1.0
_MOST_MESSAGES, _MESSAGES_S = 8, 1.0
_MOST_BARS = 350
_PAST_TRADES = 3  # in the snapshot
_NUMBER = re.compile(r'("sequence_num": ?)0\b')  # not numbered yet

_BEAT = {"current_time": "2026-08-09 21:05:48.854840045 +0000 UTC m=+41691.26", "heartbeat_counter": 41691}


class FakeCoinbase(FakeVenue):
    """Coinbase as `exchange-facts.md` §4 and its corrections describe it.

    A connection without a subscription is closed after `greet_s`, and one without heartbeats `idle_s` after
    its last frame.
    """

    name = "coinbase"
    ws_paths = ("/",)
    price_factor = Decimal("1.003")
    book_channel = "level2"
    figures = frozenset({"high_24h", "low_24h", "volume_24h"})

    def __init__(self, *given: Any, greet_s: float = 5.0, idle_s: float = 60.0, **named: Any) -> None:
        """Take the arguments of every fake."""
        super().__init__(*given, **named)
        self._greet_s = greet_s
        self._idle_s = idle_s
        self._nanos = 0
        self._counters: dict[Client, count[int]] = {}
        self._messages = Rate(_MOST_MESSAGES, _MESSAGES_S)  # of all clients: they have one address
        self._trades: dict[str, deque[dict[str, str]]] = {}

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"type":"subscribe","product_ids":["BTC-USD"],"channel":"ticker"}."""
        if self._messages.is_exceeded():
            self.violations.append("more than 8 messages in a second")
        try:
            request = json.loads(text)
            kind, channel, products = request["type"], request["channel"], request.get("product_ids", [])
            symbols = {_symbol(product) for product in products}
        except (ValueError, TypeError, KeyError, AttributeError):
            self._refuse(client, "failure to parse message")
            return
        if kind not in {"subscribe", "unsubscribe"} or channel not in _CHANNELS:
            self._refuse(client, "invalid message")
        elif channel == "heartbeats":
            client.streams.add((channel, ""))
            client.send(self._subscriptions(client))
        elif whole := self.current.refuses_all(symbols):
            said = {"busy": "rate limit exceeded", "echo": f"failed to subscribe: {text[:500]}"}
            self._refuse(client, said.get(whole, "failed to subscribe"))
        elif not all(map(self._is_product, products)) or any(map(self.current.refuses, symbols)):
            self._refuse(client, "failed to subscribe: invalid product")
        else:
            self._change(client, kind, channel, sorted(symbols))

    def tick(self, client: Client, now: float) -> None:
        """Send heartbeats; close who subscribed to nothing in time, or let its channels be idle."""
        if ("heartbeats", "") in client.streams:
            if now - client.held.get(("heartbeats", ""), 0.0) >= _HEARTBEAT_S:
                client.held["heartbeats", ""] = now
                client.send(self._frame("heartbeats", _BEAT))
        elif now - client.opened_at >= self._greet_s and not client.streams:
            self.violations.append("no subscription in time")
            self.soon(client.close(1000, "no subscription"))
        elif client.streams and now - client.active_at >= self._idle_s:
            self.violations.append("idle channels without heartbeats")
            self.soon(client.close(1000, "idle"))

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel; the ticker has the 24 h figures at each change."""
        if what == "trade":
            past = self._trades.setdefault(walk.symbol, deque(maxlen=_PAST_TRADES))
            past.appendleft(self._trade(walk))
            return [("market_trades", self._frame("market_trades", {"type": "update", "trades": [past[0]]}))]
        ticker = {
            "type": "ticker", "product_id": _product(walk), "price": f"{walk.price:f}",
            "volume_24_h": f"{walk.volume:f}", "low_24_h": f"{walk.low:f}", "high_24_h": f"{walk.high:f}",
            "low_52_w": f"{walk.low:f}", "high_52_w": f"{walk.high:f}",
            "price_percent_chg_24_h": "0.09601107287722", "best_bid": f"{walk.bid:f}",
            "best_ask": f"{walk.ask:f}", "best_bid_quantity": f"{walk.size:f}",
            "best_ask_quantity": f"{walk.size:f}",
        }  # fmt: skip
        return [("ticker", self._frame("ticker", {"type": "update", "tickers": [ticker]}))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book; its channel has another name than in the request."""
        updates = [*self._updates("bid", sent.changed_bids), *self._updates("offer", sent.changed_asks)]
        kind = "snapshot" if sent.whole else "update"
        return self._frame("l2_data", {"type": kind, "product_id": _product(walk), "updates": updates})

    def _updates(self, side: str, rows: list[Row]) -> list[dict[str, str]]:
        now = self._now()
        return [
            {"side": side, "event_time": now, "price_level": f"{price:f}", "new_quantity": f"{size:f}"}
            for price, size in rows
        ]

    def encode(self, frame: str, client: Client | None = None) -> str:
        """Number a frame of a connection, from 0; what a fault made is none of them."""
        if client is None or not _NUMBER.search(frame):
            return frame
        number = next(self._counters.setdefault(client, count()))
        return _NUMBER.sub(rf"\g<1>{number}", frame, count=1)

    def announcement(self) -> str:
        """Send products as the status channel does: it announces no shutdown."""
        return self._frame("status", {"type": "snapshot", "products": []})

    def unknown_event(self) -> str:
        """Send a channel that does not exist yet."""
        return self._frame("novelty", {"type": "update", "novelties": [{"product_id": "BTC-USD"}]})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer products, an alias and a future among them, and candles, newest first."""
        products = "/api/v3/brokerage/market/products"
        if path == products:
            return {"products": [*_ODD_PRODUCTS, *map(self._listed, self.walks.values())], "num_products": 5}
        named = path.removeprefix(f"{products}/").removesuffix("/candles")
        if not self._is_product(named) or query.get("granularity") != "ONE_MINUTE":
            return HTTPStatus.BAD_REQUEST
        if (int(query["end"]) - int(query["start"])) // 60 + 1 > _MOST_BARS:
            self.violations.append("more than 350 bars")
            return HTTPStatus.BAD_REQUEST
        walk = self.walks[_symbol(named)]
        opened = time.time_ns() // 60_000_000_000 * 60 - 60
        bar = {
            "low": f"{walk.low:f}", "high": f"{walk.high:f}", "open": f"{walk.open:f}",
            "close": f"{walk.price:f}", "volume": f"{walk.volume:f}",
        }  # fmt: skip
        return {"candles": [{"start": str(opened + 60), **bar}, {"start": str(opened), **bar}]}

    def _change(self, client: Client, kind: str, channel: str, symbols: list[str]) -> None:
        """Subscribe, with a snapshot before the acknowledgement, or unsubscribe."""
        for symbol in symbols:
            if kind == "unsubscribe":
                client.streams.discard((channel, symbol))
                continue
            client.streams.add((channel, symbol))
            walk = self.walks[symbol]
            if channel == "level2":
                self.send_book(client, walk)
            elif channel == "ticker":
                self.deliver(client, channel, symbol, self.frames(walk, "ticker")[0][1])
            elif past := self._trades.get(symbol):
                frame = self._frame(channel, {"type": "snapshot", "trades": list(past)})
                self.deliver(client, channel, symbol, frame)
        self.acknowledge(client, self._subscriptions(client), set(symbols))

    def _subscriptions(self, client: Client) -> str:
        """List all subscriptions of a connection; heartbeats are their own product."""
        listed: dict[str, list[str]] = {}
        for channel, symbol in client.streams:
            listed.setdefault(channel, []).append(_product(self.walks[symbol]) if symbol else channel)
        return self._frame("subscriptions", {"subscriptions": listed})

    def _is_product(self, product: str) -> bool:
        walk = self.walks.get(_symbol(product))
        return walk is not None and product == _product(walk)

    def _refuse(self, client: Client, message: str) -> None:
        client.send(json.dumps({"type": "error", "message": message}))

    def _trade(self, walk: Walk) -> dict[str, str]:
        return {
            "product_id": _product(walk), "trade_id": str(walk.trade_id), "price": f"{walk.price:f}",
            "size": f"{walk.size:f}", "time": self._now(), "side": "SELL",
        }  # fmt: skip

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return _BTC | {
            "product_id": _product(walk), "base_currency_id": walk.base, "quote_currency_id": walk.quote,
            "status": self.states.get(walk.symbol, "online"), "price_increment": rules.tick or "",
            "base_increment": rules.lot or "", "base_min_size": rules.min_amount or "",
            "quote_min_size": rules.min_notional or "",
        }  # fmt: skip

    def _frame(self, channel: str, event: dict[str, Any]) -> str:
        frame = {"channel": channel, "timestamp": self._now(), "sequence_num": 0, "events": [event]}
        return json.dumps(frame, separators=(",", ":"))

    def _now(self) -> str:
        """Return the time to the nanosecond, never the same microsecond twice; trailing zeros are cut."""
        self._nanos = max(self._nanos + 1000, time.time_ns())
        seconds, nanos = divmod(self._nanos, 1_000_000_000)
        fraction = f"{nanos:09d}".rstrip("0") or "0"
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{fraction}Z"


_BTC: dict[str, object] = {
    "product_id": "BTC-USD", "price": "65086.18", "base_increment": "0.00000001", "quote_increment": "0.01",
    "quote_min_size": "1", "quote_max_size": "150000000", "base_min_size": "0.00000001",
    "base_max_size": "3400", "is_disabled": False, "status": "online", "cancel_only": False,
    "limit_only": False, "post_only": False, "trading_disabled": False, "auction_mode": False,
    "product_type": "SPOT", "quote_currency_id": "USD", "base_currency_id": "BTC",
    "fcm_trading_session_details": None, "alias": "", "view_only": False, "price_increment": "0.01",
}  # fmt: skip
_ODD_PRODUCTS = [
    _BTC | {"product_id": "BTC-USDC", "quote_currency_id": "USDC", "alias": "BTC-USD"},
    _BTC | {"product_id": "BIT-26DEC25-CDE", "base_currency_id": "", "product_type": "FUTURE"},
]


def _product(walk: Walk) -> str:
    return f"{walk.base}-{walk.quote}"


def _symbol(product: str) -> str:
    return product.replace("-", "").lower()
