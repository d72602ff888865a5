"""Bounds of the order service: sessions, active orders, and data queued for slow clients."""

from __future__ import annotations

from pathlib import Path

import pytest

from crypto_stream.bus.orders import (
    Attach,
    Cut,
    Failed,
    ListOrders,
    OrderMessages,
    OrdersListed,
    Place,
    Reported,
)
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.lookups import MAX_CONCURRENT
from crypto_stream.orders.outbox import Outbox
from crypto_stream.orders.owners import Owner, OwnerSession
from tests.orders.house import BUY, LIVE, SETTINGS, House, house, limit


def _attach(one: House, session: int, owner: str, address: str, gateway: str = "one") -> None:
    one.told[gateway, session] = []
    one.orders.commands(gateway, [Attach(session, owner, anonymous=False, address=address)])
    one.settle()


def _code(one: House, session: int, gateway: str = "one") -> str:
    answer = one.place(session, limit(BUY, "1", "90"), gateway)
    return answer.code if isinstance(answer, Failed) else "placed"


@pytest.mark.parametrize(
    ("most", "setting"),
    [
        (OrderLimits(of_owner=50, of_address=3), "max_open_per_address"),
        (OrderLimits(of_owner=50, of_gateway=3), "max_open_per_gateway"),
        (OrderLimits(of_owner=50, in_all=3), "max_open_in_all"),
    ],
)
def test_many_owner_names_are_no_way_round_a_limit(path: Path, most: OrderLimits, setting: str) -> None:
    """The fourth order of any owner is refused; the text names the setting, an ended order makes room."""
    with house(path, SETTINGS._replace(max_open=most)) as one:
        one.quote(LIVE)
        for number in range(1, 5):
            _attach(one, number, f"owner {number}", "192.0.2.1")
        placed = [one.placed(number, limit(BUY, "1", "90")) for number in (1, 2, 3)]
        refused = one.place(4, limit(BUY, "1", "90"))
        one.cancel(1, placed[0].order_id)

        assert isinstance(refused, Failed)
        assert refused.code == "too_many_orders"
        assert setting in refused.reason
        assert _code(one, 4) == "placed"


def test_limits_are_per_address_and_gateway(path: Path) -> None:
    """Orders count where their owner last connected from, also after a start."""
    most = OrderLimits(of_owner=50, of_address=2, of_gateway=3)
    with house(path, SETTINGS._replace(max_open=most)) as one:
        one.quote(LIVE)
        _attach(one, 1, "anna", "192.0.2.1")
        _attach(one, 2, "bert", "192.0.2.2")
        _attach(one, 3, "carl", "192.0.2.1", gateway="two")
        codes = [_code(one, 1), _code(one, 1), _code(one, 1), _code(one, 2), _code(one, 2)]
        elsewhere = _code(one, 3, gateway="two")
        one.detach(1)
        one.detach(3, gateway="two")
    with house(path, SETTINGS._replace(max_open=most)) as one:
        one.quote(LIVE)
        _attach(one, 3, "carl", "192.0.2.1", gateway="two")
        unknown = [_code(one, 3, gateway="two"), _code(one, 3, gateway="two")]
        _attach(one, 1, "anna", "192.0.2.1")
        again = _code(one, 1)

    assert codes == ["placed", "placed", "too_many_orders", "placed", "too_many_orders"]
    assert elsewhere == "too_many_orders"  # the address has two
    assert unknown == ["placed", "placed"]
    assert again == "too_many_orders"


def test_the_sessions_of_an_owner_are_limited(path: Path) -> None:
    """One more is disconnected with a reason; the others stay, and an ended one makes room."""
    with house(path, SETTINGS._replace(max_sessions=2)) as one:
        one.quote(LIVE)
        for number in (1, 2, 3):
            one.attach(number, "me")
        one.attach(4, "you")
        cut = one.told["one", 3]
        one.detach(1)
        one.attach(5, "me")
        one.placed(5, limit(BUY, "1", "90"))

    assert [type(told) for told in cut] == [Cut]
    assert isinstance(cut[0], Cut)
    assert cut[0].code == "too_many_sessions"
    assert "max_sessions" in cut[0].reason
    assert len(one.reports(2)) == len(one.reports(5)) == 1
    assert one.reports(4) == []


def test_sessions_are_limited_at_a_start_too(path: Path) -> None:
    """Those that connected before the orders were loaded count too."""
    one = House(path, SETTINGS._replace(max_sessions=2))
    for number in (1, 2, 3):
        one.told["one", number] = []
        one.orders.commands("one", [Attach(number, "me", anonymous=False)])
    one.start()
    one.stop()

    assert [len(one.told["one", number]) for number in (1, 2, 3)] == [0, 0, 1]


def test_a_slow_gateway_delays_no_other_and_uses_little_memory(path: Path) -> None:
    """What is queued for it is bounded; then its sessions are disconnected, and their reports sent later."""
    with house(path, SETTINGS._replace(max_open=OrderLimits(10_000))) as one:
        one.quote(LIVE)
        for number in range(1, 21):
            one.attach(number, "crowd")
        one.attach(1, "other", gateway="two")
        one.behind.add("one")
        for _ in range(40):
            commands = [Place(1, 0, limit(BUY, "1", "90"))] * 250
            one.orders.commands("one", commands)
            one.settle()
        waiting = one.orders.counts().waiting
        cuts = one.orders.counts().cuts
        other = one.placed(1, limit(BUY, "1", "90"), gateway="two")
        told = one.reports(1, gateway="two")
        one.behind.clear()
        one.orders.drained("one")
        one.settle()
        ended = [number for number in range(1, 21) if isinstance(one.told["one", number][-1], Cut)]
        one.attach(30, "crowd")
        missed = one.reports(30)

    assert waiting <= 32 * 1024 * 1024
    assert cuts == len(ended) > 0
    assert [report.order for report in told] == [other]
    assert [report.seq for report in missed] == list(range(1, 1_001))


def test_lists_are_read_a_few_at_a_time_and_not_for_closed_sessions(path: Path) -> None:
    """A slow gateway has only a few lists read; closed sessions get nothing."""
    with house(path) as one:
        one.quote(LIVE)
        for number in range(1, 31):
            one.attach(number, f"owner {number}")
        one.attach(1, "other", gateway="two")
        one.behind.add("one")
        one.placed(1, limit(BUY, "1", "90"))
        one.orders.commands("one", [ListOrders(number, 7) for number in range(1, 31)])
        one.settle()
        read = one.orders.counts().waiting
        other = one.listed(1, gateway="two")
        one.orders.commands("one", [ListOrders(30, 8)])
        for number in range(1, 30):
            one.detach(number)
        one.behind.clear()
        one.orders.drained("one")
        one.settle()
        lists = [
            told
            for number in range(1, 31)
            for told in one.told["one", number]
            if isinstance(told, OrdersListed)
        ]

    assert 0 < read < (MAX_CONCURRENT + 2) * 1_000
    assert other == []
    assert [(told.session, told.ref) for told in lists] == [(30, 7), (30, 8)]


def test_the_session_with_most_queued_data_is_disconnected_first() -> None:
    """A small one is sent everything."""
    calls: list[object] = []
    given: list[OrderMessages] = []
    cut: list[OwnerSession] = []

    def tell(_gateway: str, messages: OrderMessages) -> bool:
        given.append(messages)
        return False

    def end(session: OwnerSession) -> None:
        cut.append(session)
        session.end()

    outbox = Outbox(tell, calls.append, end, lambda _session: None, max_total=20_000)  # type: ignore[arg-type]
    small, large = (OwnerSession("one", number, Owner("me", anonymous=False), outbox) for number in (1, 2))
    small.fail(1, "first", "the gateway is behind from now on")
    _run(calls)
    small.fail(2, "x", "y")
    for ref in range(80):
        large.fail(ref, "x", "y")
    _run(calls)
    outbox.drained("one")
    _run(calls)

    assert cut == [large]
    assert [[told.ref for told in each.messages] for each in given] == [[1], [2]]
    assert outbox.waiting == 0


def _run(calls: list[object]) -> None:
    while calls:
        calls.pop(0)()  # type: ignore[operator]


def test_every_session_is_sent_every_report(path: Path) -> None:
    """However many sessions there are, if they read in time."""
    with house(path) as one:
        one.quote(LIVE)
        for number in range(1, 21):
            one.attach(number, "me")
        for _ in range(30):
            one.placed(1, limit(BUY, "1", "90"))

        for number in range(1, 21):
            assert [type(told) for told in one.told["one", number]] == [Reported] * 30
