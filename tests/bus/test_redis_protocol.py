"""Redis' protocol: any cutting of the stream gives the same replies; what is no reply ends the connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.redis.protocol import (
    PING,
    Message,
    Replies,
    Reply,
    Subscribed,
    hello,
    is_welcome,
    publish,
)
from crypto_stream.bus.redis.relays import Relay
from crypto_stream.errors import BusError


def _push(*words: bytes) -> bytes:
    return b">%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


@given(st.lists(st.binary(max_size=40), max_size=10), st.lists(st.integers(1, 30), max_size=40))
def test_any_cutting_gives_the_same(bodies: list[bytes], cuts: list[int]) -> None:
    """Messages and replies, whatever bytes they contain, in their order."""
    stream = b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n"
    stream += b"".join(_push(b"message", b"c", body) + b":3\r\n" for body in bodies)
    replies = Replies()
    found: list[Message | Subscribed | Reply] = []
    for cut in [*cuts, len(stream)]:
        piece, stream = stream[:cut], stream[cut:]
        found += replies.feed(piece)

    messages = [each for body in bodies for each in (Message(b"c", body), Reply(3))]
    assert found == [Subscribed(b"c"), *messages]


def test_an_error_of_the_relay_is_raised_with_its_text() -> None:
    """It may be that we may not do something: an operator must see it."""
    with pytest.raises(BusError, match="NOPERM"):
        list(Replies().feed(b"-NOPERM User joe has no permissions\r\n"))


@pytest.mark.parametrize(
    "error",
    [
        b"-ERR unknown command `HELLO`, with args beginning with: `3`, `AUTH`, `us`, `sesame`, \r\n",
        b"-ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'us' 'sesa\r\n",
    ],
)
def test_an_error_that_repeats_our_password_is_cut(error: bytes) -> None:
    """Servers that do not know HELLO, and proxies before them, answer with all of its words."""
    with pytest.raises(BusError, match=r"unknown command .HELLO.: it must be Redis 6 or later") as caught:
        list(Replies().feed(error))

    assert "sesa" not in str(caught.value)


def test_what_is_no_redis_is_refused() -> None:
    """Another server on that port is named as such."""
    with pytest.raises(BusError, match="no Redis"):
        list(Replies().feed(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_a_message_without_end_fills_no_memory() -> None:
    """Beyond the bound the connection ends, before the message is complete."""
    replies = Replies(limit=1000)
    list(replies.feed(b"$1000000\r\n"))
    with pytest.raises(BusError, match="more than 1000 bytes"):
        [list(replies.feed(b"x" * 100)) for _ in range(20)]


def test_many_small_ones_are_no_long_one() -> None:
    """The bound is that of one message."""
    replies = Replies(limit=1000)
    found = [each for _ in range(1000) for each in replies.feed(b":1\r\n")]

    assert len(found) == 1000


@given(st.binary(max_size=200))
def test_nonsense_is_a_bus_error(data: bytes) -> None:
    """Any bytes give replies or BusError and nothing else."""
    try:
        list(Replies().feed(data))
    except BusError:
        return


def test_commands() -> None:
    """As RESP arrays of binary strings; the password is sent with the greeting only."""
    assert PING == b"*1\r\n$4\r\nPING\r\n"
    assert publish(b"c", b"a\r\n\0") == b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nc\r\n$4\r\na\r\n\0\r\n"
    assert b"AUTH\r\n$7\r\ndefault\r\n$2\r\npw\r\n" in hello(Relay("h", 1, password="pw"), "us")
    assert b"AUTH" not in hello(Relay("h", 1), "us")


def test_the_greeting_of_an_old_server_is_recognized() -> None:
    """RESP3 greets with a map."""
    (reply,) = Replies().feed(b"%1\r\n$5\r\nproto\r\n:3\r\n")

    assert isinstance(reply, Reply)
    assert is_welcome(reply.value)
    assert not is_welcome(b"OK")
