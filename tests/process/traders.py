"""Who trades over /ws whatever happens to the servers, and writes down all that it is told."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import uuid
from collections import Counter
from collections.abc import Callable, Collection
from contextlib import suppress
from decimal import Decimal
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tests.waiting import SCALE, until

Json = dict[str, Any]

ACTIVE, FILLED = 1, 2  # order_status
BUY, SELL = 1, 2
MOST_ORDERS = 800  # of one owner: the list of orders has its newest 1,000 closed ones
# EUR/RUB walks round 87: some of these fill at once, some when the walk comes, some never.
_PRICES = [f"{86.9 + cents / 100:.2f}" for cents in range(21)]
_MARKET = {"type": "market", "time_in_force": "ioc"}
LATER = frozenset({"engine_unreachable", "starting", "no_market"})
_LONGEST_PAUSE_S = 0.04
_MOST_UNANSWERED = 20


class Trader:
    """One owner, its wishes and its notes; `faults` must stay empty.

    `tickets` is all that it ever asked for by client_order_id, `unanswered` those of them it has no report
    of: they are asked for again, as they were, until there is one. `refused` counts refusals by their codes.
    """

    def __init__(
        self,
        where: Callable[[], str],
        chance: random.Random,
        later: Collection[str] = LATER,
        longest_pause_s: float = _LONGEST_PAUSE_S,
    ) -> None:
        """Trade at the address that `where` says at the moment.

        Refusals with a code in `later` are no faults; requests are so far apart at most.
        """
        self.owner = str(uuid.UUID(int=chance.getrandbits(128), version=4))
        self.placing = True
        self.tickets: dict[str, Json] = {}
        self.unanswered: dict[str, Json] = {}
        self.reports: dict[int, Json] = {}
        self.orders: dict[str, Json] = {}  # by order_id, the newest report
        self.resent = 0  # reports that came again
        self.refused: Counter[str] = Counter()
        self.faults: list[str] = []
        self._where = where
        self._chance = chance
        self._later = later
        self._longest_pause_s = longest_pause_s
        self._numbers = itertools.count(1)
        self._lists: dict[int, asyncio.Future[list[Json]]] = {}
        self._connection: ClientConnection | None = None

    async def trade(self) -> None:
        """Trade until cancelled, over as many connections as it takes."""
        while True:
            with suppress(OSError, WebSocketException, TimeoutError):
                url = f"{self._where()}/ws?mode=extended&client_id={self.owner}"
                async with connect(url, max_queue=None, max_size=None) as connection:
                    await self._trade_on(connection)
            await asyncio.sleep(0.05)

    async def check_orders(self) -> None:
        """Ask for the list of orders until it comes; each acknowledged one is in it, as new as was told."""
        known = {order_id: dict(report) for order_id, report in self.orders.items()}
        listed = {order["order_id"]: order for order in await self._list()}
        for order_id, report in known.items():
            order = listed.get(order_id)
            if order is None:
                self.faults.append(f"acknowledged and not listed: {report}")
            elif Decimal(order["cum_amount"]) < Decimal(report["cum_amount"]):
                self.faults.append(f"listed with less than was told: {order}, told {report}")
            elif report["order_status"] != ACTIVE and order["status"] != report["order_status"]:
                self.faults.append(f"listed otherwise than was told: {order}, told {report}")

    @property
    def active(self) -> list[str]:
        """List the orders that are active for all that was told."""
        return [one for one, report in self.orders.items() if report["order_status"] == ACTIVE]

    async def settle(self) -> None:
        """Ask for nothing new and cancel what is active; return when nothing more can happen."""
        self.placing = False
        try:
            await until(lambda: not self.unanswered and not self.active, 60 * SCALE)
        except TimeoutError:
            self.faults.append(f"{self.owner}: without an answer {self.unanswered}, active {self.active}")

    async def _trade_on(self, connection: ClientConnection) -> None:
        """Ask and listen; what the connection brought before its end is read to the end."""
        async with asyncio.TaskGroup() as group:
            asking = group.create_task(self._ask_for_ever(connection))
            self._connection = connection
            try:
                async for text in connection:
                    self._take(json.loads(text))
            except WebSocketException:
                pass
            self._connection = None
            asking.cancel()

    async def _ask_for_ever(self, connection: ClientConnection) -> None:
        with suppress(OSError, WebSocketException):
            await self._again(connection, list(self.unanswered.values()))
            while True:
                await asyncio.sleep(self._chance.uniform(0, self._longest_pause_s))
                if self.placing:
                    await self._ask(connection)
                else:
                    await self._clear(connection)

    async def _ask(self, connection: ClientConnection) -> None:
        """Place an order, cancel one, or send a ticket once more: there must not be two orders of it."""
        what = self._chance.random()
        if what < 0.6 and len(self.unanswered) < _MOST_UNANSWERED:
            await self._send(connection, 3, self._new_ticket())
            self.placing = len(self.tickets) < MOST_ORDERS
        elif 0.6 <= what < 0.8 and self.orders:
            await self._cancel(connection, self._chance.choice(self.active or list(self.orders)))
        elif self.tickets:
            again = self.unanswered if what < 0.95 and self.unanswered else self.tickets
            await self._again(connection, [self._chance.choice(list(again.values()))])

    async def _clear(self, connection: ClientConnection) -> None:
        """Get an answer to everything, and nothing left that could change."""
        await self._again(connection, list(self.unanswered.values())[:5])
        for order_id in self.active[:10]:
            await self._cancel(connection, order_id)
        await asyncio.sleep(0.1)

    async def _again(self, connection: ClientConnection, tickets: list[Json]) -> None:
        for ticket in tickets:
            await self._send(connection, 3, ticket)

    async def _cancel(self, connection: ClientConnection, order_id: str) -> None:
        await self._send(connection, 4, {"order_id": order_id})

    def _new_ticket(self) -> Json:
        name = f"{len(self.tickets) + 1}"
        ticket = {
            "client_order_id": name,
            "instrument": self._chance.choice(["EUR/RUB", "EUR/RUB", "USD/RUB"]),
            "side": self._chance.choice([BUY, SELL]),
            "amount": f"{self._chance.randint(1, 400) / 10}",
        }
        if self._chance.random() < 0.1:
            ticket |= _MARKET
        else:
            far = Decimal("6.44") if ticket["instrument"] == "USD/RUB" else 0
            ticket["price"] = str(Decimal(self._chance.choice(_PRICES)) - far)
        self.tickets[name] = self.unanswered[name] = ticket
        return ticket

    async def _send(self, connection: ClientConnection, kind: int, message: Json) -> None:
        asked = {**message, "request_id": message.get("client_order_id", 0)}
        await connection.send(json.dumps({"messageType": kind, "message": asked}))

    async def _list(self) -> list[Json]:
        async with asyncio.timeout(60 * SCALE):
            while True:
                number = next(self._numbers)
                answer = self._lists[number] = asyncio.get_running_loop().create_future()
                if self._connection is not None:
                    ask = {"messageType": 5, "message": {"request_id": number}}
                    with suppress(OSError, WebSocketException):
                        await self._connection.send(json.dumps(ask))
                        with suppress(TimeoutError):
                            return await asyncio.wait_for(answer, 1)
                await asyncio.sleep(0.05)

    def _take(self, told: Json) -> None:
        kind, message = told["messageType"], told["message"]
        request_id = message.pop("request_id", None)
        if kind == 3:
            self._report(message)
        elif kind == 5:
            if not self._lists[request_id].done():
                self._lists[request_id].set_result(message["orders"])
        elif (code := message.get("code")) != "not_active":
            self.refused[str(code)] += 1
            if code not in self._later:
                self.faults.append(f"refused: {told}")

    def _report(self, report: Json) -> None:
        seq, order_id, name = report["seq"], report["order_id"], report["client_order_id"]
        known = self.reports.setdefault(seq, report)
        self.unanswered.pop(name, None)
        if known != report:
            self.faults.append(f"{self.owner}: report {seq} was {known}, then {report}")
        elif seq < len(self.reports):
            self.resent += 1
        elif seq > len(self.reports):
            self.faults.append(f"{self.owner}: report {seq} is only the {len(self.reports)}th")
        elif order_id not in self.orders and report["exec_type"] != "new":
            self.faults.append(f"{self.owner}: the first of an order is {report}")
        elif name not in self.tickets:
            self.faults.append(f"{self.owner}: nobody asked for {report}")
        self.orders[order_id] = self.reports[max(seq, self._newest(order_id))]

    def _newest(self, order_id: str) -> int:
        return int(self.orders[order_id]["seq"]) if order_id in self.orders else 0
