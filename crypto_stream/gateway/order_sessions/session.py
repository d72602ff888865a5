"""One connection to `/ws`: reads what the client asks, tells what the engine answers. Nothing here waits."""

from __future__ import annotations

import logging
from typing import NamedTuple, Protocol

from websockets.frames import CloseCode

from crypto_stream.bus.orders import (
    Attach,
    Cancel,
    Command,
    Detach,
    Failed,
    Happened,
    Listed,
    ListOrders,
    ListTrades,
    Place,
    Received,
    Told,
    Traded,
)
from crypto_stream.gateway.delivery.counters import OrderCounters
from crypto_stream.gateway.delivery.frames import TEXT, framed
from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.wire import Wire
from crypto_stream.gateway.order_sessions.market_data import MarketData, Subscription
from crypto_stream.gateway.order_sessions.pace import MOST_REFUSED, WITHIN_S, Pace
from crypto_stream.market.instruments import Instrument
from crypto_stream.orders import replies
from crypto_stream.orders.fields import Form, RequestId
from crypto_stream.orders.messages import (
    Ask,
    BadAskError,
    CancelOrder,
    GetOrders,
    GetTrades,
    PlaceOrder,
    Subscribe,
    Unsubscribe,
    read,
)
from crypto_stream.orders.replies import Style

log = logging.getLogger(__name__)

# Commands of one session that may wait for the engine; then no more is read from the client.
MOST_UNANSWERED = 256
# Lists among them: one may have a megabyte, so further ones are refused.
MOST_LISTS = 4
# Bytes that may wait for a client that does not read; then it is cut, and its reports stay untold.
MOST_OWED = 8 * 1024 * 1024
# Seconds the engine may take for a command before the client is told that its outcome is not known.
ANSWER_S = 10.0
# Seconds from one question whether the reports were read to the next.
ASK_S = 0.1
# Seconds of silence after which a client is pinged, and again until it is given up.
HEARTBEAT_S = 20.0

_UNKNOWN_OUTCOME = (
    "it is not known whether this was done: send it again with its client_order_id, or ask GetOrders"
)
_MOST_CODE = "rate_limited"
_NAMES: dict[type[Ask], str] = {
    Subscribe: "subscribe",
    Unsubscribe: "unsubscribe",
    PlaceOrder: "place",
    CancelOrder: "cancel",
    GetOrders: "list_orders",
    GetTrades: "list_trades",
}


class Limits(NamedTuple):
    """What one session may do: messages a second, subscriptions, seconds without reading."""

    rate: int
    subscriptions: int
    patience_s: float


class House(Protocol):
    """What a session needs of the gateway; see `sessions`."""

    limits: Limits
    counters: OrderCounters
    market: MarketData
    up: bool

    def clock(self) -> float:
        """Read the time: monotonic seconds."""

    def find(self, text: str) -> Instrument | None:
        """Find the instrument that a text spells; RefusedError while none can be known."""

    def name(self, symbol: str) -> str:
        """Return the usual name of an instrument."""

    def ask(self, command: Command) -> None:
        """Send a command to the engine, after all that were sent before."""

    def ended(self, session: OrderSession) -> None:
        """Forget a session."""


class Client(NamedTuple):
    """Who connected: the owner of its orders, who cannot come back when `anonymous`."""

    owner: str
    anonymous: bool
    extended: bool


class _Unanswered(NamedTuple):
    request_id: RequestId
    due_s: float
    form: Form | None
    is_list: bool


class OrderSession(Wire):
    """Carry one client's messages. What it must not miss waits for it, at most `MOST_OWED` bytes.

    `number` names it on the bus, `style` is how it is answered. A report is acknowledged to the engine once
    the client's WebSocket has answered a ping sent behind it; what was not is told again to who comes back.
    """

    __slots__ = (
        *(
            "_acknowledged",
            "_asked",
            "_forms",
            "_house",
            "_late_since_s",
            "_lists",
            "_next_ask_s",
            "_next_beat_s",
            "_owed_most",
        ),
        *(
            "_pace",
            "_pinged",
            "_refs",
            "_subscriptions",
            "_unanswered",
            "_untaken",
            "client",
            "name",
            "number",
        ),
        *("style", "why"),
    )

    def __init__(
        self, descriptor: int, hub: Hub, most: int, number: int, client: Client, house: House
    ) -> None:
        """Serve `client`; messages longer than `most` bytes end the connection with 1009."""
        super().__init__(descriptor, hub, [], most)
        self.number = number
        self.name = f"ws-{number}"
        self.client = client
        self.style = Style(False, client.extended)
        self.why = ""
        self._house = house
        self._pace = Pace(house.limits.rate, house.clock())
        self._forms: dict[str, Form] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._unanswered: dict[int, _Unanswered] = {}
        self._refs = self._lists = self._owed_most = 0
        self._untaken = self._asked = self._acknowledged = 0
        self._next_beat_s = house.clock() + HEARTBEAT_S
        self._next_ask_s = 0.0
        self._late_since_s: float | None = None
        self._pinged = False

    # What the client sends, on the hub.

    def received(self, message: str | bytes) -> None:
        """Do what a message asks, or say why not."""
        house = self._house
        allowed = self._pace.allows(house.clock())
        ask: Ask | None = None
        code = reason = ""
        try:
            if isinstance(message, bytes):
                raise BadAskError("binary", "a message must be text, this was a binary one")
            ask, request_id, camel = read(message, house.find, extended=self.style.extended)
        except BadAskError as bad:
            code, reason, request_id, camel = bad.code, str(bad), bad.request_id, bad.camel
        if camel is not None and camel != self.style.camel:
            self.style = Style(camel, self.style.extended)
        house.counters.messages["refused" if ask is None else _NAMES[type(ask)]] += 1
        if not allowed:
            self._slow_down(request_id)
        elif ask is None:
            self.refuse(code, reason, request_id)
        elif isinstance(ask, Subscribe):
            self._subscribe(ask, request_id)
        elif isinstance(ask, Unsubscribe):
            self._unsubscribe(ask, request_id)
        else:
            self._command(ask, request_id)

    def ended(self) -> None:
        """Leave: what was not acknowledged stays untold."""
        for subscription in self._subscriptions.values():
            self._house.market.remove(subscription)
        self._subscriptions.clear()
        if self._house.up:
            self._house.ask(Detach(self.number))
        self._house.ended(self)

    def _command(self, ask: PlaceOrder | CancelOrder | GetOrders | GetTrades, request_id: RequestId) -> None:
        house = self._house
        if not house.up:
            self.refuse("engine_unreachable", "the engine cannot be reached: nothing was done", request_id)
            return
        is_list = isinstance(ask, GetOrders | GetTrades)
        if is_list and self._lists >= MOST_LISTS:
            text = f"at most {MOST_LISTS} lists of one connection may be under way at once"
            self.refuse(_MOST_CODE, text, request_id)
            return
        self._refs += 1
        self._lists += is_list
        form = ask.form if isinstance(ask, GetTrades) else None
        self._unanswered[self._refs] = _Unanswered(request_id, house.clock() + ANSWER_S, form, is_list)
        house.ask(self._on_the_bus(ask, self._refs))
        if len(self._unanswered) >= MOST_UNANSWERED:
            self.hold(True)

    def _on_the_bus(self, ask: PlaceOrder | CancelOrder | GetOrders | GetTrades, ref: int) -> Command:
        if isinstance(ask, PlaceOrder):
            self._forms[ask.ticket.symbol] = ask.form
            return Place(self.number, ref, ask.ticket)
        if isinstance(ask, CancelOrder):
            return Cancel(self.number, ref, ask.order_id)
        if isinstance(ask, GetOrders):
            return ListOrders(self.number, ref)
        if ask.symbol is not None and ask.form is not None:
            self._forms[ask.symbol] = ask.form
        return ListTrades(self.number, ref, ask.symbol)

    def _subscribe(self, ask: Subscribe, request_id: RequestId) -> None:
        market, most = self._house.market, self._house.limits.subscriptions
        if there := market.of(self.number, ask.symbol):
            text = f"instrument {self._house.name(ask.symbol)} is subscribed already, as {there.id}"
            self.refuse("already_subscribed", text, request_id)
        elif len(self._subscriptions) >= most:
            self.refuse(
                "too_many_subscriptions", f"at most {most} subscriptions (max_subscriptions)", request_id
            )
        else:
            self._forms[ask.symbol] = ask.form
            made = market.add(self, ask.symbol, ask.form)
            self._subscriptions[made.id] = made
            self._give(replies.success(self.style, made.id, request_id))
            market.begin(made)

    def _unsubscribe(self, ask: Unsubscribe, request_id: RequestId) -> None:
        ended = self._subscriptions.pop(ask.subscription_id, None)
        if ended is None:
            text = f"subscription_id {ask.subscription_id} is no subscription of this connection"
            self.refuse("unknown_subscription", text, request_id)
            return
        self._house.market.remove(ended)
        self._give(replies.success(self.style, ended.id, request_id))

    def _slow_down(self, request_id: RequestId) -> None:
        rate = self._house.limits.rate
        self.refuse(
            _MOST_CODE, f"at most {rate} messages a second (order_rate): this one was not done", request_id
        )
        if self._pace.abused():
            self._house.counters.disconnected["rate"] += 1
            text = f"{MOST_REFUSED} messages over the limit of {rate} a second in {WITHIN_S:g} s"
            self.end(CloseCode.POLICY_VIOLATION, text)

    # What the engine tells.

    def attach(self) -> None:
        """Make the session known to the engine, which then tells what the owner has not been told."""
        self._house.ask(Attach(self.number, self.client.owner, self.client.anonymous))

    def framed(self, told: Told) -> bytes:
        """Make the frame of what the engine told, b"" for nothing; `give_frames` sends it."""
        answered = self._answered(told.ref)
        request_id = answered.request_id if answered else None
        if isinstance(told, Happened):
            self._note(told.report.seq)
            text = replies.execution(self.style, told.report, self._form, request_id)
            self._house.counters.reports += text is not None
            return framed(TEXT, text) if text else b""
        if isinstance(told, Failed):
            self._house.counters.refusals[told.code] += 1
            return framed(TEXT, replies.error(self.style, told.code, told.reason, request_id))
        if answered is None:  # the client was told that it takes too long
            return b""
        if isinstance(told, Listed):
            return framed(TEXT, replies.orders_list(self.style, told.orders, self._form, request_id))
        return framed(TEXT, self._trades(told, answered))

    def give_frames(self, frames: bytes) -> None:
        """Send whole frames that must not be lost; who lets too much wait is cut."""
        waited = self.waiting()
        self._owed_most = self.put_raw(frames) + (self._owed_most if waited else 0)
        if self._owed_most > MOST_OWED and self.waiting():
            self._owed_most = sum(map(len, self._owed))
            if self._owed_most > MOST_OWED:
                self._drop("too slow")

    def refuse(self, code: str, reason: str, request_id: RequestId = None) -> None:
        """Send ErrorInfo."""
        self._house.counters.refusals[code] += 1
        self._give(replies.error(self.style, code, reason, request_id))

    def ask_for_receipt(self, now_s: float) -> bool:
        """Ask the client's WebSocket whether it has the reports; False when that is to be done later.

        That the socket took them says little: the client may have been gone for minutes.
        """
        if self._untaken > self._asked and self._house.up:
            if self.waiting() or now_s < self._next_ask_s:
                return False
            self._next_ask_s = now_s + ASK_S
            self._asked = self._untaken
            self.ping(b"%d" % self._untaken)
        return True

    def ponged(self, payload: bytes) -> None:
        """Acknowledge to the engine the reports that went before the ping which this answers."""
        seq = int(payload) if payload.isdigit() and len(payload) < 20 else 0
        if self._acknowledged < seq <= self._untaken and self._house.up:
            self._acknowledged = seq
            self._house.ask(Received(self.number, seq))

    def lose(self) -> None:
        """Say of everything without an answer that nobody knows: the engine is gone."""
        unanswered, self._unanswered, self._lists = self._unanswered, {}, 0
        self._untaken = self._asked = self._acknowledged = 0  # the engine's next life may tell it again
        for one in unanswered.values():
            self.refuse("engine_unreachable", f"the engine was lost; {_UNKNOWN_OUTCOME}", one.request_id)
        self.hold(False)

    def _note(self, seq: int) -> None:
        """Remember to ask for a receipt of a report; one that is told again is acknowledged again."""
        self._untaken = max(self._untaken, seq)
        self._asked = min(self._asked, seq - 1)
        self._acknowledged = min(self._acknowledged, seq - 1)

    def _trades(self, told: Traded, answered: _Unanswered) -> bytes:
        return replies.trades_list(
            self.style, told.trades, told.positions, answered.form, self._form, answered.request_id
        )

    def _answered(self, ref: int) -> _Unanswered | None:
        answered = self._unanswered.pop(ref, None)
        if answered is not None:
            self._lists -= answered.is_list
            if len(self._unanswered) < MOST_UNANSWERED // 2:
                self.hold(False)
        return answered

    def _form(self, symbol: str) -> Form:
        return self._forms.get(symbol) or self._house.name(symbol)

    def _give(self, text: bytes) -> None:
        self.give_frames(framed(TEXT, text))

    # What time brings.

    def check(self, now_s: float) -> None:
        """Notice, each second: a dead or slow client, and an engine that does not answer."""
        while self._unanswered:
            ref, oldest = next(iter(self._unanswered.items()))
            if oldest.due_s > now_s:
                break
            self._answered(ref)
            text = f"the engine did not answer within {ANSWER_S:g} s; {_UNKNOWN_OUTCOME}"
            self.refuse("engine_unreachable", text, oldest.request_id)
        if not self.waiting():
            self._late_since_s = None
        elif self._late_since_s is None:
            self._late_since_s = now_s
        elif now_s - self._late_since_s >= self._house.limits.patience_s:
            self._drop("too slow")
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + HEARTBEAT_S
            self._beat()

    def _beat(self) -> None:
        if not self.silent() or self._late_since_s is not None or self._held:
            self._pinged = False  # it is there, or we do not listen
        elif self._pinged:
            self._drop("no answer to a ping")
        else:
            self._pinged = True
            self.ping()

    def _drop(self, why: str) -> None:
        self.why = why
        self._house.counters.disconnected[why] += 1
        self.cut()
