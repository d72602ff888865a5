"""A fake Kraken v2: JSON numbers, an acknowledgement per symbol, heartbeats, the venue's status."""

from __future__ import annotations

import json
import time
import zlib
from datetime import UTC, datetime
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from typing import Any

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_HEARTBEAT_S = 1.0
_MOST_CONNECTS, _CONNECTS_S = 150, 600.0
_V1 = {"BTC": "XBT", "DOGE": "XDG"}


class FakeKraken(FakeVenue):
    """Kraken as `exchange-facts.md` §5 and its corrections describe it."""

    name = "kraken"
    ws_paths = ("/v2",)
    price_factor = Decimal("1.002")
    book_channel = "book"
    book_depth = 25

    def __init__(self, *given: Any, **named: Any) -> None:
        """Take the arguments of every fake; `system` is the venue's status."""
        super().__init__(*given, **named)
        self.system = "online"
        self._micros = count(time.time_ns() // 1000)

    def opened(self, client: Client) -> None:
        """Send the venue's status; check the rate of connecting."""
        if len(self.connects) > _MOST_CONNECTS and self.connects[-1] - self.connects[-151] < _CONNECTS_S:
            self.violations.append("more than 150 connects in 10 minutes")
        client.send(self._status())

    def announce_status(self, system: str) -> None:
        """Send the venue's new status to all clients."""
        self.system = system
        for client in self.clients:
            client.send(self._status())

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"method":"subscribe","params":{"channel":...,"symbol":[...]},"req_id":1}."""
        try:
            request = json.loads(text)
            method = request["method"]
            if method == "ping":
                client.send(json.dumps({"method": "pong", "time_in": self._now(), "time_out": self._now()}))
                return
            channel, names = request["params"]["channel"], request["params"]["symbol"]
        except (ValueError, TypeError, KeyError):
            client.send(json.dumps({"error": "Malformed request", "success": False, "method": "subscribe"}))
            return
        if channel == "ticker" and method == "subscribe" and request["params"].get("event_trigger") != "bbo":
            self.violations.append("a ticker that moves with trades alone")
        symbols = {_symbol(name) for name in names}
        if method == "subscribe" and (whole := self.current.refuses_all(symbols)):
            said = {"busy": "Exceeded msg rate", "echo": f"Malformed request: {text[:500]}"}
            self._refuse(client, request, said.get(whole, "Malformed request"), None)
            return
        for name in names:
            self._answer(client, request, channel, name)

    def tick(self, client: Client, now: float) -> None:
        """Send a heartbeat after a second without data, once something is subscribed."""
        if client.streams and now - client.active_at >= _HEARTBEAT_S:
            client.send('{"channel":"heartbeat"}')

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one channel; the ticker has the 24 h figures at each change."""
        name = f"{walk.base}/{walk.quote}"
        if what == "trade":
            item = (
                f'{{"symbol":"{name}","side":"buy","price":{walk.price:f},"qty":{walk.size:f},'
                f'"ord_type":"limit","trade_id":{walk.trade_id},"timestamp":"{self._now()}"}}'
            )
            return [("trade", f'{{"channel":"trade","type":"update","data":[{item}]}}')]
        item = (
            f'{{"symbol":"{name}","bid":{walk.bid:f},"bid_qty":{walk.size:f},"ask":{walk.ask:f},'
            f'"ask_qty":{walk.size:f},"last":{walk.price:f},"volume":{walk.volume:f},"vwap":{walk.open:f},'
            f'"low":{walk.low:f},"high":{walk.high:f},"change":{walk.price - walk.open:f},"change_pct":0.1,'
            f'"trades":47535,"timestamp":"{self._now()}"}}'
        )
        return [("ticker", f'{{"channel":"ticker","type":"update","data":[{item}]}}')]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book; sizes have eight decimals, and the checksum is of their digits."""
        digits = [
            f"{number:f}".replace(".", "").lstrip("0")
            for side in (sent.asks, sent.bids)
            for row in side[:10]
            for number in _row(row)
        ]
        checksum = zlib.crc32("".join(digits).encode())
        sides = f'"bids":{_rows(sent.changed_bids)},"asks":{_rows(sent.changed_asks)}'
        item = (
            f'{{"symbol":"{walk.base}/{walk.quote}",{sides},"checksum":{checksum},'
            f'"timestamp":"{self._now()}"}}'
        )
        kind = "snapshot" if sent.whole else "update"
        return f'{{"channel":"book","type":"{kind}","data":[{item}]}}'

    def announcement(self) -> str:
        """Send the venue's status: it announces no shutdown."""
        return self._status()

    def unknown_event(self) -> str:
        """Send a channel that does not exist yet."""
        return json.dumps({"channel": "novelty", "type": "update", "data": [{"symbol": "BTC/USD"}]})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer pairs, in the spelling of v1, and candles (one finished minute, one running)."""
        if path == "/0/public/AssetPairs":
            return {
                "error": [],
                "result": {walk.symbol.upper(): self._listed(walk) for walk in self.walks.values()},
            }
        walk = self.walks.get(_symbol(query.get("pair", "")))
        if path != "/0/public/OHLC":
            return HTTPStatus.NOT_FOUND
        if walk is None:
            return {"error": ["EQuery:Unknown asset pair"]}
        opened = time.time_ns() // 60_000_000_000 * 60 - 60
        prices = [f"{value:f}" for value in (walk.open, walk.high, walk.low, walk.price)]
        row = [*prices, prices[0], f"{walk.volume:f}", 5]
        bars = [[opened, *row], [opened + 60, *row]]
        return {"error": [], "result": {query["pair"]: bars, "last": opened}}

    def _answer(self, client: Client, request: dict[str, Any], channel: str, name: str) -> None:
        symbol = _symbol(name)
        walk = self.walks.get(symbol)
        if walk is None or name != f"{walk.base}/{walk.quote}" or self.current.refuses(symbol):
            self._refuse(client, request, f"Currency pair not supported {name}", name)
            return
        if request["method"] == "unsubscribe":
            client.streams.discard((channel, symbol))
        elif request["method"] == "subscribe":
            client.streams.add((channel, symbol))
            if channel == "book":
                if request["params"].get("depth", 10) != self.book_depth:
                    self.violations.append("a depth that is not the one of this fake")
                self.send_book(client, walk)
            if channel == "ticker":  # the state so far comes at once, before the acknowledgement
                walk.sent_at = time.monotonic()
                for _, frame in self.frames(walk, "ticker"):
                    self.deliver(client, channel, symbol, frame)
        answer = {
            "method": request["method"], "req_id": request.get("req_id"),
            "result": {"channel": channel, "symbol": name, "snapshot": True}, "success": True,
            "time_in": self._now(), "time_out": self._now(),
        }  # fmt: skip
        self.acknowledge(client, json.dumps(answer), {symbol})

    def _refuse(self, client: Client, request: dict[str, Any], error: str, name: str | None) -> None:
        said = {"error": error, "method": "subscribe", "req_id": request.get("req_id"), "success": False}
        client.send(json.dumps(said | ({} if name is None else {"symbol": name})))

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        names = [_V1.get(each, each) for each in (walk.base, walk.quote)]
        return {
            "altname": "".join(names), "wsname": "/".join(names),
            "status": self.states.get(walk.symbol, "online"), "tick_size": rules.tick or "",
            "lot_decimals": 8, "ordermin": rules.min_amount or "", "costmin": rules.min_notional or "",
        }  # fmt: skip

    def _status(self) -> str:
        said = {"version": "2.0.10", "system": self.system, "api_version": "v2", "connection_id": 2**63 + 7}
        return json.dumps({"channel": "status", "type": "update", "data": [said]})

    def _now(self) -> str:
        """Return the time to the microsecond, never the same twice."""
        micros = max(next(self._micros), time.time_ns() // 1000)
        self._micros = count(micros + 1)
        return datetime.fromtimestamp(micros // 1_000_000, UTC).strftime(
            f"%Y-%m-%dT%H:%M:%S.{micros % 1_000_000:06d}Z"
        )


def _row(row: Row) -> Row:
    return row[0], row[1].quantize(Decimal("1E-8"))


def _rows(rows: list[Row]) -> str:
    levels = [f'{{"price":{price:f},"qty":{size:f}}}' for price, size in map(_row, rows)]
    return f"[{','.join(levels)}]"


def _symbol(name: str) -> str:
    return name.replace("/", "").lower()
