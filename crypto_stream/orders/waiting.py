"""Orders that have reached their market and wait for a book, together, not one by one. Pure."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from crypto_stream.market.orders import Side
from crypto_stream.orders.matching import ActiveOrder

# The source whose book they wait for, their instrument and side.
_Key = tuple[str, str, Side]


class _Group:
    """Orders that wait for the same book.

    `least` has the smallest amount and the narrowest limit of any: while even that must wait, all of them do.
    """

    def __init__(self, first: ActiveOrder) -> None:
        self.orders: list[ActiveOrder] = []
        self.least = msgspec.structs.replace(first)

    def add(self, active: ActiveOrder) -> None:
        least, narrower = self.least, min if active.order.ticket.side is Side.BUY else max
        least.remaining = min(least.remaining, active.remaining)
        if active.price is not None:
            least.price = active.price if least.price is None else narrower(least.price, active.price)
        self.orders.append(active)


class WaitingOrders:
    """Orders by the book that they wait for, so that looking for it costs the same however many there are."""

    def __init__(self) -> None:
        self._groups: dict[_Key, _Group] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(self, active: ActiveOrder, source: str) -> None:
        """Let an order wait for the book of a source."""
        key = (source, active.order.ticket.symbol, active.order.ticket.side)
        if key not in self._groups:
            self._groups[key] = _Group(active)
        self._groups[key].add(active)

    def released(self, awaited: Callable[[ActiveOrder], str | None]) -> list[ActiveOrder]:
        """Return, and remove, the orders of which some need not wait any longer.

        `awaited` returns the source whose book an order waits for now; None if for none.
        """
        keys = [key for key, group in self._groups.items() if awaited(group.least) != key[0]]
        return [active for key in keys for active in self._groups.pop(key).orders]
