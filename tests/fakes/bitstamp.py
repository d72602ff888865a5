"""A fake Bitstamp v2: a channel in each message, errors that name nothing, unknown pairs acknowledged."""

from __future__ import annotations

import json
import time
from decimal import Decimal
from http import HTTPStatus
from typing import Any

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_MOST_BYTES, _MOST_CHANNELS = 512, 1024
_KINDS = ("order_book", "diff_order_book", "live_trades")
_LEVELS = 3
_PERPETUAL = {
    "name": "BTC/USD-PERP", "market_symbol": "btcusd-perp", "base_decimals": 5, "counter_decimals": 0,
    "minimum_order_value": "10", "trading": "Enabled", "market_type": "PERPETUAL",
}  # fmt: skip


class FakeBitstamp(FakeVenue):
    """Bitstamp as its fact sheet describes it; it has no 24 h figures."""

    name = "bitstamp"
    ws_paths = ("/",)
    price_factor = Decimal("1.001")

    def __init__(self, *given: Any, **named: Any) -> None:
        """Take the arguments of every fake."""
        super().__init__(*given, **named)
        self._micros = 0

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"event":"bts:subscribe","data":{"channel":"order_book_btcusd"}}."""
        if len(text.encode()) > _MOST_BYTES:
            self.violations.append("a message of more than 512 bytes")
            self.soon(client.close(1009, "read limited at 513 bytes"))
            return
        try:
            request = json.loads(text)
            event = request["event"]
            channel = "" if event == "bts:heartbeat" else request["data"]["channel"]
            kind, _, name = channel.rpartition("_")
        except ValueError:
            self._refuse(client, "Incorrect JSON format.")
            return
        except (TypeError, KeyError, AttributeError):
            self._refuse(client, "Bad subscription string.")
            return
        if event == "bts:heartbeat":
            client.send(_word(event, "", {"status": "success"}))
        elif event == "bts:unsubscribe":
            client.streams.discard((kind, name))
            client.send(_word("bts:unsubscription_succeeded", channel, {}))
        elif event == "bts:subscribe":
            self._subscribe(client, kind, name, text)
        else:
            self._refuse(client, "Bad subscription string.")

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel; nothing for the 24 h figures."""
        if what == "ticker":
            return []
        name = f"{walk.base}{walk.quote}".lower()
        micros = self._moment()
        times = {"timestamp": str(micros // 1_000_000), "microtimestamp": str(micros)}
        size = f"{walk.size:.8f}"
        if what == "trade":
            data = {
                "id": walk.trade_id, **times, "amount": float(walk.size), "amount_str": size,
                "price": float(walk.price), "price_str": f"{walk.price:f}", "type": 0,
                "buy_order_id": 1, "sell_order_id": 2,
            }  # fmt: skip
            return [("live_trades", _word("trade", f"live_trades_{name}", data))]
        bids, asks = (
            [(best + sign * number * walk.tick, walk.size) for number in range(_LEVELS)]
            for best, sign in ((walk.bid, -1), (walk.ask, 1))
        )
        return [("order_book", self._levels(walk, bids, asks))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book, whole each time; it is the same channel."""
        return self._levels(walk, sent.bids, sent.asks)

    def announcement(self) -> str:
        """Request a new connection."""
        return _word("bts:request_reconnect", "", None)

    def unknown_event(self) -> str:
        """Send an event of a channel that does not exist yet."""
        return _word("novelty", "novelties_btcusdt", {"id": 1})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer markets, a perpetual one among them, and candles (one finished minute, one running)."""
        if path == "/api/v2/markets/":
            return [_PERPETUAL, *(self._listed(walk) for walk in self.walks.values())]
        walk = self.walks.get(path.removeprefix("/api/v2/ohlc/").removesuffix("/"))
        if walk is None or query.get("step") != "60":
            return HTTPStatus.NOT_FOUND
        opened = time.time_ns() // 60_000_000_000 * 60 - 60
        bar = {
            "open": f"{walk.open:f}", "high": f"{walk.high:f}", "low": f"{walk.low:f}",
            "close": f"{walk.price:f}", "volume": f"{walk.volume:f}",
        }  # fmt: skip
        bars = [{"timestamp": str(opened), **bar}, {"timestamp": str(opened + 60), **bar}]
        return {"data": {"pair": f"{walk.base}/{walk.quote}", "ohlc": bars}}

    def _levels(self, walk: Walk, bids: list[Row], asks: list[Row]) -> str:
        micros = self._moment()
        sides = {
            side: [[f"{price:f}", f"{size:.8f}"] for price, size in rows]
            for side, rows in (("bids", bids), ("asks", asks))
        }
        data = {"timestamp": str(micros // 1_000_000), "microtimestamp": str(micros), **sides}
        return _word("data", f"order_book_{walk.base}{walk.quote}".lower(), data)

    def _subscribe(self, client: Client, kind: str, name: str, text: str) -> None:
        """Acknowledge a channel; data follows with the next change, never for an unknown pair."""
        symbol = name.lower()
        if whole := self.current.refuses_all({symbol}):
            said = {"busy": "Too many requests.", "echo": f"Bad subscription string: {text}"}
            self._refuse(client, said.get(whole, "Bad subscription string."))
        elif kind not in _KINDS or name != symbol or not name.isalnum() or self.current.refuses(symbol):
            self._refuse(client, "Invalid channel provided.")
        else:
            client.streams.add((kind, symbol))
            if len(client.streams) > _MOST_CHANNELS:
                self.violations.append("more than 1,024 channels on one connection")
                client.abort()
            answer = _word("bts:subscription_succeeded", f"{kind}_{name}", {})
            self.acknowledge(client, answer, {symbol})

    def _refuse(self, client: Client, message: str) -> None:
        client.send(_word("bts:error", "", {"code": None, "message": message}))

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "name": f"{walk.base}/{walk.quote}", "market_symbol": f"{walk.base}{walk.quote}".lower(),
            "base_currency": walk.base, "base_decimals": _places(rules.lot),
            "counter_currency": walk.quote, "counter_decimals": _places(rules.tick),
            "minimum_order_value": rules.min_notional or "",
            "trading": self.states.get(walk.symbol, "Enabled"), "market_type": "SPOT",
        }  # fmt: skip

    def _moment(self) -> int:
        """Return the time in microseconds, never the same twice."""
        self._micros = max(self._micros + 1, time.time_ns() // 1000)
        return self._micros


def _word(event: str, channel: str, data: object) -> str:
    return json.dumps({"data": data, "channel": channel, "event": event}, separators=(",", ":"))


def _places(step: str | None) -> int:
    exponent = Decimal(step or "1").as_tuple().exponent
    assert isinstance(exponent, int)
    return -exponent
