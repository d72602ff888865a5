"""What a gateway takes of what it hears over a relay, and what an engine takes of gateways. Pure."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.interface import SILENCE_S
from crypto_stream.bus.redis.envelope import (
    ALIVE,
    JOIN,
    MARK,
    MESSAGE,
    NOBODY,
    SNAPSHOT,
    UNKNOWN,
    Channels,
    Mark,
    Up,
    pack_down,
    pack_mark,
    pack_up,
    unpack_down,
    unpack_mark,
    unpack_term,
    unpack_up,
)
from crypto_stream.bus.redis.leadership import Leadership
from crypto_stream.bus.redis.members import Members
from crypto_stream.bus.redis.membership import Membership, Terms
from crypto_stream.errors import BusError

CHANNELS = Channels("test")
GATEWAY, OTHER = b"12345678", b"87654321"
OWN = CHANNELS.to(GATEWAY)
MARKED = pack_mark(Mark(2, 1))
TERM = 100


def _join(terms: Terms | None = None, term: int = TERM, link: int = 1, now_s: float = 0.0) -> Membership:
    member = Membership(CHANNELS, GATEWAY, terms or Terms(), now_s)
    assert member.take(OWN, pack_down(term, link, 1, MARK, MARKED), now_s) is None
    return member


def _state(member: Membership, number: int, kind: int = MESSAGE, body: bytes = b"x") -> bytes | None:
    return member.take(CHANNELS.state, pack_down(TERM, 1, number, kind, body), 1.0)


def test_nothing_is_taken_before_joining() -> None:
    """A snapshot for others may come earlier; it is not ours."""
    member = Membership(CHANNELS, GATEWAY, Terms(), 0.0)

    assert _state(member, 1, SNAPSHOT) is None
    assert member.take(OWN, pack_down(TERM, 1, 1, MESSAGE, b"x"), 0.0) is None
    assert member.stream is None


def test_the_state_begins_with_a_snapshot() -> None:
    """Further ones, which others asked for, are ignored as long as nothing is missing."""
    member = _join()

    assert _state(member, 7) is None
    assert _state(member, 8, SNAPSHOT, b"s") == b"s"
    assert _state(member, 9) == b"x"
    assert _state(member, 10, SNAPSHOT) is None
    assert _state(member, 11) == b"x"
    assert member.holes == 0
    assert member.mark == Mark(2, 1)


def test_a_snapshot_heals_a_hole() -> None:
    """Until then nothing is taken, so that no price is shown that is not the newest one known."""
    member = _join()
    _state(member, 1, SNAPSHOT)

    assert _state(member, 3) is None
    assert not member.whole
    assert _state(member, 4) is None
    assert _state(member, 5, SNAPSHOT, b"s") == b"s"
    assert member.holes == 1


def test_a_hole_right_before_a_snapshot_is_healed_by_it() -> None:
    """What the snapshot replaces need not be asked for."""
    member = _join()
    _state(member, 1, SNAPSHOT)

    assert _state(member, 3, SNAPSHOT, b"s") == b"s"
    assert member.whole
    assert member.holes == 1


@pytest.mark.parametrize("number", [1, 3])
def test_a_lost_message_to_this_gateway_ends_the_connection(number: int) -> None:
    """No snapshot contains an answer or a report; so does one that comes twice."""
    member = _join()
    with pytest.raises(BusError, match="lost"):
        member.take(OWN, pack_down(TERM, 1, number, MESSAGE, b"x"), 1.0)


def test_topics_are_taken_while_listened_to() -> None:
    """From the confirmation on, without holes; what is still on its way afterwards is ignored."""
    member, channel = _join(), CHANNELS.topic("venues", "btcusdt")

    def hear(number: int) -> bytes | None:
        return member.take(channel, pack_down(TERM, 1, number, MESSAGE, b"x"), 1.0)

    assert hear(5) is None
    member.listen(channel)
    assert hear(5) is None
    member.subscribed(channel)
    assert [hear(6), hear(7)] == [b"x", b"x"]
    with pytest.raises(BusError, match="lost"):
        hear(9)
    member.ignore(channel)
    assert hear(20) is None


def test_a_topic_may_be_listened_to_again_at_once() -> None:
    """What was published between the two subscriptions is not missing; of the first one nothing is taken."""
    member, channel = _join(), CHANNELS.topic("venues", "btcusdt")
    member.listen(channel)
    member.subscribed(channel)
    member.ignore(channel)
    member.listen(channel)

    assert member.take(channel, pack_down(TERM, 1, 3, MESSAGE, b"x"), 1.0) is None
    member.subscribed(channel)
    assert member.take(channel, pack_down(TERM, 1, 9, MESSAGE, b"x"), 1.0) == b"x"


def test_a_confirmation_of_what_is_no_longer_wanted_is_ignored() -> None:
    """It was on its way when the last viewer left."""
    member, channel = _join(), CHANNELS.topic("venues", "btcusdt")
    member.listen(channel)
    member.ignore(channel)
    member.subscribed(channel)

    assert member.take(channel, pack_down(TERM, 1, 3, MESSAGE, b"x"), 1.0) is None


def test_a_new_connection_of_the_engine_and_a_new_engine_end_the_membership() -> None:
    """An older one's last words are ignored."""
    member = _join(link=2)
    old = [(TERM - 1, 9), (TERM, 1)]

    assert [member.take(CHANNELS.state, pack_down(*one, 1, SNAPSHOT), 1.0) for one in old] == [None, None]
    for newer in [(TERM, 3), (TERM + 1, 1)]:
        with pytest.raises(BusError, match="anew"):
            member.take(CHANNELS.state, pack_down(*newer, 1, SNAPSHOT), 1.0)


def test_a_forgotten_gateway_joins_anew() -> None:
    """The engine says so, without a number."""
    with pytest.raises(BusError, match="forgotten"):
        _join().take(OWN, pack_down(TERM, 1, 0, UNKNOWN), 1.0)


def test_an_older_engine_is_followed_only_once_the_newer_one_is_silent() -> None:
    """A paused engine that wakes does not know that it was replaced; but clocks may be wrong."""
    terms = Terms()
    _join(terms, term=TERM, now_s=10.0)
    refused = Membership(CHANNELS, GATEWAY, terms, 11.0)
    refused.take(OWN, pack_down(TERM - 1, 1, 1, MARK, MARKED), 10.0 + SILENCE_S)

    assert refused.stream is None
    assert _join(terms, term=TERM - 1, now_s=10.1 + SILENCE_S).stream == (TERM - 1, 1)


def test_silence_is_measured_by_what_is_usable() -> None:
    """Marks are no state, and state that cannot be used is none either."""
    member = _join()

    assert member.silent_s(3.0) == 3.0
    member.take(CHANNELS.state, pack_down(TERM, 1, 1, MESSAGE), 4.0)
    assert member.silent_s(5.0) == 5.0
    member.take(CHANNELS.state, pack_down(TERM, 1, 2, SNAPSHOT), 6.0)
    assert member.silent_s(7.0) == 1.0
    member.take(OWN, pack_down(TERM, 1, 2, MARK, MARKED), 9.0)
    assert member.silent_s(10.0) == 4.0


@given(st.lists(st.tuples(st.booleans(), st.booleans()), max_size=60))
def test_whatever_is_lost_the_state_is_right_or_partial(published: list[tuple[bool, bool]]) -> None:
    """`(is a snapshot, arrives)`: who is whole has exactly the engine's state, change by change."""
    member = _join()
    actual = 0
    known: int | None = None
    for number, (is_snapshot, arrives) in enumerate(published, 1):
        actual += not is_snapshot
        body = actual.to_bytes(4, "big")
        if not arrives:
            continue
        taken = _state(member, number, SNAPSHOT if is_snapshot else MESSAGE, body)
        if taken is not None:
            assert known is not None or is_snapshot
            assert is_snapshot or known == actual - 1
            known = int.from_bytes(taken, "big")
        if member.whole:
            assert known == actual


# The engine's side.


def _up(number: int, kind: int = ALIVE, gateway: bytes = GATEWAY, body: bytes = b"") -> Up:
    return Up(gateway, TERM, 1, number, kind, body)


class Left:
    """Gateways that have left, with the reason."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.reasons: list[str] = []

    def __call__(self, name: str, reason: str) -> None:
        self.names.append(name)
        self.reasons.append(reason)


def test_who_joins_twice_joins_once() -> None:
    """The first JOIN may have been answered after the second was sent."""
    members = Members(Left())
    first = members.join(_up(0, JOIN, body=NOBODY), 1, 0.0)
    members.take(_up(1), 1, 1.0)

    assert members.join(_up(0, JOIN, body=NOBODY), 1, 2.0) is first
    assert members.take(_up(2), 1, 3.0) is first
    assert len(members) == 1


def test_who_joins_anew_leaves_first() -> None:
    """Its sessions must not count twice."""
    left = Left()
    members = Members(left)
    members.join(_up(0, JOIN, body=NOBODY), 1, 0.0)
    members.join(_up(0, JOIN, OTHER, GATEWAY), 2, 0.0)

    assert left.names == [GATEWAY.hex()]
    assert members.get(OTHER.hex()) is not None
    assert not members.has_any(1)
    assert members.has_any(2)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda up: up._replace(number=3),
        lambda up: up._replace(number=1),
        lambda up: up._replace(gateway=OTHER),
        lambda up: up._replace(link=2),
    ],
)
def test_who_misses_something_is_unknown(spoil: Callable[[Up], Up]) -> None:
    """A hole, a repetition, somebody who never joined, a message for another connection."""
    members = Members(Left())
    members.join(_up(0, JOIN, body=NOBODY), 1, 0.0)
    members.take(_up(1), 1, 0.0)

    assert members.take(spoil(_up(2)), 1, 0.0) is None


def test_who_lost_something_has_left() -> None:
    """Whatever it sends afterwards is not executed: it may depend on what was lost."""
    left = Left()
    members = Members(left)
    members.join(_up(0, JOIN, body=NOBODY), 1, 0.0)
    members.take(_up(2, MESSAGE), 1, 0.0)

    assert members.take(_up(1, MESSAGE), 1, 0.0) is None
    assert left.reasons == ["messages of it were lost"]


def test_the_silent_leave_and_so_does_a_whole_link() -> None:
    """Others stay."""
    left = Left()
    members = Members(left)
    for gateway, link in ((GATEWAY, 1), (OTHER, 2)):
        members.join(_up(0, JOIN, gateway, NOBODY), link, 0.0)
    members.take(_up(1, gateway=OTHER)._replace(link=2), 2, 3.0)
    members.leave_silent(SILENCE_S + 1.0)

    assert left.names == [GATEWAY.hex()]
    members.leave_link(2, "cut")
    assert left.reasons[1:] == ["cut"]
    assert len(members) == 0


def test_the_greater_term_leads() -> None:
    """The other engine is silent until that one has been silent for as long as prices stay live."""
    leadership = Leadership(TERM)

    assert not leadership.heard(TERM, 0.0)
    assert not leadership.heard(TERM - 1, 0.0)
    assert leadership.heard(TERM + 1, 1.0)
    assert not leadership.heard(TERM + 1, 2.0)
    assert not leadership.leads
    assert not leadership.check(2.0 + SILENCE_S)
    assert leadership.check(2.1 + SILENCE_S)
    assert leadership.leads
    assert not leadership.check(99.0)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1), st.binary(max_size=50))
def test_envelopes_come_out_as_they_went_in(term: int, number: int, body: bytes) -> None:
    """In both directions."""
    up = Up(GATEWAY, term, 1, number, MESSAGE, body)

    assert unpack_up(pack_up(up)) == up
    assert tuple(unpack_down(pack_down(term, 1, number, MESSAGE, body))) == (term, 1, number, MESSAGE, body)


@given(st.binary(max_size=40))
def test_an_invalid_envelope_is_a_bus_error(payload: bytes) -> None:
    """Anybody who may publish can send anything."""
    for unpack in (unpack_up, unpack_down, unpack_mark, unpack_term):
        try:
            unpack(payload)
        except BusError:
            continue


def test_installations_share_no_channel() -> None:
    """One name is not the beginning of another's channels."""
    names = [
        [one.state, one.engine, one.term, one.to(GATEWAY), one.topic("a", "b")]
        for one in (Channels("a"), Channels("a-b"))
    ]
    every = [channel for each in names for channel in each]

    assert len(set(every)) == len(every)
