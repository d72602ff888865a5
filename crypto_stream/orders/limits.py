"""How many orders may be active: of one owner, from one address, at one gateway, in all. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import NamedTuple

from crypto_stream.errors import RefusedError
from crypto_stream.orders.owners import Owner


class OrderLimits(NamedTuple):
    """How many orders may be active; each is a setting."""

    of_owner: int = 2_000
    of_address: int = 10_000
    of_gateway: int = 50_000
    in_all: int = 100_000


class OpenOrders:
    """Count active orders where their owners are: an owner's count for where it last connected from.

    Who has not connected since the orders were loaded counts in all alone.
    """

    def __init__(self, limits: OrderLimits) -> None:
        self.active = 0
        self._limits = limits
        self._counts: Counter[Hashable] = Counter()

    def check(self, owner: Owner) -> None:
        """Raise RefusedError when an owner may not have one more."""
        limits = self._limits
        for count, most, setting, text in (
            (owner.open, limits.of_owner, "max_open_orders", "of one owner"),
            (self._counts[owner.address], limits.of_address, "max_open_per_address", "from one address"),
            (self._counts[owner.gateway], limits.of_gateway, "max_open_per_gateway", "at one gateway"),
            (self.active, limits.in_all, "max_open_in_all", "in all"),
        ):
            if count >= most:
                raise RefusedError(
                    "too_many_orders",
                    f"at most {most} orders {text} may be active ({setting}); cancel some first",
                )

    def count(self, owner: Owner, change: int) -> None:
        """Count orders of an owner that became active, or ended (below 0)."""
        owner.open += change
        self.active += change
        self._add(owner, change)

    def move(self, owner: Owner, address: str, gateway: str) -> None:
        """Count an owner's orders where it is now."""
        self._add(owner, -owner.open)
        owner.address, owner.gateway = address, gateway
        self._add(owner, owner.open)

    def _add(self, owner: Owner, change: int) -> None:
        for place in (owner.address, owner.gateway):
            if place:  # else nobody knows where it is
                self._counts[place] += change
                if not self._counts[place]:
                    del self._counts[place]
