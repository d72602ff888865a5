"""One connection to `/ws`: reads what the client asks, tells what the engine answers. Nothing here waits."""

from __future__ import annotations

from websockets.frames import CloseCode

from crypto_stream.bus.orders import Attach, Cut, Detach, Failed, Happened, Listed, Received, Told, Traded
from crypto_stream.errors import RefusedError
from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.frames import TEXT, framed
from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.websocket import WebSocket
from crypto_stream.gateway.order_sessions.acknowledgements import Acknowledgements
from crypto_stream.gateway.order_sessions.commands import NAMES, Engines, command
from crypto_stream.gateway.order_sessions.limits import Client, SessionHost
from crypto_stream.gateway.order_sessions.market_data import Subscription
from crypto_stream.gateway.order_sessions.pending import ANSWER_S, MOST_LISTS, Pending, PendingCommand
from crypto_stream.gateway.order_sessions.rate_limit import MOST_REFUSED, WITHIN_S, RateLimit
from crypto_stream.orders.wire import replies
from crypto_stream.orders.wire.fields import Form, RequestId
from crypto_stream.orders.wire.messages import (
    Ask,
    BadAskError,
    GetOrders,
    GetTrades,
    Identify,
    PlaceOrder,
    Subscribe,
    Unsubscribe,
    read,
)
from crypto_stream.orders.wire.replies import Style

# Bytes that may wait for a client that does not read; then it is cut, and its reports stay untold.
MOST_OWED = 8 * 1024 * 1024
# Seconds of silence after which a client is pinged, and again until it is given up.
HEARTBEAT_S = 20.0

_UNKNOWN_OUTCOME = (
    "it is not known whether this was done: send it again with its client_order_id, or ask GetOrders"
)
_MOST_CODE = "rate_limited"


class OrderSession(WebSocket):
    """Carry one client's messages. What it must not miss waits for it, at most `MOST_OWED` bytes.

    `number` names it on the bus, `style` is how it is answered. A report is acknowledged to the engine once
    the client's WebSocket has answered a ping sent behind it; what was not is told again to who comes back.
    """

    __slots__ = (
        *("_began", "_forms", "_host", "_late_since_s", "_next_beat_s", "_owed_most", "_rate", "_pinged"),
        *("_acknowledgements", "_subscriptions", "_pending", "client", "name", "number", "style", "why"),
    )

    def __init__(
        self, descriptor: int, hub: Hub, bounds: Bounds, number: int, client: Client, host: SessionHost
    ) -> None:
        """Serve `client`; messages longer than the `bounds` end the connection with 1009."""
        super().__init__(descriptor, hub, [], bounds)
        self.number = number
        self.name = f"ws-{number}"
        self.client = client
        self.style = Style(False, client.extended)
        self.why = ""
        self._host = host
        self._rate = RateLimit(host.limits.rate, host.clock())
        self._forms: dict[str, Form] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._pending = Pending()
        self._acknowledgements = Acknowledgements()
        self._began = False
        self._owed_most = 0
        self._next_beat_s = host.clock() + HEARTBEAT_S
        self._late_since_s: float | None = None
        self._pinged = False

    # What the client sends, on the hub.

    def received(self, message: str | bytes) -> None:
        """Do what a message asks, or say why not."""
        host = self._host
        first, self._began = not self._began, True
        allowed = self._rate.allows(host.clock())
        ask: Ask | None = None
        code = reason = ""
        try:
            if isinstance(message, bytes):
                raise BadAskError("binary", "a message must be text, this was a binary one")
            ask, request_id, camel = read(message, host.find, extended=self.style.extended)
        except BadAskError as bad:
            code, reason, request_id, camel = bad.code, str(bad), bad.request_id, bad.camel
        if camel is not None and camel != self.style.camel:
            self.style = Style(camel, self.style.extended)
        host.counters.messages["refused" if ask is None else NAMES[type(ask)]] += 1
        if not allowed:
            self._slow_down(request_id)
        elif ask is None:
            self.refuse(code, reason, request_id)
        elif isinstance(ask, Subscribe):
            self._subscribe(ask, request_id)
        elif isinstance(ask, Unsubscribe):
            self._unsubscribe(ask, request_id)
        elif isinstance(ask, Identify):
            self._identify(ask, request_id, first=first)
        else:
            self._command(ask, request_id)

    def ended(self) -> None:
        """Leave: what was not acknowledged stays untold."""
        for subscription in self._subscriptions.values():
            self._host.market.remove(subscription)
        self._subscriptions.clear()
        if self._host.up:
            self._host.ask(Detach(self.number))
        self._host.ended(self.number, self.why or self.fault())

    def _command(self, ask: Engines, request_id: RequestId) -> None:
        host = self._host
        if not host.up:
            self.refuse("engine_unreachable", "the engine cannot be reached: nothing was done", request_id)
            return
        is_list = isinstance(ask, GetOrders | GetTrades)
        if is_list and self._pending.lists_full():
            text = f"at most {MOST_LISTS} lists of one connection may be under way at once"
            self.refuse(_MOST_CODE, text, request_id)
            return
        form = ask.form if isinstance(ask, GetTrades) else None
        ref = self._pending.add(request_id, host.clock(), form, is_list=is_list)
        if isinstance(ask, PlaceOrder):
            self._forms[ask.ticket.symbol] = ask.form
        elif form is not None and isinstance(ask, GetTrades) and ask.symbol is not None:
            self._forms[ask.symbol] = form
        host.ask(command(self.number, ref, ask))
        if self._pending.full():
            self.hold(True)

    def _identify(self, ask: Identify, request_id: RequestId, *, first: bool) -> None:
        """Go on as the owner that the client names; nothing was done before as another one."""
        if not first or not self.client.anonymous:
            text = "client_id may be said once: as the first message, or as the connection is made"
            self.refuse("bad_message", text, request_id)
            return
        try:
            self._host.become(self.client.owner, ask.client_id)
        except RefusedError as refused:
            self.dismiss(refused.code, str(refused))
            return
        self.client = self.client._replace(owner=ask.client_id, anonymous=False)
        self._give(replies.identified(self.style, request_id))
        if self._host.up:
            self.attach()

    def _subscribe(self, ask: Subscribe, request_id: RequestId) -> None:
        market, most = self._host.market, self._host.limits.subscriptions
        if there := market.of(self.number, ask.symbol):
            text = f"instrument {self._host.name(ask.symbol)} is subscribed already, as {there.id}"
            self.refuse("already_subscribed", text, request_id)
        elif len(self._subscriptions) >= most or market.full():
            text = f"at most {most} subscriptions (max_subscriptions)"
            if market.full():
                text = "this gateway has as many subscriptions as it takes; try again later"
            self.refuse("too_many_subscriptions", text, request_id)
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
        self._host.market.remove(ended)
        self._give(replies.success(self.style, ended.id, request_id))

    def _slow_down(self, request_id: RequestId) -> None:
        rate = self._host.limits.rate
        self.refuse(
            _MOST_CODE, f"at most {rate} messages a second (order_rate): this one was not done", request_id
        )
        self.rest(self._rate.rest_s())
        if self._rate.abused():
            self._host.counters.disconnected["rate"] += 1
            text = f"{MOST_REFUSED} messages over the limit of {rate} a second in {WITHIN_S:g} s"
            self.end(CloseCode.POLICY_VIOLATION, text)

    # What the engine tells.

    def attach(self) -> None:
        """Make the session known to the engine, which then tells what the owner has not been told."""
        client = self.client
        self._host.ask(Attach(self.number, client.owner, client.anonymous, client.address))

    def framed(self, told: Told) -> bytes:
        """Make the frame of what the engine told, b"" for nothing; `give_frames` sends it."""
        answered = self._answered(told.ref)
        request_id = answered.request_id if answered else None
        if isinstance(told, Happened):
            self._acknowledgements.sent(told.report.seq)
            text = replies.execution(self.style, told.report, self._form, request_id, told.store)
            self._host.counters.reports += text is not None
            return framed(TEXT, text) if text else b""
        if isinstance(told, Failed | Cut):
            self._host.counters.refusals[told.code] += 1
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
        if not self.waiting():
            self._host.owes(self.number, 0)
            return
        if self._owed_most > MOST_OWED and self.owed() > MOST_OWED:
            self.drop("too slow")
            return
        self._host.owes(self.number, self._owed_most)

    def owed(self) -> int:
        """Count the bytes that wait for the client."""
        self._owed_most = sum(map(len, self._owed))
        return self._owed_most

    def dismiss(self, code: str, reason: str) -> None:
        """Say why the engine has ended this session, and end it."""
        self.refuse(code, reason)
        self.why = code
        self._host.counters.disconnected[code] += 1
        self.end(CloseCode.POLICY_VIOLATION, reason)

    def refuse(self, code: str, reason: str, request_id: RequestId = None) -> None:
        """Send ErrorInfo."""
        self._host.counters.refusals[code] += 1
        self._give(replies.error(self.style, code, reason, request_id))

    def ask_for_receipt(self, now_s: float) -> bool:
        """Ask the client's WebSocket whether it has the reports; False when that is to be done later."""
        if self._acknowledgements.owed() and self._host.up:
            question = None if self.waiting() else self._acknowledgements.question(now_s)
            if question is None:
                return False
            self.ping(question)
        return True

    def ponged(self, payload: bytes) -> None:
        """Acknowledge to the engine the reports that went before the ping which this answers."""
        if self._host.up and (seq := self._acknowledgements.answer(payload)):
            self._host.ask(Received(self.number, seq))

    def lose(self) -> None:
        """Say of everything without an answer that nobody knows: the engine is gone."""
        self._acknowledgements.forget()
        for one in self._pending.take_all():
            self.refuse("engine_unreachable", f"the engine was lost; {_UNKNOWN_OUTCOME}", one.request_id)
        self.hold(False)

    def _trades(self, told: Traded, answered: PendingCommand) -> bytes:
        return replies.trades_list(
            self.style, told.trades, told.positions, answered.form, self._form, answered.request_id
        )

    def _answered(self, ref: int) -> PendingCommand | None:
        answered = self._pending.take(ref)
        if answered is not None and self._pending.eased():
            self.hold(False)
        return answered

    def _form(self, symbol: str) -> Form:
        return self._forms.get(symbol) or self._host.name(symbol)

    def _give(self, text: bytes) -> None:
        self.give_frames(framed(TEXT, text))

    # What time brings.

    def check(self, now_s: float) -> None:
        """Notice, each second: a dead or slow client, and an engine that does not answer."""
        for one in self._pending.take_overdue(now_s):
            text = f"the engine did not answer within {ANSWER_S:g} s; {_UNKNOWN_OUTCOME}"
            self.refuse("engine_unreachable", text, one.request_id)
        if self._pending.eased():
            self.hold(False)
        if not self.waiting():
            self._late_since_s = None
        elif self._late_since_s is None:
            self._late_since_s = now_s
        elif now_s - self._late_since_s >= self._host.limits.patience_s:
            self.drop("too slow")
        if now_s >= self._next_beat_s:
            self._next_beat_s = now_s + HEARTBEAT_S
            self._beat()

    def _beat(self) -> None:
        if not self.silent() or self._late_since_s is not None or self._held:
            self._pinged = False  # it is there, or we do not listen
        elif self._pinged:
            self.drop("no answer to a ping")
        else:
            self._pinged = True
            self.ping()

    def drop(self, why: str) -> None:
        """Cut a client off."""
        self.why = why
        self._host.counters.disconnected[why] += 1
        self.cut()
