"""The wire format of protobuf: what is well-formed is read exactly, and everything else raises ValueError."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.protobuf import Message

Field = tuple[int, int | bytes]

NUMBERS = st.integers(1, 2**29 - 1)
FIELDS = st.lists(st.tuples(NUMBERS, st.integers(0, 2**64 - 1) | st.binary(max_size=40)), max_size=10)


def varint(value: int, *, spare: int = 0) -> bytes:
    """Encode an integer, with superfluous bytes, which the format allows."""
    digits = []
    while value >= 0x80:
        digits.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*digits, value]) if not spare else bytes([*digits, value | 0x80, *[0x80] * (spare - 1), 0])


def encoded(fields: list[Field]) -> bytes:
    """Encode fields in their order."""
    return b"".join(
        varint(number << 3) + varint(value)
        if isinstance(value, int)
        else varint(number << 3 | 2) + varint(len(value)) + value
        for number, value in fields
    )


@given(FIELDS)
def test_the_last_value_of_each_field_is_read(fields: list[Field]) -> None:
    """Also among unknown ones, in any order."""
    message = Message(encoded(fields))

    for number, value in dict(fields).items():
        assert number in message
        if isinstance(value, int):
            assert message.integer(number) == value
            with pytest.raises(ValueError, match=f"field {number} is not"):
                message.text(number)
        else:
            with pytest.raises(ValueError, match=f"field {number} is not an integer"):
                message.integer(number)


@given(st.lists(st.text(max_size=20), max_size=5), NUMBERS)
def test_texts_and_repeated_messages_are_read_in_order(texts: list[str], number: int) -> None:
    """Messages stand within messages like texts."""
    inner = [encoded([(1, text.encode())]) for text in texts]
    message = Message(encoded([(number, each) for each in inner]))
    last = message.message(number)

    assert [each.text(1) for each in message.messages(number)] == texts
    assert (last.text(1) if last else None) == (texts[-1] if texts else None)


def test_what_is_missing_has_the_default_of_its_type() -> None:
    """The format does not send zeros and empty texts."""
    empty = Message(b"")

    assert 1 not in empty
    assert (empty.integer(1), empty.text(1), empty.message(1), empty.messages(1)) == (0, "", None, [])


def test_fixed_numbers_are_read_over() -> None:
    """A field of four or eight bytes does not shift the next one."""
    eight = varint(7 << 3 | 1) + struct.pack("<d", 1.5)
    four = varint(8 << 3 | 5) + struct.pack("<I", 1)
    message = Message(eight + four + encoded([(1, 5)]))

    assert (message.integer(1), message.integer(8)) == (5, 1)


@given(st.integers(0, 2**64 - 1), st.integers(0, 1))
def test_integers_may_be_longer_than_necessary(value: int, spare: int) -> None:
    """But not longer than ten bytes."""
    written = varint(value, spare=spare)
    if len(written) <= 10:
        assert Message(varint(8) + written).integer(1) == value


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_malformed(data: bytes) -> None:
    """Nothing but ValueError is raised, also by the methods."""
    with suppress(ValueError):
        message = Message(data)
        for read in (message.integer, message.text, message.message, message.messages):
            with suppress(ValueError):
                read(1)


@given(FIELDS.filter(bool), st.data())
def test_a_message_cut_short_is_never_read_in_part(fields: list[Field], data: st.DataObject) -> None:
    """It is malformed, unless the cut is between two fields."""
    whole = encoded(fields)
    ends = {len(encoded(fields[:count])) for count in range(len(fields) + 1)}
    cut = data.draw(st.integers(0, len(whole) - 1))
    if cut in ends:
        Message(whole[:cut])
    else:
        with pytest.raises(ValueError, match="of a message of"):
            Message(whole[:cut])


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x08", "no integer"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "no integer"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "no integer"),
        (b"\x0a\x05abc", "5 bytes at 2"),
        (b"\x0a" + b"\xff" * 9 + b"\x01", "bytes at"),
        (b"\x09" + b"1234567", "8 bytes at 1"),
        (b"\x0d" + b"123", "4 bytes at 1"),
        (b"\x0b\x0c", "unknown wire type 3"),
        (b"\x0f", "unknown wire type 7"),
        (b"\x00\x00", "0 is not the number of a field"),
        (varint(2**29 << 3) + b"\x00", "is not the number of a field"),
        (b"\x08\x00" * 10_001, "more than 10,000 fields"),
    ],
)
def test_what_is_not_protobuf_says_why(data: bytes, reason: str) -> None:
    """Lengths, numbers and types are checked, and the number of fields has a bound."""
    with pytest.raises(ValueError, match=reason):
        Message(data)


def test_a_text_must_be_utf_8() -> None:
    """A text of other bytes is malformed; a message may contain any."""
    message = Message(encoded([(1, b"\xff"), (2, b"\x08\x01")]))
    inner = message.message(2)

    assert inner is not None
    assert inner.integer(1) == 1
    with pytest.raises(UnicodeDecodeError):
        message.text(1)
    with pytest.raises(ValueError, match="of a message of"):
        message.messages(1)
