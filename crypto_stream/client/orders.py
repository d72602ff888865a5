"""Client for the orders of a running gateway, using asyncio."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar

from crypto_stream.client.connection import Answered, ReconnectingConnection
from crypto_stream.client.errors import OrderError
from crypto_stream.client.messages import (
    Answer,
    Error,
    MarketData,
    Order,
    OrdersList,
    Position,
    Report,
    RequestKind,
    Success,
    Trade,
    TradesList,
    Update,
)
from crypto_stream.client.queues import QuoteQueue, ReportQueue, SeenReports
from crypto_stream.market.orders import Kind, Outcome, Side, Status, TimeInForce

_LOG = logging.getLogger(__name__)
_MAX_PENDING = 100  # concurrent requests: even if all are resent at once, the rate limit is not exceeded
# Transient refusals, and the seconds after which the request is resent, which is safe.
_RETRY_S = {"starting": 0.2, "engine_unreachable": 0.2, "rate_limited": 1.0}
_Expected = TypeVar("_Expected", bound=Answer)
Number = Decimal | int | str


class OrderClient:
    """Place, watch and cancel the orders of one owner; `async with` connects and disconnects.

    `client_id` (a UUID) identifies the owner; use the same one again to get at the same orders, and a
    separate one for each program. The client reconnects whenever the connection ends, resends unanswered
    requests, and first receives the reports it missed; each report is delivered once. A call without an
    answer within `timeout_s` raises OrderError `no_answer`, a refused one OrderError with the gateway's code;
    entering raises UnreachableError.
    """

    def __init__(self, url: str, *, client_id: str, timeout_s: float = 10.0) -> None:
        """Use the gateway at `url` (http://host:port)."""
        self._timeout_s = timeout_s
        self._connection = ReconnectingConnection(
            url, str(uuid.UUID(client_id)), self._receive, self._resubscribe
        )
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None
        self._slots = asyncio.Semaphore(_MAX_PENDING)
        self._reports = ReportQueue()
        self._quotes = QuoteQueue()
        self._seen = SeenReports()
        self._subscriptions: dict[str, str] = {}

    async def __aenter__(self) -> OrderClient:
        """Connect; raise UnreachableError if that fails."""
        await self._connection.connect(self._timeout_s)
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(self._connection.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; active orders remain active."""
        if self._running is not None:
            self._running.cancel()
        self._reports.close()
        self._quotes.close()
        # Given the caller's exception, the task group would wrap it in an ExceptionGroup.
        await self._tasks.__aexit__(None, None, None)
        await self._connection.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection at present."""
        return self._connection.is_open

    async def place(
        self,
        instrument: str,
        side: Side | str,
        amount: Number,
        price: Number | None = None,
        *,
        kind: Kind | str = Kind.LIMIT,
        time_in_force: TimeInForce | str | None = None,
        client_order_id: str | None = None,
        outcome: Outcome | str | None = None,
    ) -> Order:
        """Place an order and return it once the gateway has stored it, usually still active.

        It is placed only once even if it must be resent, thanks to its `client_order_id`; one is generated if
        none is given. `price` is None for market orders only.
        """
        own_id = client_order_id or str(uuid.uuid4())
        message = {
            "instrument": instrument,
            "side": side,
            "amount": amount,
            "price": price,
            "type": kind,
            "time_in_force": time_in_force,
            "client_order_id": own_id,
            "outcome": outcome,
        }
        answer, _ = await self._exchange(RequestKind.PLACE, message, own_id)
        return _expect(answer, Report, own_id).order

    async def cancel(self, order_id: str) -> Order:
        """Cancel an active order and return it; OrderError `not_active` names the state of any other."""
        answer, resent = await self._exchange(RequestKind.CANCEL, {"order_id": order_id})
        if resent and isinstance(answer, Error) and answer.code == "not_active":
            # The first attempt may have succeeded, although its answer was lost.
            for order in await self.orders():
                if order.order_id == order_id and order.status is Status.CANCELLED:
                    return order
        return _expect(answer, Report).order

    async def orders(self) -> list[Order]:
        """Return all active orders and the newest 1,000 others, oldest first."""
        return (await self._request(RequestKind.GET_ORDERS, {}, OrdersList)).orders

    async def trades(self, instrument: str) -> list[Trade]:
        """Return the newest 1,000 trades in one instrument, oldest first."""
        return (await self._request(RequestKind.GET_TRADES, {"instrument": instrument}, TradesList)).trades

    async def positions(self) -> list[Position]:
        """Return the positions in all instruments ever traded."""
        return (await self._request(RequestKind.GET_TRADES, {}, TradesList)).positions

    async def subscribe(self, instrument: str) -> None:
        """Subscribe to an instrument's quotes, which `quotes` then yields under the name given here."""
        answer = await self._request(RequestKind.SUBSCRIBE, {"instrument": instrument}, Success)
        self._subscriptions[instrument] = answer.subscription_id

    async def unsubscribe(self, instrument: str) -> None:
        """End a subscription, if there is one."""
        subscription_id = self._subscriptions.pop(instrument, None)
        if subscription_id is None:
            return
        answer, _ = await self._exchange(RequestKind.UNSUBSCRIBE, {"subscription_id": subscription_id})
        self._quotes.forget(instrument)
        if not isinstance(answer, Error) or answer.code != "unknown_subscription":  # it ended by itself
            _expect(answer, Success)

    def reports(self) -> AsyncIterator[Report]:
        """Iterate over the reports of the owner's orders since connecting, in order, each once; one reader.

        Up to 10,000 reports are queued. Until this is first called the oldest ones are dropped beyond that;
        from then on none is lost, and a reader that is so far behind delays all answers.
        """
        return aiter(self._reports)

    def quotes(self) -> AsyncIterator[MarketData]:
        """Iterate over the subscribed quotes, newest only: unread quotes are replaced by newer ones."""
        return aiter(self._quotes)

    async def _request(
        self, request: RequestKind, message: Mapping[str, Any], kind: type[_Expected]
    ) -> _Expected:
        answer, _ = await self._exchange(request, message)
        return _expect(answer, kind)

    async def _exchange(
        self, request: RequestKind, message: Mapping[str, Any], client_order_id: str | None = None
    ) -> Answered:
        """Return the answer or permanent refusal; after transient refusals retry until the timeout."""
        refused: Error | None = None
        resent = False
        try:
            async with asyncio.timeout(self._timeout_s), self._slots:
                while True:
                    answer, again = await self._connection.request(request, message)
                    resent = resent or again
                    if not isinstance(answer, Error) or answer.code not in _RETRY_S:
                        return Answered(answer, resent)
                    refused, resent = answer, True
                    await asyncio.sleep(_RETRY_S[answer.code])
        except TimeoutError:
            if refused is not None:
                raise OrderError(refused.code, refused.reason, client_order_id) from None
            raise OrderError("no_answer", self._no_answer(client_order_id), client_order_id) from None

    def _no_answer(self, client_order_id: str | None) -> str:
        text = f"no answer within {self._timeout_s:g} s: it is not known whether it was done"
        if client_order_id is None:
            return f"{text}; try again"
        return f"{text}; place it again with client_order_id {client_order_id}, which places it once"

    async def _receive(self, message: Answer | Update) -> None:
        if isinstance(message, Report):
            if self._seen.is_new(message):
                await self._reports.put(message)
        elif isinstance(message, Update):
            if message.newest is not None:
                self._quotes.put(message.newest)
        elif isinstance(message, Error) and message.request_id is None:
            _LOG.warning("error from the order gateway: %s (%s)", message.reason, message.code)

    async def _resubscribe(self) -> None:
        """Renew the subscriptions on a new connection."""
        for instrument in list(self._subscriptions):
            try:
                await self.subscribe(instrument)
            except OrderError as error:
                del self._subscriptions[instrument]
                _LOG.warning("no more quotes of %s: %s", instrument, error)


def _expect(answer: Answer, kind: type[_Expected], client_order_id: str | None = None) -> _Expected:
    """Return the answer if it is of the expected type, else raise it as an error."""
    if isinstance(answer, kind):
        return answer
    if isinstance(answer, Error):
        raise OrderError(answer.code, answer.reason, client_order_id)
    raise OrderError("unexpected", f"unexpected answer: {type(answer).__name__}", client_order_id)
