"""A fake Gemini: streams without a name in their frames, times in ns, one bad stream refuses its request.

A differential stream of a book begins with the whole book only on a connection with `snapshot=-1`.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from decimal import Decimal
from http import HTTPStatus
from itertools import count
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.fakes.books import Row, Sent
from tests.fakes.client import Client
from tests.fakes.rate import Rate
from tests.fakes.venue import FakeVenue
from tests.fakes.walk import Walk

_STREAMS = {"bookTicker", "trade", "depth", "depth@100ms"}
_MOST_CONNECTS, _CONNECTS_S = 300, 300.0
_MOST_WEIGHT, _WEIGHT_S = 7_000, 10.0
_PERPETUAL = {
    "symbol": "BTCGUSDPERP", "base_currency": "BTC", "quote_currency": "GUSD", "tick_size": 0.0001,
    "quote_increment": 0.5, "min_order_size": "0.0001", "status": "open", "product_type": "swap",
}  # fmt: skip


class FakeGemini(FakeVenue):
    """Gemini's current socket as its fact sheet describes it; it pings its clients."""

    name = "gemini"
    ws_paths = ("/",)
    price_factor = Decimal("1.0015")
    book_channel = "depth@100ms"

    def __init__(self, *given: Any, ping_s: float = 20.0, **named: Any) -> None:
        """Take the arguments of every fake, and the seconds between two pings."""
        super().__init__(*given, **named)
        self.ping_s = ping_s
        self.pongs = 0
        self._pinged_at: dict[Client, float] = {}
        self._updates = count(time.time_ns() // 1000)  # one range for all symbols
        self._names = {_name(walk): walk for walk in self.walks.values()}
        self._connects = Rate(_MOST_CONNECTS, _CONNECTS_S)
        self._requests = Rate(_MOST_WEIGHT, _WEIGHT_S)

    def opened(self, client: Client) -> None:
        """Check the rate of connecting."""
        if self._connects.is_exceeded():
            self.violations.append("more than 300 connects in 5 minutes")
        self._pinged_at = {each: at for each, at in self._pinged_at.items() if each in self.clients}

    def received(self, client: Client, text: str) -> None:
        """Answer one request: {"id":"1","method":"subscribe","params":["btcusd@bookTicker"]}."""
        try:
            request = json.loads(text)
            number, method = request["id"], request["method"].lower()
            streams = [tuple(each.split("@", 1)) for each in request.get("params") or []]
        except (ValueError, TypeError, KeyError, AttributeError):
            _refuse(client, None, -1020, "Unsupported operation")
            return
        if self._requests.is_exceeded():
            self.violations.append("requests of more than 7,000 in ten seconds")
            _refuse(client, number, -1003, "Too many requests")
        elif method == "ping":
            _send(client, id=number, status=200)
        elif method == "list_subscriptions":
            open_ = [f"{_name(self.walks[symbol])}@{stream}" for stream, symbol in client.streams]
            _send(client, id=number, status=200, result=open_)
        elif method in {"subscribe", "unsubscribe"}:
            self._subscribe(client, number, method, streams, text)
        else:
            _refuse(client, number, -1020, "Unsupported operation")

    def tick(self, client: Client, now: float) -> None:
        """Send the protocol's pings."""
        if now - self._pinged_at.get(client, client.opened_at) >= self.ping_s:
            self._pinged_at[client] = now
            self.soon(self._ping(client))

    def frames(self, walk: Walk, what: str) -> list[tuple[str, str]]:
        """Return the push of one stream; nothing for the 24 h figures."""
        event: dict[str, object]
        if what == "ticker":
            return []
        if what == "trade":
            event = {
                "E": time.time_ns(), "s": _name(walk), "t": walk.trade_id, "p": _text(walk.price),
                "q": _text(walk.size), "m": walk.trade_id % 2 == 0,
            }  # fmt: skip
            return [("trade", json.dumps(event, separators=(",", ":")))]
        event = {
            "u": next(self._updates), "E": time.time_ns(), "s": _name(walk), "b": _text(walk.bid),
            "B": _text(walk.size), "a": _text(walk.ask), "A": _text(walk.size), "c": _text(walk.price),
            "C": _text(walk.size),
        }  # fmt: skip
        return [("bookTicker", json.dumps(event, separators=(",", ":")))]

    def book_frame(self, walk: Walk, sent: Sent) -> str:
        """Return the push of a book; its levels are in no order, and the whole book looks like a change."""
        before = sent.number if sent.whole else sent.after
        event = {
            "e": "depthUpdate", "E": time.time_ns(), "s": _name(walk), "U": before, "u": sent.number,
            "b": _rows(sent.changed_bids), "a": _rows(sent.changed_asks),
        }  # fmt: skip
        return json.dumps(event, separators=(",", ":"))

    def announcement(self) -> str:
        """Answer a ping: it announces no shutdown."""
        return json.dumps({"id": 0, "status": 200})

    def unknown_event(self) -> str:
        """Send an event that does not exist yet."""
        return json.dumps({"e": "novelty", "E": time.time_ns(), "s": "btcusdt"})

    def rest(self, path: str, query: dict[str, str]) -> object:
        """Answer instruments, a perpetual one among them, and candles (one finished minute, one running)."""
        if path == "/v1/symbols/details/all":
            return [_PERPETUAL, *(self._listed(walk) for walk in self.walks.values())]
        name, _, step = path.removeprefix("/v2/candles/").partition("/")
        walk = self._names.get(name)
        if walk is None or step != "1m":
            return HTTPStatus.BAD_REQUEST
        opened = time.time_ns() // 60_000_000_000 * 60_000
        row = [float(each) for each in (walk.open, walk.high, walk.low, walk.price, walk.volume)]
        return [[opened, *row], [opened - 60_000, *row]]

    def _subscribe(
        self, client: Client, number: object, method: str, streams: list[tuple[str, ...]], text: str
    ) -> None:
        """Begin or end all streams of a request, or refuse all for the first that is unknown."""
        known = [(stream, self._names.get(name)) for name, *rest in streams for stream in ["".join(rest)]]
        symbols = {walk.symbol for _, walk in known if walk}
        whole = self.current.refuses_all(symbols) if method == "subscribe" else ""
        if whole:
            self._refuse_all(client, number, whole, text)
            return
        for (stream, walk), each in zip(known, streams, strict=True):
            if walk is None or stream not in _STREAMS or self.current.refuses(walk.symbol):
                _refuse(client, number, -1013, f"Invalid stream name: {'@'.join(each)}")
                return
        for stream, walk in known:
            if walk is not None:
                (client.streams.add if method == "subscribe" else client.streams.discard)(
                    (stream, walk.symbol)
                )
        if method == "subscribe" and client.path.endswith("?snapshot=-1"):
            for stream, walk in known:
                if walk is not None and stream == self.book_channel:  # before the acknowledgement
                    self.send_book(client, walk)
        self.acknowledge(client, json.dumps({"id": number, "status": 200}), symbols)

    def _refuse_all(self, client: Client, number: object, whole: str, text: str) -> None:
        if whole == "busy":
            _refuse(client, number, -1003, "Too many requests")
        elif whole == "echo":
            _refuse(client, None, -1020, f"Unsupported operation: {text}")
        else:
            _refuse(client, None, -1020, "Unsupported operation")

    async def _ping(self, client: Client) -> None:
        with suppress(ConnectionClosed):
            await (await client.connection.ping())
            self.pongs += 1

    def _listed(self, walk: Walk) -> dict[str, object]:
        rules = self.rules[walk.symbol]
        return {
            "symbol": _name(walk).upper(), "base_currency": walk.base, "quote_currency": walk.quote,
            "tick_size": float(rules.lot or 0), "quote_increment": float(rules.tick or 0),
            "min_order_size": rules.min_amount, "status": self.states.get(walk.symbol, "open"),
            "wrap_enabled": False, "product_type": "spot", "contract_type": "vanilla",
        }  # fmt: skip


def _name(walk: Walk) -> str:
    return f"{walk.base}{walk.quote}".lower()


def _rows(rows: list[Row]) -> list[list[str]]:
    return [[_text(price), _text(size)] for price, size in rows]


def _text(value: Decimal) -> str:
    return f"{value:.8f}"


def _refuse(client: Client, number: object, code: int, message: str) -> None:
    _send(client, id=number, status=400, error={"code": code, "msg": message})


def _send(client: Client, **message: object) -> None:
    client.send(json.dumps(message, separators=(",", ":")))
