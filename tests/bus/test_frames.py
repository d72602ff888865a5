"""Frames of the bus: any cutting of the stream gives the same messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.codec import VERSION, decode_to_gateway
from crypto_stream.bus.frames import Splitter, encode_frame
from crypto_stream.bus.messages import Quotes
from crypto_stream.errors import BusError


@given(st.lists(st.integers(0, 2**40), max_size=20), st.lists(st.integers(1, 50), max_size=50))
def test_any_cutting_gives_the_same_messages(seqs: list[int], cuts: list[int]) -> None:
    """However the network cuts the stream, the same messages come out in the same order."""
    stream = b"".join(encode_frame(Quotes(seq, [])) for seq in seqs)
    splitter = Splitter()
    bodies = []
    for cut in [*cuts, len(stream)]:
        piece, stream = stream[:cut], stream[cut:]
        bodies += splitter.feed(piece)

    assert [decode_to_gateway(body) for body in bodies] == [Quotes(seq, []) for seq in seqs]


def test_absurd_length_is_refused() -> None:
    """A length no peer of ours sends ends the connection instead of filling memory."""
    with pytest.raises(BusError, match="4294967295 bytes"):
        Splitter().feed(bytes([VERSION]) + b"\xff\xff\xff\xff")


def test_another_version_is_refused_with_what_to_do() -> None:
    """A half of another version, left running over an upgrade, is not misread."""
    frame = encode_frame(Quotes(1, []))

    with pytest.raises(BusError, match="restart the engine and its gateways"):
        Splitter().feed(bytes([VERSION + 1]) + frame[1:])


@given(st.binary(max_size=200))
def test_nonsense_is_a_bus_error(body: bytes) -> None:
    """Bytes that are no message raise BusError and nothing else."""
    try:
        decode_to_gateway(body)
    except BusError:
        return
