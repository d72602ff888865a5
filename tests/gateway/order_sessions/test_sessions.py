"""One session by itself: real sockets, a hub and a clock at the test's command, and the house it asks."""

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
from crypto_stream.bus.orders import Command, Detach, Failed, Happened, Listed, ListOrders, Place, Received
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.order_sessions.limits import Client, SessionLimits
from crypto_stream.gateway.order_sessions.market_data import MarketData
from crypto_stream.gateway.order_sessions.pending import ANSWER_TIMEOUT_S, MAX_LISTS, MAX_PENDING
from crypto_stream.gateway.order_sessions.rate_limit import MAX_REFUSALS, RateLimit
from crypto_stream.gateway.order_sessions.session import HEARTBEAT_S, MAX_BACKLOG, OrderSession
from crypto_stream.market.instruments import Catalogue, Instrument
from crypto_stream.market.orders import Side as OrderSide
from crypto_stream.market.orders import Ticket
from tests.gateway.engine import quote as a_quote
from tests.gateway.order_sessions.trader import EXCHANGED, OWNER, PLACE, order, report
from tests.gateway.wired import Hub, bounds

PATIENCE_S = 30.0


class House:
    """What a session asks of the gateway, kept for the test to see."""

    def __init__(self) -> None:
        self.limits = SessionLimits(200, 3, PATIENCE_S)
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
        """Have EUR/RUB quoted."""
        quote = msgspec.structs.replace(a_quote(EXCHANGED[4], 1), bid=bid)
        self.mirror.receive(Quotes(1, [quote]), self.now_s)

    def clock(self) -> float:
        return self.now_s

    def find(self, text: str) -> Instrument | None:
        return self._catalogue.find(text)

    def name(self, symbol: str) -> str:
        return symbol

    def ask(self, command: Command) -> None:
        self.asked.append(command)

    def change_owner(self, before: str, owner: str) -> None:
        self.owner = owner

    def note_backlog(self, number: int, size: int) -> None:
        self.owed = size

    def ended(self, number: int, reason: str) -> None:
        self.gone.append(number)
        self.why = reason


class Seat:
    """A session, its house and hub, and the client's end of its connection."""

    def __init__(self, ours: socket.socket, client: socket.socket) -> None:
        self.house = House()
        self.hub = Hub()
        self.client = client
        self.protocol = Protocol(Side.CLIENT, state=State.OPEN, max_size=None)
        self.session = OrderSession(
            ours.detach(), self.hub, bounds(), 7, Client(OWNER, False, True), self.house
        )
        self.session.start()

    def send(self, *texts: str) -> None:
        """Send messages of the client, let them be read."""
        for text in texts:
            self.client.sendall(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))
            self.settle()

    def settle(self) -> None:
        """Let the session do what it can."""
        for _ in range(1_000):
            if not self.hub.turn():
                return
        raise AssertionError("the hub never comes to rest")

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
        """Read what was told."""
        return [json.loads(bytes(frame.data)) for frame in self.frames() if frame.opcode is Opcode.TEXT]

    def pass_time(self, seconds: float) -> None:
        """Let time pass, a second's check after the other."""
        for _ in range(int(seconds)):
            self.house.now_s += 1.0
            self.session.check(self.house.now_s)

    def ask(self) -> bool:
        """Have the client asked whether it has its reports, some time after the last question."""
        self.house.now_s += 1.0
        return self.session.request_ack(self.house.now_s)

    def tell(self, *news: Happened | Failed | Listed) -> None:
        """Tell the session what the engine said."""
        self.session.send_frames(b"".join(self.session.frame_for(one) for one in news))


@contextmanager
def seated() -> Iterator[Seat]:
    """Connect a session of the extended mode over loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname(), timeout=10)
        ours, _ = listener.accept()
    client.setblocking(False)
    with client:
        made = Seat(ours, client)
        try:
            yield made
        finally:
            made.session.cut()


def happened(seq: int, ref: int = 0, amount: str = "10") -> Happened:
    """Make a report for the session."""
    ticket = Ticket("eurrub", OrderSide.BUY, amount, "87", client_order_id="x" * 60)
    return Happened(7, ref, report(order(Place(7, ref, ticket)), seq))


def test_a_report_is_acknowledged_once_the_client_has_read_it() -> None:
    """Not while bytes of it wait, nor when the socket has taken them: when a ping behind them is answered."""
    with seated() as one:
        seq = 0
        while not one.session.waiting():
            seq += 1
            one.tell(happened(seq))
        early = one.ask()
        reports = one.messages()
        late = one.ask()
        asked = list(one.house.asked)
        one.frames()

        assert [message["message"]["seq"] for message in reports] == list(range(1, seq + 1))
        assert (early, late, asked) == (False, True, [])
        assert one.house.asked == [Received(7, seq)]
        assert one.ask()
        assert one.frames() == []


def test_receipts_are_asked_for_now_and_then() -> None:
    """At once after a pause, then for all that came in a tenth of a second."""
    with seated() as one:
        asked = []
        for seq in range(1, 5):
            one.tell(happened(seq))
            asked.append(one.session.request_ack(one.house.now_s))
            one.house.now_s += 0.04
        one.frames()

        assert asked == [True, False, False, True]
        assert one.house.asked == [Received(7, 1), Received(7, 4)]


def test_a_report_that_is_told_again_is_acknowledged_again() -> None:
    """The engine may have lost the first acknowledgement with its store."""
    with seated() as one:
        for seq in (1, 2, 2, 1):
            one.tell(happened(seq))
            one.ask()
            one.frames()

        assert one.house.asked == [Received(7, 1), Received(7, 2), Received(7, 2), Received(7, 2)]


def test_nobody_can_acknowledge_what_was_not_sent() -> None:
    """Pongs that answer no ping of ours, or say more than was told, mean nothing."""
    with seated() as one:
        one.tell(happened(3))
        for payload in (b"", b"4", b"-1", b"x", b"9" * 100, b"\xff"):
            one.client.sendall(Frame(Opcode.PONG, payload).serialize(mask=True))
            one.settle()

        assert one.house.asked == []


def test_who_leaves_without_an_answer_is_told_again() -> None:
    """The engine hears that the session ended, and of no report that it was read."""
    with seated() as one:
        one.tell(happened(1))
        one.client.sendall(Frame(Opcode.CLOSE, b"").serialize(mask=True))
        one.settle()

        assert one.house.asked == [Detach(7)]
        assert one.house.gone == [7]


def test_who_lets_reports_wait_without_bound_is_cut_and_they_stay_untold() -> None:
    """At most 8 MB wait; the reports that were not taken are not acknowledged."""
    with seated() as one:
        seq = 0
        while not one.house.gone:
            seq += 1
            one.tell(*(happened(seq, amount="1" * 20) for _ in range(100)))

        assert MAX_BACKLOG / 1_000 < seq * 100 < MAX_BACKLOG / 100
        assert one.house.asked == [Detach(7)]
        assert one.house.counters.disconnected == {"too slow": 1}


def test_who_reads_nothing_for_the_patience_is_cut() -> None:
    """Who reads again before is not."""
    with seated() as one:
        while not one.session.waiting():
            one.tell(happened(1))
        one.pass_time(PATIENCE_S - 1)
        one.frames()
        one.pass_time(2)
        patient = list(one.house.gone)
        while not one.session.waiting():
            one.tell(happened(1))
        one.pass_time(PATIENCE_S + 2)

        assert (patient, one.house.gone) == ([], [7])


def test_an_idle_client_is_pinged_and_given_up_when_it_is_dead() -> None:
    """A pong, or any word, is a sign of life."""
    with seated() as one:
        one.pass_time(HEARTBEAT_S)
        pings = [frame.opcode for frame in one.frames()]
        one.settle()
        one.pass_time(2 * HEARTBEAT_S)
        alive = list(one.house.gone)
        again = [frame.opcode for frame in one.frames(dead=True)]
        one.pass_time(2 * HEARTBEAT_S)

        assert (pings, again) == ([Opcode.PING], [Opcode.PING])
        assert (alive, one.house.gone) == ([], [7])
        assert one.house.why == "no answer to a ping"


def test_a_busy_client_is_not_pinged() -> None:
    """Whoever spoke is there."""
    with seated() as one:
        for _ in range(5):
            one.send("{}")
            one.pass_time(HEARTBEAT_S)

        assert {frame.opcode for frame in one.frames()} == {Opcode.TEXT}


def test_commands_without_an_answer_are_bounded_and_none_is_lost() -> None:
    """Past 256 nothing more is read until half of them are answered."""
    with seated() as one:
        one.house.limits = SessionLimits(10_000, 3, PATIENCE_S)
        one.session._rate_limit = RateLimit(10_000, one.house.now_s)
        one.send(*[PLACE] * (MAX_PENDING + 50))
        held = len(one.house.asked)
        refs = [command.ref for command in one.house.asked if isinstance(command, Place)]
        one.tell(*(happened(seq, ref) for seq, ref in enumerate(refs, 1)))
        one.settle()

        assert MAX_PENDING <= held < MAX_PENDING + 50
        assert len(one.house.asked) == MAX_PENDING + 50


def test_lists_are_asked_a_few_at_a_time() -> None:
    """One more is refused; the answer to one makes room."""
    listing = '{"messageType":5,"message":{"request_id":1}}'
    with seated() as one:
        one.send(*[listing] * (MAX_LISTS + 1))
        refused = one.messages()
        one.tell(Listed(7, 1, []))
        one.send(listing)

        assert [message["message"]["code"] for message in refused] == ["rate_limited"]
        assert [type(command) for command in one.house.asked] == [ListOrders] * (MAX_LISTS + 1)
        assert [message["messageType"] for message in one.messages()] == [5]


def test_a_command_without_an_answer_is_told_unknown_and_a_late_report_is_still_told() -> None:
    """After ten seconds; the report comes without the request it belonged to, a late list not at all."""
    with seated() as one:
        one.send(PLACE.replace('"10"', '"10", "request_id": "r"'), '{"messageType":5,"message":{}}')
        one.pass_time(ANSWER_TIMEOUT_S + 1)
        told = one.messages()
        one.tell(happened(1, 1), Listed(7, 2, []))
        late = one.messages()

        assert [message["message"]["code"] for message in told] == ["engine_unreachable"] * 2
        assert told[0]["message"]["request_id"] == "r"
        assert "not known" in told[0]["message"]["reason"]
        assert [(message["messageType"], message["message"]["request_id"]) for message in late] == [(3, None)]


def test_market_data_is_skipped_for_who_is_behind_and_the_newest_comes_when_it_reads() -> None:
    """Nothing is queued meanwhile, and nothing is sent twice."""
    with seated() as one:
        one.house.quote("1")
        one.send('{"messageType":1,"message":{"instrument":"eurrub"}}')
        while not one.session.waiting():
            one.tell(happened(1))
        waiting = one.session.waiting()
        for bid in ("2", "3", "4"):
            one.house.quote(bid)
            one.house.market.flush()
        queued = one.session.waiting() - waiting
        first = one.messages()
        one.house.market.flush()
        later = one.messages()
        one.house.market.flush()

        assert queued == 0
        assert [_bid(message) for message in first if message["messageType"] == 4] == ["1"]
        assert [_bid(message) for message in later] == ["4"]
        assert one.messages() == []


def _bid(message: dict[str, Any]) -> Any:
    return message["message"]["quotes"][0]["bid"]


def test_without_the_engine_commands_are_refused_and_nothing_waits() -> None:
    """What waited is told unknown, what comes now is told that nothing was done."""
    with seated() as one:
        one.send(PLACE)
        one.house.up = False
        one.session.engine_lost()
        one.send(PLACE)
        unknown, refused = one.messages()
        one.session.cut()

        assert [unknown["message"]["code"], refused["message"]["code"]] == ["engine_unreachable"] * 2
        assert "not known" in unknown["message"]["reason"]
        assert "nothing was done" in refused["message"]["reason"]
        assert [type(command) for command in one.house.asked] == [Place]


def test_a_refusal_of_the_engine_is_told_with_its_code() -> None:
    """And with the request it answers; the attaching itself may be refused too."""
    with seated() as one:
        one.send(PLACE.replace('"10"', '"10", "request_id": 5'))
        one.tell(Failed(7, 1, "no_market", "no market"), Failed(7, 0, "store_unavailable", "disk"))

        assert [message["message"] for message in one.messages()] == [
            {"reason": "no market", "code": "no_market", "request_id": 5},
            {"reason": "disk", "code": "store_unavailable", "request_id": None},
        ]


def test_the_pace_allows_a_seconds_worth_at_once_and_the_rate_in_the_long_run() -> None:
    """Refused messages cost nothing of what is allowed later."""
    pace = RateLimit(10, 0.0)

    at_once = [pace.allows(0.0) for _ in range(15)]
    later = [pace.allows(1.0 + number / 100) for number in range(100)]

    assert at_once == [True] * 10 + [False] * 5
    assert 18 <= sum(later) <= 20


@pytest.mark.parametrize(("seconds", "abused"), [(5.0, True), (1_000.0, False)])
def test_only_many_refusals_in_a_short_time_are_abuse(seconds: float, abused: bool) -> None:
    """A client that is a little too fast for long is only refused."""
    pace = RateLimit(1, 0.0)
    for number in range(2 * MAX_REFUSALS):
        pace.allows(number * seconds / (2 * MAX_REFUSALS))

    assert pace.abusive() is abused
