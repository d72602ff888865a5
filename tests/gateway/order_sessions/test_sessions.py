"""A single session on real sockets, with a hub, a clock and a host controlled by the test."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import pytest
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State

from crypto_stream.bus.messages import Quotes
from crypto_stream.bus.orders import (
    MAX_PENDING,
    Command,
    Detach,
    Failed,
    ListOrders,
    OrdersListed,
    Place,
    Received,
    Reported,
)
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.order_sessions.limits import Client, SessionLimits
from crypto_stream.gateway.order_sessions.market_data import MarketData
from crypto_stream.gateway.order_sessions.pending import ANSWER_TIMEOUT_S, MAX_LISTS
from crypto_stream.gateway.order_sessions.session import HEARTBEAT_S, MAX_BACKLOG, OrderSession
from crypto_stream.gateway.rate_limit import MAX_REFUSALS, RateLimit, cost_of
from crypto_stream.market.instruments import Catalogue, Instrument
from crypto_stream.market.orders import Side as OrderSide
from crypto_stream.market.orders import Ticket
from tests.gateway.engine import quote as a_quote
from tests.gateway.order_sessions.trader import EXCHANGED, OWNER, PLACE, order, report
from tests.gateway.websocket_pair import Hub, bounds

SLOW_CLIENT_TIMEOUT_S = 30.0


class FakeHost:
    """A `SessionHost` that records what the session asks of it."""

    def __init__(self) -> None:
        self.limits = SessionLimits(200, 3, SLOW_CLIENT_TIMEOUT_S)
        self.counters = OrderMetrics()
        self.mirror = Mirror()
        self.market = MarketData(self.mirror, self.counters, lambda: None)
        self.up = True
        self.now_s = 1_000.0
        self.asked: list[Command] = []
        self.gone: list[int] = []
        self.why = ""
        self.owed = 0
        self._catalogue = Catalogue(EXCHANGED)

    def quote(self, bid: str) -> None:
        """Publish a quote of EUR/RUB."""
        quote = msgspec.structs.replace(a_quote(EXCHANGED[4], 1), bid=bid)
        self.mirror.receive(Quotes(1, [quote]), self.now_s)

    def clock(self) -> float:
        return self.now_s

    def find(self, text: str) -> Instrument | None:
        return self._catalogue.find(text)

    def name(self, symbol: str) -> str:
        return symbol

    def send_command(self, command: Command) -> None:
        self.asked.append(command)

    def change_owner(self, before: str, owner: str) -> None:
        self.owner = owner

    def note_backlog(self, number: int, size: int) -> None:
        self.owed = size

    def ended(self, number: int, reason: str) -> None:
        self.gone.append(number)
        self.why = reason


class Harness:
    """A session with its host and hub, and the client's end of its connection."""

    def __init__(self, ours: socket.socket, client: socket.socket) -> None:
        self.host = FakeHost()
        self.hub = Hub()
        self.client = client
        self.protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self.session = OrderSession(
            ours.detach(), self.hub, bounds(), 7, Client(OWNER, False, True), self.host
        )
        self.session.start()

    def send(self, *texts: str) -> None:
        """Send messages from the client and let the session read them."""
        for text in texts:
            self.client.sendall(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))
            self.settle()

    def settle(self) -> None:
        """Run the hub until the session has nothing left to do."""
        for _ in range(1_000):
            if not self.hub.turn():
                return
        raise AssertionError("the hub never becomes idle")

    def frames(self, *, dead: bool = False) -> list[Frame]:
        """Read what was sent, until nothing more comes; a client that is not dead answers pings."""
        while True:
            self.settle()
            try:
                data = self.client.recv(1 << 20)
            except (BlockingIOError, ConnectionError):
                break
            if not data:
                break
            self.protocol.receive_data(data)
            pongs = self.protocol.data_to_send()
            if not dead:
                self.client.sendall(b"".join(pongs))
        return [one for one in self.protocol.events_received() if isinstance(one, Frame)]

    def messages(self) -> list[dict[str, Any]]:
        """Read the messages sent to the client."""
        return [json.loads(bytes(frame.data)) for frame in self.frames() if frame.opcode is Opcode.TEXT]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, with a check every second."""
        for _ in range(int(seconds)):
            self.host.now_s += 1.0
            self.session.check(self.host.now_s)

    def ask(self) -> bool:
        """Let a second pass and request an acknowledgement."""
        self.host.now_s += 1.0
        return self.session.request_ack(self.host.now_s)

    def deliver(self, *news: Reported | Failed | OrdersListed) -> None:
        """Deliver messages of the engine to the session."""
        self.session.send_frames(b"".join(self.session.frame_for(one) for one in news))


@contextmanager
def harness() -> Iterator[Harness]:
    """Connect a session of the extended mode over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=10)
        ours, _ = listener.accept()
    client.setblocking(False)
    with client:
        made = Harness(ours, client)
        try:
            yield made
        finally:
            made.session.cut()


def happened(seq: int, ref: int = 0, amount: str = "10") -> Reported:
    """Make a report for the session."""
    ticket = Ticket("eurrub", OrderSide.BUY, amount, "87", client_order_id="x" * 60)
    return Reported(7, ref, report(order(Place(7, ref, ticket)), seq))


def test_a_report_is_acknowledged_once_the_client_has_read_it() -> None:
    """Not while it is queued, nor when the socket has accepted it, but when a ping after it is answered."""
    with harness() as one:
        seq = 0
        while not one.session.waiting():
            seq += 1
            one.deliver(happened(seq))
        early = one.ask()
        reports = one.messages()
        late = one.ask()
        asked = list(one.host.asked)
        one.frames()

        assert [message["message"]["seq"] for message in reports] == list(range(1, seq + 1))
        assert (early, late, asked) == (False, True, [])
        assert one.host.asked == [Received(7, seq)]
        assert one.ask()
        assert one.frames() == []


def test_acknowledgements_are_requested_at_intervals() -> None:
    """Immediately after a pause, then once for all reports of a tenth of a second."""
    with harness() as one:
        asked = []
        for seq in range(1, 5):
            one.deliver(happened(seq))
            asked.append(one.session.request_ack(one.host.now_s))
            one.host.now_s += 0.04
        one.frames()

        assert asked == [True, False, False, True]
        assert one.host.asked == [Received(7, 1), Received(7, 4)]


def test_a_report_that_is_sent_again_is_acknowledged_again() -> None:
    """The engine may have lost the first acknowledgement with its store."""
    with harness() as one:
        for seq in (1, 2, 2, 1):
            one.deliver(happened(seq))
            one.ask()
            one.frames()

        assert one.host.asked == [Received(7, 1), Received(7, 2), Received(7, 2), Received(7, 2)]


def test_only_sent_reports_can_be_acknowledged() -> None:
    """Pongs that answer no ping, or that name a later report, are ignored."""
    with harness() as one:
        one.deliver(happened(3))
        for payload in (b"", b"4", b"-1", b"x", b"9" * 100, b"\xff"):
            one.client.sendall(Frame(Opcode.PONG, payload).serialize(mask=True))
            one.settle()

        assert one.host.asked == []


def test_a_client_that_leaves_without_a_pong_acknowledges_nothing() -> None:
    """The session is detached from the engine without an acknowledgement."""
    with harness() as one:
        one.deliver(happened(1))
        one.client.sendall(Frame(Opcode.CLOSE, b"").serialize(mask=True))
        one.settle()

        assert one.host.asked == [Detach(7)]
        assert one.host.gone == [7]


def test_a_client_with_too_large_a_backlog_is_cut_off() -> None:
    """At most 8 MB are queued; the unread reports are not acknowledged."""
    with harness() as one:
        seq = 0
        while not one.host.gone:
            seq += 1
            one.deliver(*(happened(seq, amount="1" * 20) for _ in range(100)))

        assert MAX_BACKLOG / 1_000 < seq * 100 < MAX_BACKLOG / 100
        assert one.host.asked == [Detach(7)]
        assert one.host.counters.disconnected == {"too slow": 1}


def test_a_client_that_does_not_read_within_the_timeout_is_cut_off() -> None:
    """One that reads again in time is not."""
    with harness() as one:
        while not one.session.waiting():
            one.deliver(happened(1))
        one.pass_time(SLOW_CLIENT_TIMEOUT_S - 1)
        one.frames()
        one.pass_time(2)
        patient = list(one.host.gone)
        while not one.session.waiting():
            one.deliver(happened(1))
        one.pass_time(SLOW_CLIENT_TIMEOUT_S + 2)

        assert (patient, one.host.gone) == ([], [7])


def test_an_idle_client_is_pinged_and_cut_off_if_it_is_dead() -> None:
    """A pong, or any message, shows that it is alive."""
    with harness() as one:
        one.pass_time(HEARTBEAT_S)
        pings = [frame.opcode for frame in one.frames()]
        one.settle()
        one.pass_time(2 * HEARTBEAT_S)
        alive = list(one.host.gone)
        again = [frame.opcode for frame in one.frames(dead=True)]
        one.pass_time(2 * HEARTBEAT_S)

        assert (pings, again) == ([Opcode.PING], [Opcode.PING])
        assert (alive, one.host.gone) == ([], [7])
        assert one.host.why == "no answer to a ping"


def test_a_busy_client_is_not_pinged() -> None:
    """Its messages show that it is alive."""
    with harness() as one:
        for _ in range(5):
            one.send("{}")
            one.pass_time(HEARTBEAT_S)

        assert {frame.opcode for frame in one.frames()} == {Opcode.TEXT}


def test_commands_without_an_answer_are_bounded_and_none_is_lost() -> None:
    """At 256 the session stops reading until half of them are answered."""
    with harness() as one:
        one.host.limits = SessionLimits(10_000, 3, SLOW_CLIENT_TIMEOUT_S)
        one.session._rate_limit = RateLimit(10_000, one.host.now_s)
        one.send(*[PLACE] * (MAX_PENDING + 50))
        held = len(one.host.asked)
        refs = [command.ref for command in one.host.asked if isinstance(command, Place)]
        one.deliver(*(happened(seq, ref) for seq, ref in enumerate(refs, 1)))
        one.settle()

        assert MAX_PENDING <= held < MAX_PENDING + 50
        assert len(one.host.asked) == MAX_PENDING + 50


def test_pending_lists_are_limited() -> None:
    """One more is refused; an answer makes room."""
    listing = '{"messageType":5,"message":{"request_id":1}}'
    with harness() as one:
        one.send(*[listing] * (MAX_LISTS + 1))
        refused = one.messages()
        one.deliver(OrdersListed(7, 1, []))
        one.send(listing)

        assert [message["message"]["code"] for message in refused] == ["rate_limited"]
        assert [type(command) for command in one.host.asked] == [ListOrders] * (MAX_LISTS + 1)
        assert [message["messageType"] for message in one.messages()] == [5]


def test_an_overdue_command_is_unknown_and_a_late_report_is_still_sent() -> None:
    """After ten seconds; a late report has no request_id, a late list is not sent."""
    with harness() as one:
        one.send(PLACE.replace('"10"', '"10", "request_id": "r"'), '{"messageType":5,"message":{}}')
        one.pass_time(ANSWER_TIMEOUT_S + 1)
        told = one.messages()
        one.deliver(happened(1, 1), OrdersListed(7, 2, []))
        late = one.messages()

        assert [message["message"]["code"] for message in told] == ["engine_unreachable"] * 2
        assert told[0]["message"]["request_id"] == "r"
        assert "not known" in told[0]["message"]["reason"]
        assert [(message["messageType"], message["message"]["request_id"]) for message in late] == [(3, None)]


def test_a_client_that_is_behind_gets_only_the_newest_quote_when_it_reads() -> None:
    """Nothing is queued in the meantime, and nothing is sent twice."""
    with harness() as one:
        one.host.quote("1")
        one.send('{"messageType":1,"message":{"instrument":"eurrub"}}')
        while not one.session.waiting():
            one.deliver(happened(1))
        waiting = one.session.waiting()
        for bid in ("2", "3", "4"):
            one.host.quote(bid)
            one.host.market.flush()
        queued = one.session.waiting() - waiting
        first = one.messages()
        one.host.market.flush()
        later = one.messages()
        one.host.market.flush()

        assert queued == 0
        assert [_bid(message) for message in first if message["messageType"] == 4] == ["1"]
        assert [_bid(message) for message in later] == ["4"]
        assert one.messages() == []


def _bid(message: dict[str, Any]) -> Any:
    return message["message"]["quotes"][0]["bid"]


def test_without_the_engine_commands_are_refused_immediately() -> None:
    """Pending commands become unknown; new ones are refused with the remark that nothing was done."""
    with harness() as one:
        one.send(PLACE)
        one.host.up = False
        one.session.engine_lost()
        one.send(PLACE)
        unknown, refused = one.messages()
        one.session.cut()

        assert [unknown["message"]["code"], refused["message"]["code"]] == ["engine_unreachable"] * 2
        assert "not known" in unknown["message"]["reason"]
        assert "nothing was done" in refused["message"]["reason"]
        assert [type(command) for command in one.host.asked] == [Place]


def test_a_refusal_by_the_engine_is_sent_with_its_code() -> None:
    """And with its request_id; attaching may be refused too."""
    with harness() as one:
        one.send(PLACE.replace('"10"', '"10", "request_id": 5'))
        one.deliver(Failed(7, 1, "no_market", "no market"), Failed(7, 0, "store_unavailable", "disk"))

        assert [message["message"] for message in one.messages()] == [
            {"reason": "no market", "code": "no_market", "request_id": 5},
            {"reason": "disk", "code": "store_unavailable", "request_id": None},
        ]


def test_the_rate_limit_allows_bursts_of_one_second_and_the_rate_on_average() -> None:
    """Refused messages do not count towards the limit."""
    limit = RateLimit(10, 0.0)

    at_once = [limit.allows(0.0) for _ in range(15)]
    later = [limit.allows(1.0 + number / 100) for number in range(100)]

    assert at_once == [True] * 10 + [False] * 5
    assert 18 <= sum(later) <= 20


def test_a_burst_may_be_longer_than_a_second_and_large_messages_count_by_their_size() -> None:
    """After a refusal a client is not read for half the time until the message would be allowed."""
    limit = RateLimit(10, 0.0, burst=30)

    large = [limit.allows(0.0, cost_of(9_500)) for _ in range(4)]

    assert cost_of(1023) == 1
    assert large == [True, True, True, False]
    assert limit.pause_s() == 0.5
    assert [limit.allows(0.0), limit.allows(1.0, 10), limit.allows(1.0)] == [False, True, False]
    assert limit.pause_s() == 0.05


@pytest.mark.parametrize(("seconds", "abused"), [(5.0, True), (1_000.0, False)])
def test_only_many_refusals_in_a_short_time_are_abuse(seconds: float, abused: bool) -> None:
    """A client that is slightly too fast for a long time is only refused."""
    limit = RateLimit(1, 0.0)
    for number in range(2 * MAX_REFUSALS):
        limit.allows(number * seconds / (2 * MAX_REFUSALS))

    assert limit.abusive() is abused
