"""Limits on active orders: per owner, per address, per gateway and in total. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.orders.owners import Owner


class OrderLimits(NamedTuple):
    """The maximum numbers of active orders; each is a setting."""

    of_owner: int = 2_000
    of_address: int = 10_000
    of_gateway: int = 50_000
    in_all: int = 100_000


class OpenOrders:
    """Count active orders; an owner's orders count for the address and gateway of its newest session.

    Owners that have not connected since the orders were loaded count only in the total.
    """

    def __init__(self, limits: OrderLimits) -> None:
        self.active = 0
        self._limits = limits
        self._counts: Counter[Hashable] = Counter()

    def check(self, owner: Owner) -> None:
        """Raise RefusedError if the owner must not place another order."""
        limits = self._limits
        for count, limit, setting, text in (
            (owner.open, limits.of_owner, "max_open_orders", "of one owner"),
            (self._counts[owner.address], limits.of_address, "max_open_per_address", "from one address"),
            (self._counts[owner.gateway], limits.of_gateway, "max_open_per_gateway", "at one gateway"),
            (self.active, limits.in_all, "max_open_in_all", "in total"),
        ):
            if count >= limit:
                raise RefusedError(
                    "too_many_orders",
                    f"at most {limit} orders {text} may be active ({setting}); cancel some first",
                )

    def count(self, owner: Owner, change: int) -> None:
        """Add `change` to the number of an owner's active orders."""
        owner.open += change
        self.active += change
        self._add(owner, change)

    def move(self, owner: Owner, address: str, gateway: str) -> None:
        """Count an owner's orders for its new address and gateway."""
        self._add(owner, -owner.open)
        owner.address, owner.gateway = address, gateway
        self._add(owner, owner.open)

    def _add(self, owner: Owner, change: int) -> None:
        for place in (owner.address, owner.gateway):
            if place:  # empty while unknown
                self._counts[place] += change
                if not self._counts[place]:
                    del self._counts[place]
