"""One connection to `/ws`, between a client and the engine. Nothing here blocks."""

from __future__ import annotations

from websockets.frames import CloseCode

from crypto_stream.bus import orders as bus
from crypto_stream.errors import RefusedError
from crypto_stream.gateway.delivery.bounds import Bounds
from crypto_stream.gateway.delivery.frames import TEXT, framed
from crypto_stream.gateway.delivery.hub import Hub
from crypto_stream.gateway.delivery.websocket import WebSocket
from crypto_stream.gateway.order_sessions.acknowledgements import Acknowledgements
from crypto_stream.gateway.order_sessions.commands import NAMES, EngineRequest, command
from crypto_stream.gateway.order_sessions.limits import Client, SessionHost
from crypto_stream.gateway.order_sessions.market_data import MarketDataSubscription
from crypto_stream.gateway.order_sessions.pending import ANSWER_TIMEOUT_S, MAX_LISTS, Pending, PendingCommand
from crypto_stream.gateway.rate_limit import MAX_REFUSALS, REFUSALS_WITHIN_S, RateLimit, cost_of
from crypto_stream.orders.wire import messages, replies
from crypto_stream.orders.wire.fields import Form, RequestId
from crypto_stream.orders.wire.messages import ClientRequest, Identify, InvalidMessageError, PlaceOrder
from crypto_stream.orders.wire.replies import Style

# Bytes that may be queued for a client that does not read; beyond that it is cut off. Its reports remain
# unacknowledged, so that it gets them when it connects again.
MAX_BACKLOG = 8 * 1024 * 1024
# A client that is silent for this long is pinged; one that does not answer for as long again is cut off.
HEARTBEAT_S = 20.0

_UNKNOWN_OUTCOME = (
    "it is not known whether this was done: send it again with its client_order_id, or check with GetOrders"
)
_RATE_LIMITED = "rate_limited"
# For how many seconds a client is not read after each kilobyte of a message: no real one has a whole one.
_DELAY_PER_KB_S = 0.0025


class OrderSession(WebSocket):
    """One client's session: it queues at most `MAX_BACKLOG` bytes, and loses no report.

    `number` identifies it on the bus; `style` is how messages to the client are written. A report is
    acknowledged to the engine once the client has answered a ping sent after it; the engine sends the others
    again when the owner next connects.
    """

    __slots__ = (
        "_acknowledgements",
        "_backlog_bound",
        "_forms",
        "_host",
        "_next_heartbeat_s",
        "_pending",
        "_pinged",
        "_rate_limit",
        "_received_any",
        "_slow_since_s",
        "_subscriptions",
        "client",
        "close_reason",
        "name",
        "number",
        "style",
    )

    def __init__(
        self, descriptor: int, hub: Hub, bounds: Bounds, number: int, client: Client, host: SessionHost
    ) -> None:
        """Serve `client`; a message longer than `bounds` allow closes the connection with 1009."""
        super().__init__(descriptor, hub, [], bounds)
        self.number = number
        self.name = f"ws-{number}"
        self.client = client
        self.style = Style(False, client.extended)
        self.close_reason = ""
        self._host = host
        self._rate_limit = RateLimit(host.limits.rate, host.clock())
        self._forms: dict[str, Form] = {}
        self._subscriptions: dict[str, MarketDataSubscription] = {}
        self._pending = Pending()
        self._acknowledgements = Acknowledgements()
        self._received_any = False
        self._backlog_bound = 0
        self._next_heartbeat_s = host.clock() + HEARTBEAT_S
        self._slow_since_s: float | None = None
        self._pinged = False

    # From the client, on the hub.

    def received(self, message: str | bytes) -> None:
        """Handle one message, or refuse it."""
        host = self._host
        first, self._received_any = not self._received_any, True
        self.delay_reading((cost_of(len(message)) - 1) * _DELAY_PER_KB_S)
        allowed = self._rate_limit.allows(host.clock())
        request: ClientRequest | None = None
        code = reason = ""
        try:
            if isinstance(message, bytes):
                raise InvalidMessageError("binary", "messages must be text, not binary")
            request, request_id, camel = messages.read(message, host.find, extended=self.style.extended)
        except InvalidMessageError as bad:
            code, reason, request_id, camel = bad.code, str(bad), bad.request_id, bad.camel
        if camel is not None and camel != self.style.camel:
            self.style = Style(camel, self.style.extended)
        host.counters.messages["refused" if request is None else NAMES[type(request)]] += 1
        if not allowed:
            self._slow_down(request_id)
        elif request is None:
            self.refuse(code, reason, request_id)
        elif isinstance(request, messages.Subscribe):
            self._subscribe(request, request_id)
        elif isinstance(request, messages.Unsubscribe):
            self._unsubscribe(request, request_id)
        elif isinstance(request, Identify):
            self._identify(request, request_id, first=first)
        else:
            self._command(request, request_id)

    def ended(self) -> None:
        """End the session; the engine keeps what was not acknowledged."""
        for subscription in self._subscriptions.values():
            self._host.market.remove(subscription)
        self._subscriptions.clear()
        if self._host.up:
            self._host.send_command(bus.Detach(self.number))
        self._host.ended(self.number, self.close_reason or self.fault())

    def _command(self, request: EngineRequest, request_id: RequestId) -> None:
        host = self._host
        if not host.up:
            self.refuse("engine_unreachable", "the engine cannot be reached: nothing was done", request_id)
            return
        is_list = isinstance(request, messages.GetOrders | messages.GetTrades)
        if is_list and self._pending.lists_full():
            text = f"at most {MAX_LISTS} lists may be pending on one connection"
            self.refuse(_RATE_LIMITED, text, request_id)
            return
        form = request.form if isinstance(request, messages.GetTrades) else None
        ref = self._pending.add(request_id, host.clock(), form, is_list=is_list)
        if isinstance(request, PlaceOrder):
            self._forms[request.ticket.symbol] = request.form
        elif form is not None and isinstance(request, messages.GetTrades) and request.symbol is not None:
            self._forms[request.symbol] = form
        host.send_command(command(self.number, ref, request, walks=self.style.extended))
        if self._pending.full():
            self.pause_reading(True)

    def _identify(self, request: Identify, request_id: RequestId, *, first: bool) -> None:
        """Continue as the owner that the client names; as the first message, nothing was done before."""
        if not first or not self.client.anonymous:
            text = "client_id may be given only once: in the first message, or when connecting"
            self.refuse("bad_message", text, request_id)
            return
        try:
            self._host.change_owner(self.client.owner, request.client_id)
        except RefusedError as refused:
            self.close_with_error(refused.code, str(refused))
            return
        self.client = self.client._replace(owner=request.client_id, anonymous=False)
        self._send(replies.identified(self.style, request_id))
        if self._host.up:
            self.attach()

    def _subscribe(self, request: messages.Subscribe, request_id: RequestId) -> None:
        market, most = self._host.market, self._host.limits.subscriptions
        if existing := market.find(self.number, request.symbol):
            text = f"instrument {self._host.name(request.symbol)} is already subscribed, as {existing.id}"
            self.refuse("already_subscribed", text, request_id)
        elif len(self._subscriptions) >= most or market.full():
            text = f"at most {most} subscriptions (max_subscriptions)"
            if market.full():
                text = "this gateway has reached its limit of subscriptions; try again later"
            self.refuse("too_many_subscriptions", text, request_id)
        else:
            self._forms[request.symbol] = request.form
            added = market.add(self, request.symbol, request.form)
            self._subscriptions[added.id] = added
            self._send(replies.success(self.style, added.id, request_id))
            market.send_first(added)

    def _unsubscribe(self, request: messages.Unsubscribe, request_id: RequestId) -> None:
        ended = self._subscriptions.pop(request.subscription_id, None)
        if ended is None:
            text = f"subscription_id {request.subscription_id}: this connection has no such subscription"
            self.refuse("unknown_subscription", text, request_id)
            return
        self._host.market.remove(ended)
        self._send(replies.success(self.style, ended.id, request_id))

    def _slow_down(self, request_id: RequestId) -> None:
        rate = self._host.limits.rate
        text = f"at most {rate} messages a second (order_rate): this message was not processed"
        self.refuse(_RATE_LIMITED, text, request_id)
        self.delay_reading(self._rate_limit.pause_s())
        if self._rate_limit.abusive():
            self._host.counters.disconnected["rate"] += 1
            text = f"{MAX_REFUSALS} messages over the limit of {rate} a second in {REFUSALS_WITHIN_S:g} s"
            self.end(CloseCode.POLICY_VIOLATION, text)

    # From the engine.

    def attach(self) -> None:
        """Announce the session to the engine, which then sends the reports not yet acknowledged."""
        client = self.client
        self._host.send_command(bus.Attach(self.number, client.owner, client.anonymous, client.address))

    def frame_for(self, message: bus.SessionMessage) -> bytes:
        """Encode a message of the engine as a frame for `send_frames`; b"" if the client gets none."""
        command = self._take_pending(message.ref)
        request_id = command.request_id if command else None
        if isinstance(message, bus.Reported):
            self._acknowledgements.sent(message.report.seq)
            text = replies.execution(self.style, message.report, self._form, request_id, message.store)
            self._host.counters.reports += text is not None
            return framed(TEXT, text) if text else b""
        if isinstance(message, bus.Failed | bus.Cut):
            self._host.counters.refusals[message.code] += 1
            return framed(TEXT, replies.error(self.style, message.code, message.reason, request_id))
        if command is None:  # it timed out, which the client was told
            return b""
        if isinstance(message, bus.OrdersListed):
            return framed(TEXT, replies.orders_list(self.style, message.orders, self._form, request_id))
        return framed(TEXT, self._trades_list(message, command))

    def send_frames(self, frames: bytes) -> None:
        """Send complete frames, none of which may be lost; cut off a client with too large a backlog."""
        was_waiting = self.waiting()
        self._backlog_bound = self.put_raw(frames) + (self._backlog_bound if was_waiting else 0)
        if not self.waiting():
            self._host.note_backlog(self.number, 0)
            return
        if self._backlog_bound > MAX_BACKLOG and self.backlog() > MAX_BACKLOG:
            self.drop("too slow")
            return
        self._host.note_backlog(self.number, self._backlog_bound)

    def backlog(self) -> int:
        """Count the bytes queued for the client."""
        self._backlog_bound = sum(map(len, self._unsent))
        return self._backlog_bound

    def close_with_error(self, code: str, reason: str) -> None:
        """Close the session after an ErrorInfo that says why."""
        self.refuse(code, reason)
        self.close_reason = code
        self._host.counters.disconnected[code] += 1
        self.end(CloseCode.POLICY_VIOLATION, reason)

    def refuse(self, code: str, reason: str, request_id: RequestId = None) -> None:
        """Send ErrorInfo."""
        self._host.counters.refusals[code] += 1
        self._send(replies.error(self.style, code, reason, request_id))

    def request_ack(self, now_s: float) -> bool:
        """Ping the client if a report awaits acknowledgement; False to be called again later."""
        if self._acknowledgements.ping_due() and self._host.up:
            payload = None if self.waiting() else self._acknowledgements.ping_payload(now_s)
            if payload is None:
                return False
            self.ping(payload)
        return True

    def ponged(self, payload: bytes) -> None:
        """Acknowledge to the engine the reports sent before the ping that this pong answers."""
        if self._host.up and (seq := self._acknowledgements.pong(payload)):
            self._host.send_command(bus.Received(self.number, seq))

    def engine_lost(self) -> None:
        """Tell the client that the outcome of its pending commands is unknown."""
        self._acknowledgements.reset()
        for one in self._pending.take_all():
            text = f"the connection to the engine was lost; {_UNKNOWN_OUTCOME}"
            self.refuse("engine_unreachable", text, one.request_id)
        self.pause_reading(False)

    def _trades_list(self, message: bus.TradesListed, command: PendingCommand) -> bytes:
        return replies.trades_list(
            self.style,
            message.trades,
            message.positions,
            form=command.form,
            forms=self._form,
            request_id=command.request_id,
        )

    def _take_pending(self, ref: int) -> PendingCommand | None:
        taken = self._pending.take(ref)
        if taken is not None and self._pending.half_empty():
            self.pause_reading(False)
        return taken

    def _form(self, symbol: str) -> Form:
        return self._forms.get(symbol) or self._host.name(symbol)

    def _send(self, text: bytes) -> None:
        self.send_frames(framed(TEXT, text))

    # On a timer.

    def check(self, now_s: float) -> None:
        """Deal with overdue commands and with a slow or dead client; called every second."""
        for one in self._pending.take_overdue(now_s):
            text = f"the engine did not answer within {ANSWER_TIMEOUT_S:g} s; {_UNKNOWN_OUTCOME}"
            self.refuse("engine_unreachable", text, one.request_id)
        if self._pending.half_empty():
            self.pause_reading(False)
        if not self.waiting():
            self._slow_since_s = None
        elif self._slow_since_s is None:
            self._slow_since_s = now_s
        elif now_s - self._slow_since_s >= self._host.limits.slow_client_timeout_s:
            self.drop("too slow")
        if now_s >= self._next_heartbeat_s:
            self._next_heartbeat_s = now_s + HEARTBEAT_S
            self._heartbeat()

    def _heartbeat(self) -> None:
        if not self.silent() or self._slow_since_s is not None or self._reading_paused:
            self._pinged = False  # the client is alive, or we are not reading from it
        elif self._pinged:
            self.drop("no answer to a ping")
        else:
            self._pinged = True
            self.ping()

    def drop(self, reason: str) -> None:
        """Cut the client off."""
        self.close_reason = reason
        self._host.counters.disconnected[reason] += 1
        self.cut()
