"""Orders of a running gateway, for programs with an event loop."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Mapping
from decimal import Decimal
from types import TracebackType
from typing import Any, TypeVar

from crypto_stream.client.errors import OrderError
from crypto_stream.client.link import Answered, Link
from crypto_stream.client.messages import (
    Answer,
    Error,
    MarketData,
    Order,
    OrdersList,
    Position,
    Report,
    Request,
    Success,
    Trade,
    TradesList,
    Update,
)
from crypto_stream.client.queues import Known, QuoteQueue, ReportQueue
from crypto_stream.market.orders import Kind, Outcome, Side, Status, TimeInForce

_LOG = logging.getLogger(__name__)
_MOST_UNANSWERED = 100  # requests at once: all of them sent again stay within a second's allowance
# Refusals that pass, and the seconds after which the same is asked again; resending is safe.
_ASK_AGAIN_S = {"starting": 0.2, "engine_unreachable": 0.2, "rate_limited": 1.0}
_Wanted = TypeVar("_Wanted", bound=Answer)
Number = Decimal | int | str


class OrderClient:
    """Place, watch and cancel the orders of one owner; `async with` connects and disconnects.

    `client_id` (a UUID) is the owner: keep it, and the orders are there again. The connection is opened again
    whenever it ends; what was not answered is sent again, reports that happened meanwhile come first, each
    once. A call that has no answer after `timeout_s` raises OrderError `no_answer`, a refused one OrderError
    with the gateway's code; entering raises UnreachableError. Each program needs a `client_id` of its own.
    """

    def __init__(self, url: str, *, client_id: str, timeout_s: float = 10.0) -> None:
        """Talk to the gateway at `url` (http://host:port)."""
        self._timeout_s = timeout_s
        self._link = Link(url, str(uuid.UUID(client_id)), self._take, self._opened)
        self._tasks = asyncio.TaskGroup()
        self._running: asyncio.Task[None] | None = None
        self._room = asyncio.Semaphore(_MOST_UNANSWERED)
        self._reports = ReportQueue()
        self._quotes = QuoteQueue()
        self._known = Known()
        self._subscriptions: dict[str, str] = {}

    async def __aenter__(self) -> OrderClient:
        """Connect; UnreachableError when nobody answers."""
        await self._link.connect(self._timeout_s)
        await self._tasks.__aenter__()
        self._running = self._tasks.create_task(self._link.run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Disconnect; active orders stay."""
        if self._running is not None:
            self._running.cancel()
        self._reports.close()
        self._quotes.close()
        # Told nothing of the caller's exception: the group would wrap it in one of its own.
        await self._tasks.__aexit__(None, None, None)
        await self._link.close()

    @property
    def connected(self) -> bool:
        """Whether there is a connection now."""
        return self._link.is_open

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
        """Place an order and return it as the gateway keeps it on disk, usually still active.

        It is placed once, however often it must be sent: it has a `client_order_id`, its own when none is
        given. `price` is None exactly for `kind` market.
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
        answer, _ = await self._exchange(Request.PLACE, message, own_id)
        return _wanted(answer, Report, own_id).order

    async def cancel(self, order_id: str) -> Order:
        """Cancel an active order and return it; OrderError `not_active` names the state of any other."""
        answer, again = await self._exchange(Request.CANCEL, {"order_id": order_id})
        if again and isinstance(answer, Error) and answer.code == "not_active":
            # Done the first time perhaps, and the connection ended before we heard of it.
            for order in await self.orders():
                if order.order_id == order_id and order.status is Status.CANCELLED:
                    return order
        return _wanted(answer, Report).order

    async def orders(self) -> list[Order]:
        """Return all active orders and the newest 1,000 others, oldest first."""
        return (await self._ask(Request.GET_ORDERS, {}, OrdersList)).orders

    async def trades(self, instrument: str) -> list[Trade]:
        """Return the newest 1,000 trades in one instrument, oldest first."""
        return (await self._ask(Request.GET_TRADES, {"instrument": instrument}, TradesList)).trades

    async def positions(self) -> list[Position]:
        """Return what all trades come to, one position for each instrument ever traded."""
        return (await self._ask(Request.GET_TRADES, {}, TradesList)).positions

    async def subscribe(self, instrument: str) -> None:
        """Have the quotes of one instrument come to `quotes`, named as it is named here."""
        answer = await self._ask(Request.SUBSCRIBE, {"instrument": instrument}, Success)
        self._subscriptions[instrument] = answer.subscription_id

    async def unsubscribe(self, instrument: str) -> None:
        """End a subscription; nothing happens where there is none."""
        subscription_id = self._subscriptions.pop(instrument, None)
        if subscription_id is None:
            return
        answer, _ = await self._exchange(Request.UNSUBSCRIBE, {"subscription_id": subscription_id})
        self._quotes.forget(instrument)
        if not isinstance(answer, Error) or answer.code != "unknown_subscription":  # it ended by itself
            _wanted(answer, Success)

    def reports(self) -> AsyncIterator[Report]:
        """Iterate over what happens to the owner's orders, from the connecting on, in order, each once.

        For one reader. 10,000 reports wait; before this is called for the first time the oldest give way,
        from then on nothing is lost: a reader that far behind holds up all answers.
        """
        return aiter(self._reports)

    def quotes(self) -> AsyncIterator[MarketData]:
        """Iterate over the newest quotes of what is subscribed; one not taken gives way to a newer one."""
        return aiter(self._quotes)

    async def _ask(self, request: Request, message: Mapping[str, Any], kind: type[_Wanted]) -> _Wanted:
        answer, _ = await self._exchange(request, message)
        return _wanted(answer, kind)

    async def _exchange(
        self, request: Request, message: Mapping[str, Any], client_order_id: str | None = None
    ) -> Answered:
        """Return the answer, a lasting refusal too; what passes is asked again until the time is over."""
        refused: Error | None = None
        again = False
        try:
            async with asyncio.timeout(self._timeout_s), self._room:
                while True:
                    answer, sent_again = await self._link.ask(request, message)
                    again = again or sent_again
                    if not isinstance(answer, Error) or answer.code not in _ASK_AGAIN_S:
                        return Answered(answer, again)
                    refused, again = answer, True
                    await asyncio.sleep(_ASK_AGAIN_S[answer.code])
        except TimeoutError:
            if refused is not None:
                raise OrderError(refused.code, refused.reason, client_order_id) from None
            raise OrderError("no_answer", self._unanswered(client_order_id), client_order_id) from None

    def _unanswered(self, client_order_id: str | None) -> str:
        text = f"no answer within {self._timeout_s:g} s: it is not known whether it was done"
        if client_order_id is None:
            return f"{text}; ask again"
        return f"{text}; place it again with client_order_id {client_order_id}, which places it once"

    async def _take(self, message: Answer | Update) -> None:
        if isinstance(message, Report):
            if self._known.is_new(message):
                await self._reports.put(message)
        elif isinstance(message, Update):
            if message.newest is not None:
                self._quotes.put(message.newest)
        elif isinstance(message, Error) and message.request_id is None:
            _LOG.warning("the order gateway says: %s (%s)", message.reason, message.code)

    async def _opened(self) -> None:
        """Subscribe anew on a new connection."""
        for instrument in list(self._subscriptions):
            try:
                await self.subscribe(instrument)
            except OrderError as error:
                del self._subscriptions[instrument]
                _LOG.warning("no more quotes of %s: %s", instrument, error)


def _wanted(answer: Answer, kind: type[_Wanted], client_order_id: str | None = None) -> _Wanted:
    """Return the answer that was wanted, or raise the refusal."""
    if isinstance(answer, kind):
        return answer
    if isinstance(answer, Error):
        raise OrderError(answer.code, answer.reason, client_order_id)
    raise OrderError("unexpected", f"unexpected answer: {type(answer).__name__}", client_order_id)
