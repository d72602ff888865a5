"""A reader of the protobuf wire format, for the few messages that venues send in it. Pure.

It knows no schema: a handler reads each field by its number, as the type that the venue's schema says, and
the others are skipped. See https://protobuf.dev/programming-guides/encoding/.
"""

from __future__ import annotations

from enum import IntEnum

_MAX_FIELDS = 10_000  # in one message; more would hold up the prices of all other venues
_LAST_NUMBER = 2**29 - 1
_VARINT_BYTES = 10
_VARINT_BITS = 64


class _Wire(IntEnum):
    """How the value of a field is encoded; groups (3 and 4) are obsolete."""

    VARINT = 0
    FIXED64 = 1
    BYTES = 2
    FIXED32 = 5


_FIXED_BYTES: dict[int, int] = {_Wire.FIXED64: 8, _Wire.FIXED32: 4}


class Message:
    """One message, read completely when it is created; raises ValueError if it is not protobuf.

    The methods read the field of a number. If it is missing they return the default of its type, as protobuf
    requires; if it is repeated they return the last value; if it has another type they raise ValueError.
    """

    __slots__ = ("_fields",)

    def __init__(self, data: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        at = count = 0
        while at < len(data):
            count += 1
            if count > _MAX_FIELDS:
                raise ValueError(f"a message of more than {_MAX_FIELDS:,} fields")
            number, value, at = _field(data, at)
            self._fields.setdefault(number, []).append(value)

    def __contains__(self, number: int) -> bool:
        """Return whether there is a field of this number."""
        return number in self._fields

    def integer(self, number: int) -> int:
        """Return an unsigned integer: a negative one of the schema is 2⁶⁴ higher."""
        value = self._fields.get(number, (0,))[-1]
        if isinstance(value, bytes):
            raise _wrong(number, "an integer")
        return value

    def text(self, number: int) -> str:
        """Return a string."""
        return self._bytes(number).decode()

    def message(self, number: int) -> Message | None:
        """Return a message within this one; None if it is missing."""
        return Message(self._bytes(number)) if number in self._fields else None

    def messages(self, number: int) -> list[Message]:
        """Return all messages of a repeated field, in their order."""
        found: list[Message] = []
        for value in self._fields.get(number, ()):
            if not isinstance(value, bytes):
                raise _wrong(number, "a message")
            found.append(Message(value))
        return found

    def _bytes(self, number: int) -> bytes:
        value = self._fields.get(number, (b"",))[-1]
        if not isinstance(value, bytes):
            raise _wrong(number, "a string or a message")
        return value


def _wrong(number: int, expected: str) -> ValueError:
    return ValueError(f"field {number} is not {expected}")


def _field(data: bytes, at: int) -> tuple[int, int | bytes, int]:
    """Return the number and value of the field at `at`, and where the next one begins."""
    tag, at = _varint(data, at)
    number, kind = tag >> 3, tag & 7
    if not 0 < number <= _LAST_NUMBER:
        raise ValueError(f"{number} is not the number of a field")
    if kind == _Wire.VARINT:
        value, at = _varint(data, at)
        return number, value, at
    if kind == _Wire.BYTES:
        length, at = _varint(data, at)
        return number, _cut(data, at, length), at + length
    if (length := _FIXED_BYTES.get(kind, 0)) == 0:
        raise ValueError(f"field {number} has the unknown wire type {kind}")
    return number, int.from_bytes(_cut(data, at, length), "little"), at + length


def _cut(data: bytes, at: int, length: int) -> bytes:
    if length > len(data) - at:
        raise ValueError(f"{length} bytes at {at} of a message of {len(data)} bytes")
    return data[at : at + length]


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Return the integer at `at`, of seven bits per byte, and where it ends."""
    if at < len(data) and data[at] < 0x80:  # the most frequent case
        return data[at], at + 1
    value = shift = 0
    for end, byte in enumerate(data[at : at + _VARINT_BYTES], at + 1):
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if value >> _VARINT_BITS:
                break
            return value, end
        shift += 7
    raise ValueError(f"no integer at {at} of a message of {len(data)} bytes")
