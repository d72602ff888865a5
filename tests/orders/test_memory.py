"""Memory of the order service at its bounds: what is beyond them is refused and leaves nothing behind."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from crypto_stream.bus.orders import Attach, Failed, ListOrders, Place
from crypto_stream.orders.limits import OrderLimits
from tests.orders.house import BUY, LIVE, SETTINGS, House, house, limit

_MB = 1024 * 1024
TICKET = limit(BUY, "1", "90")


@pytest.fixture
def allocated() -> Iterator[Callable[[], int]]:
    """Count the bytes of all Python objects made since the test began."""
    tracemalloc.start()

    def count() -> int:
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    yield count
    tracemalloc.stop()


def _place(one: House, orders: int) -> set[str]:
    """Place so many orders; return the codes of the refusals, and forget all answers."""
    for _ in range(orders // 100):
        one.orders.commands("one", [Place(1, 1, TICKET)] * 100)
    one.settle()
    codes = set(one.failures(1))
    one.told["one", 1].clear()
    return codes


def test_active_orders(path: Path, allocated: Callable[[], int]) -> None:
    """An order is a few kilobytes; many refused ones are nothing."""
    with house(path, SETTINGS._replace(max_open=OrderLimits(of_owner=10_000, in_all=1_000))) as one:
        one.quote(LIVE)
        one.attach(1, "crowd")
        before = allocated()
        accepted = _place(one, 1_000)
        full = allocated()
        refused = _place(one, 5_000)
        beyond = allocated()

    assert (accepted, refused) == (set(), {"too_many_orders"})
    assert full - before < 1_000 * 5_000
    assert beyond - full < _MB


def test_changes_that_wait_for_the_disk(path: Path, allocated: Callable[[], int]) -> None:
    """No order is accepted while too many changes wait; what is refused does not wait as well."""
    with house(path, SETTINGS._replace(max_open=OrderLimits(of_owner=10_000)), max_queued=1_000) as one:
        one.quote(LIVE)
        one.attach(1, "crowd")
        one.disk.free.clear()
        before = allocated()
        accepted = _place(one, 1_000)
        one.until(lambda: one.disk.waits)
        _place(one, 100)  # the bound is looked at before an order is taken
        full = allocated()
        refused = _place(one, 5_000)
        beyond = allocated()

    assert (accepted, refused) == (set(), {"store_unavailable"})
    assert full - before < 1_100 * 5_000
    assert beyond - full < _MB


def test_requests_before_all_orders_are_loaded(path: Path, allocated: Callable[[], int]) -> None:
    """A thousand of each connection wait, twenty thousand in all; the others are refused at once."""
    one = House(path)
    for number in range(1, 31):
        one.told["one", number] = []
        one.orders.commands("one", [Attach(number, f"owner {number}", anonymous=False)])
    before = allocated()
    some_refused = _list(one, 1_000, refused=10_000)
    full = allocated()
    all_refused = _list(one, 2_000, refused=60_000)
    beyond = allocated()
    one.start()
    one.stop()

    assert some_refused == all_refused == {"starting"}
    assert full - before < 20_000 * 1_000
    assert beyond - full < _MB


def _list(one: House, requests: int, *, refused: int) -> set[str]:
    """Ask for that many lists in each session; wait for the refusals, return their codes and forget them."""
    for number in range(1, 31):
        one.orders.commands("one", [ListOrders(number, 1)] * requests)
    one.until(lambda: sum(map(len, one.told.values())) == refused)
    codes = {told.code for news in one.told.values() for told in news if isinstance(told, Failed)}
    for news in one.told.values():
        news.clear()
    return codes
