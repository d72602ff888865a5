"""Frames of the bus: any cutting of the stream gives the same messages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.bus.frames import Splitter, decode_to_gateway, encode_frame
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
    with pytest.raises(BusError):
        Splitter().feed(b"\xff\xff\xff\xff")


@given(st.binary(max_size=200))
def test_nonsense_is_a_bus_error(body: bytes) -> None:
    """Bytes that are no message raise BusError and nothing else."""
    try:
        decode_to_gateway(body)
    except BusError:
        return
