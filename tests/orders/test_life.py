"""Random histories of orders against a simple reference: quotes, time, failures, kills, sessions."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crypto_stream.bus.orders import Failed, Place, Reported
from crypto_stream.market.orders import Kind, Outcome, Report, Side, Ticket, TimeInForce
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.transitions import leaves
from crypto_stream.storage.interface import Stores
from tests.orders.house import SETTINGS, SYMBOLS, House, a_quote
from tests.orders.reference import Event, Reference, Shown
from tests.stores import StoreFactory
from tests.waiting import SCALE

MAX_OPEN = 6
BUSY = (SYMBOLS[0], *SYMBOLS)  # one of them is busier
SESSIONS = st.integers(1, 4)
PRICES = st.integers(97, 101)
TIMES = st.sampled_from([1, 60, 150, 150, 30_000, 61_000])
TICKETS = st.builds(
    Ticket,
    symbol=st.sampled_from(BUSY),
    side=st.sampled_from(Side),
    amount=st.integers(1, 6).map(str),
    price=PRICES.map(str),
    time_in_force=st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK]),
    client_order_id=st.sampled_from([None, None, "a", "b"]),
    outcome=st.sampled_from([None, None, None, None, *Outcome]),
) | st.builds(
    Ticket,
    symbol=st.sampled_from(BUSY),
    side=st.sampled_from(Side),
    amount=st.integers(1, 6).map(str),
    kind=st.just(Kind.MARKET),
)
LIVE = st.builds(
    Shown,
    st.sampled_from(["one", "two"]),
    PRICES,
    PRICES,
    st.sampled_from([None, 1, 2, 5]),
    st.just(False),
)
SHOWN = st.one_of(*[LIVE] * 5, LIVE.map(lambda shown: replace(shown, stale=True)))


class Life(RuleBasedStateMachine):
    """Apply every step to the service and to the reference; everything visible must be the same."""

    def __init__(self, stores: Stores) -> None:
        super().__init__()
        self.stores = stores
        self.house = House(stores, SETTINGS._replace(max_open=OrderLimits(MAX_OPEN)))
        self.house.start()
        self.reference = Reference(self.house.clock.ms)
        self.reference.shown = {symbol: Shown(None, 0, 0, None, stale=True) for symbol in SYMBOLS}
        self.owners: set[str] = set()
        self.received: dict[str, int] = {}
        self.attached: dict[
            int, tuple[int, int]
        ] = {}  # from which report of its list on, and before which seq
        self.again: set[int] = set()  # refs that were answered with a report of before
        _, self.reader = stores.orders()

    @initialize(shown=st.lists(LIVE, min_size=len(SYMBOLS), max_size=len(SYMBOLS)))
    def open_markets(self, shown: list[Shown]) -> None:
        for symbol, one in zip(SYMBOLS, shown, strict=True):
            self._show(symbol, one)
        for session, owner in enumerate(("me", "you"), 1):
            self.attach(session, owner)

    @rule(session=SESSIONS, owner=st.sampled_from(["me", "you", None]))
    def attach(self, session: int, owner: str | None) -> None:
        name = owner or f"nobody {len(self.owners)}"
        if session in self.reference.sessions:
            self.reference.leave(session)
        self.owners.add(name)
        self.reference.sessions[session] = name
        self.reference.expires.pop(name, None)
        self.house.attach(session, name, anonymous=owner is None)
        self.attached[session] = (0, self.received.get(name, 0))

    @precondition(lambda self: self.reference.sessions)
    @rule(at=SESSIONS, all_of_them=st.booleans())
    def detach(self, at: int, all_of_them: bool) -> None:
        leaving = list(self.reference.sessions) if all_of_them else [self._session(at)]
        for session in leaving:
            self.reference.leave(session)
        if all_of_them:
            self.house.orders.left("one")
            self.house.settle()
        else:
            self.house.detach(leaving[0])

    @precondition(lambda self: self.reference.sessions)
    @rule(at=SESSIONS, tickets=st.lists(TICKETS, min_size=1, max_size=5), ms=st.sampled_from([0, 150, 150]))
    def place(self, at: int, tickets: list[Ticket], ms: int) -> None:
        for ticket in tickets:
            self._place(self._session(at), ticket)
        self.house.advance(ms)
        self.reference.advance(ms)

    def _place(self, session: int, ticket: Ticket) -> None:
        owner = self.reference.sessions[session]
        code, same = self._expected(owner, ticket)
        answer = self.house.place(session, ticket)

        if code is not None:
            assert isinstance(answer, Failed)
            assert answer.code == code
        else:
            assert isinstance(answer, Reported)
            if same is None:
                self.reference.accept(answer.report.order)
                self.reference.advance(0)
            else:
                self.again.add(answer.ref)
                assert answer.report.order.order_id == same

    @precondition(lambda self: self.reference.sessions and self.reference.orders)
    @rule(at=SESSIONS, back=st.integers(0, 9))
    def cancel(self, at: int, back: int) -> None:
        session = self._session(at)
        owner = self.reference.sessions[session]
        order_id = list(self.reference.orders)[-1 - back % len(self.reference.orders)]
        one = self.reference.orders[order_id]
        trouble, mine = self.reference.trouble, one.order.owner == owner
        if mine and one.left and not trouble:
            self.reference.cancel(order_id)
        answer = self.house.cancel(session, order_id)

        if trouble or self.reference.trouble:
            assert isinstance(answer, Failed)
            assert answer.code == "store_unavailable"
        elif isinstance(answer, Failed):
            assert answer.code == ("not_active" if mine else "unknown_order")
        else:
            assert mine
            assert isinstance(answer, Reported)
            assert answer.report.order.order_id == order_id

    @rule(
        steps=st.lists(TIMES | st.tuples(st.sampled_from(BUSY), SHOWN), min_size=1, max_size=8),
        fails=st.sampled_from([False, False, True]),
    )
    def market_moves(self, steps: list[int | tuple[str, Shown]], fails: bool) -> None:
        if fails:
            self.disk_refuses_or_is_mended(refuses=True)
        for step in steps:
            if isinstance(step, int):
                self.house.advance(step)
                self.reference.advance(step)
            else:
                self._show(*step)
                self.house.settle()
        if fails:
            self.disk_refuses_or_is_mended(refuses=False)

    @rule(symbol=st.sampled_from(SYMBOLS))
    def instrument_leaves_and_returns(self, symbol: str) -> None:
        del self.house.quotes[symbol]
        self.house.orders.remove_instruments([symbol])
        self.house.settle()
        self.house.quotes[symbol] = a_quote(symbol, None, stale=True)
        self.house.orders.add_instruments([symbol])
        self.reference.remove(symbol)

    @precondition(lambda self: self.reference.sessions and not self.reference.refuses)
    @rule(at=SESSIONS, back=st.integers(0, 2))
    def receive(self, at: int, back: int) -> None:
        session = self._session(at)
        owner, told = self.reference.sessions[session], self._sent(session)
        if len(told) > back:
            seq = told[-1 - back].seq
            self.house.receive(session, seq)
            self.received[owner] = max(seq, self.received.get(owner, 0))

    @rule(refuses=st.sampled_from([True, False, False]))
    def disk_refuses_or_is_mended(self, refuses: bool) -> None:
        if refuses and not self.reference.refuses:
            self.reference.refuses = True
            self.house.disk.refuses = OSError("disk full")
            return
        self.reference.refuses = False
        if self.reference.trouble:
            for session, owner in self.reference.sessions.items():
                told = len(self._reports(session))
                self.attached[session] = (told, self.received.get(owner, 0))
            self.reference.begin()
        self.house.repair()

    @precondition(lambda self: self.reference.sessions and not self.reference.refuses)
    @rule(at=SESSIONS, ticket=TICKETS, stored=st.booleans())
    def killed_while_placing(self, at: int, ticket: Ticket, stored: bool) -> None:
        session = self._session(at)
        owner = self.reference.sessions[session]
        code, same = self._expected(owner, ticket)
        known = {one.order_id for one in self.reader.orders(owner, 1000)}
        self.house.disk.free.clear()
        self.house.orders.commands("one", [Place(session, 1, ticket)])
        self._die(stored)
        new = [one for one in self.reader.orders(owner, 1000) if one.order_id not in known]

        assert [one.ticket for one in new] == ([ticket] if stored and code is None and same is None else [])
        for order in new:
            self.reference.accept(order)
        self._revive()

    @precondition(lambda self: not self.reference.refuses)
    @rule(symbol=st.sampled_from(SYMBOLS), shown=SHOWN, stored=st.booleans())
    def killed_while_trading(self, symbol: str, shown: Shown, stored: bool) -> None:
        self.house.disk.free.clear()
        self.reference.refuses = not stored
        self._show(symbol, shown)
        self._die(stored)
        self._revive()

    @invariant()
    def the_disk_contains_what_the_reference_does(self) -> None:
        """Every acknowledged order is stored, with its fills, and adds up."""
        for owner in self.owners:
            stored = self.reader.orders(owner, 1000)
            expected = [one for one in self.reference.orders.values() if one.order.owner == owner]
            assert [(one.order_id, one.status, one.cum_amount) for one in stored] == [
                (one.order.order_id, one.status, str(one.cum)) for one in expected
            ]
            for one, order in zip(expected, stored, strict=True):
                assert leaves(order) >= 0
                assert one.left in (0, leaves(order))

    @invariant()
    def sessions_were_sent_everything_in_order(self) -> None:
        """From the first unreceived report, without gaps, each as it is stored."""
        for session, owner in self.reference.sessions.items():
            told = self._sent(session)
            if self.reference.trouble:
                continue
            events = self.reference.events.get(owner, [])
            first = self.attached[session][1] + 1
            assert [report.seq for report in told] == list(range(first, len(events) + 1))
            assert [_event(report) for report in told] == events[first - 1 :]

    @invariant()
    def trouble_is_reported(self) -> None:
        """The service reports trouble exactly if something could not be written."""
        assert (self.house.orders.trouble is not None) == self.reference.trouble

    def teardown(self) -> None:
        self.house.stop()
        self.reader.close()
        writer, _ = self.stores.orders()
        writer.open()
        for owner in self.owners:
            found = writer.owner(owner)
            events = self.reference.events.get(owner, [])
            received = self.received.get(owner, 0)
            assert found.last_seq == len(events)
            assert [report.seq for report in found.unread] == list(range(received + 1, len(events) + 1))
            assert [_event(report) for report in found.unread] == events[received:]
        writer.close()
        self.stores.close()

    def _session(self, at: int) -> int:
        """Pick an open session."""
        sessions = list(self.reference.sessions)
        return sessions[at % len(sessions)]

    def _expected(self, owner: str, ticket: Ticket) -> tuple[str | None, str | None]:
        """Return the code of the refusal, or the order that it already is."""
        reference = self.reference
        if reference.trouble:
            return "store_unavailable", None
        if len(reference.active(owner)) >= MAX_OPEN:
            return "too_many_orders", None
        if ticket.outcome is None and reference.shown[ticket.symbol].stale:
            return "no_market", None
        for order_id, one in reference.orders.items():
            if ticket.client_order_id and (one.order.owner, one.order.ticket.client_order_id) == (
                owner,
                ticket.client_order_id,
            ):
                return (None, order_id) if one.order.ticket == ticket else ("duplicate_client_order_id", None)
        reference.trouble = reference.refuses
        return ("store_unavailable" if reference.refuses else None), None

    def _show(self, symbol: str, shown: Shown) -> None:
        size = None if shown.size is None else str(shown.size)
        top = (str(shown.bid), str(shown.ask))
        quote = a_quote(
            *(symbol, shown.source), bid=top[0], ask=top[1], bid_size=size, ask_size=size, stale=shown.stale
        )
        self.reference.show(symbol, shown)
        self.house.quotes[symbol] = quote
        self.house.orders.quoted([quote])

    def _die(self, stored: bool) -> None:
        """End this run, before or after pending items are stored; nothing is reported."""
        (self.house.stop if stored else self.house.kill)()

    def _revive(self) -> None:
        now_ms = self.house.clock.ms
        self.house = House(self.stores, SETTINGS._replace(max_open=OrderLimits(MAX_OPEN)))
        self.house.clock.ms = now_ms
        self.again.clear()  # its commands are numbered anew
        self.house.start()
        self.reference.restart()
        self.reference.begin()

    def _sent(self, session: int) -> list[Report]:
        """Return the reports sent to a session since it was last attached."""
        return self._reports(session)[self.attached[session][0] :]

    def _reports(self, session: int) -> list[Report]:
        """Return all reports sent to a session, except answers to orders sent again."""
        return [
            one.report
            for one in self.house.told["one", session]
            if isinstance(one, Reported) and one.ref not in self.again
        ]


def _event(report: Report) -> Event:
    amount = None if report.last_amount is None else int(report.last_amount)
    price = None if report.last_price is None else int(report.last_price)
    return Event(report.order.order_id, report.exec_type, amount, price, report.source)


@pytest.mark.timeout(120 * SCALE)
def test_life(store_factory: StoreFactory) -> None:
    """On each kind of store, every example on stores of its own."""
    run_state_machine_as_test(
        lambda: Life(store_factory.stores()),  # type: ignore[arg-type]
        settings=settings(max_examples=80, stateful_step_count=40, deadline=None),
    )


def test_a_size_that_was_taken_stays_taken_over_a_kill(store_factory: StoreFactory) -> None:
    """The same quote shown again after it offers only the rest: found by chance, kept as an example."""
    life = Life(store_factory.stores())
    buy = Ticket("btcusdt", Side.BUY, "1", "97")
    life.open_markets(shown=[Shown("two", 97, 97, 1, stale=False), Shown("one", 97, 97, None, stale=False)])
    life.attach(owner="me", session=1)
    life.place(at=1, ms=150, tickets=[buy] * 4)
    life.killed_while_placing(at=1, stored=False, ticket=buy)
    life.market_moves(fails=False, steps=[1, ("btcusdt", Shown("two", 97, 97, 1, stale=False))])

    life.the_disk_contains_what_the_reference_does()
    life.sessions_were_sent_everything_in_order()
    life.teardown()
