"""Helpers of handlers for reading frames: number types, exact decimal texts, lists with unusual entries."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, TypeVar

import msgspec

from crypto_stream.errors import MalformedFrame
from crypto_stream.market.decimals import decimal_text

# Types of a venue's JSON. A VenueKey orders events: `Update.key` and `Trade.key`.
VenueKey = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Since the epoch, in ms. Events may also use us or ns: the feed detects that by size and converts to ms.
VenueTime = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Of a bar, in ms. Beyond the year 2100 it is another unit or invalid.
BarTime = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]
BarSeconds = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800)]  # likewise, in s
# How many decimals prices or amounts may have.
Places = Annotated[int, msgspec.Meta(ge=0, le=20)]
# Of a list from a venue's REST interface: a longer one would be invalid, and would block the event loop.
VenueList = msgspec.Meta(max_length=20_000)

_GZIP = 16 + zlib.MAX_WBITS
_MOST_BYTES = 1024 * 1024  # of a frame, decompressed: a small one can contain a gigabyte
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND, _MICROSECOND = timedelta(seconds=1), timedelta(microseconds=1)
_NS_PER_S = 1_000_000_000
_moment = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?(Z|[+-][0-9]{2}:[0-9]{2})"
).fullmatch
Entry = TypeVar("Entry")


def exact(number: msgspec.Raw) -> str | None:
    """Return a JSON number as the venue wrote it; None for null. ValueError for anything else."""
    text = bytes(number).decode()
    return None if text == "null" else decimal_text(text)


def exact_price(number: msgspec.Raw) -> str:
    """Return `exact(number)`; raise ValueError for null, since a trade must have a price."""
    if price := exact(number):
        return price
    raise ValueError("a trade without a price")


def best(side: Sequence[tuple[str, str]]) -> tuple[str | None, str | None]:
    """Return price and size of the first level, which must be the best; None for both if there is none."""
    if not side:
        return None, None
    price, size = side[0]
    return decimal_text(price), decimal_text(size)


def step(places: int | None) -> str:
    """Return the step that a number of decimals means (2: 0.01); "" if it is not stated."""
    return "" if places is None else f"{Decimal(1).scaleb(-places):f}"


def microseconds(moment: datetime) -> int:
    """Return a moment as microseconds since the epoch; ValueError if it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone")
    return (moment - _EPOCH) // _MICROSECOND


def nanoseconds(text: str) -> int:
    """Return a time in the format of RFC 3339 as nanoseconds since the epoch, exactly; ValueError for others.

    `datetime` has only microseconds, and msgspec rounds to them, perhaps into the next millisecond.
    """
    if (found := _moment(text)) is None:
        raise ValueError(f"{text[:40]!r} is not a time")
    seconds, fraction, zone = found.groups(default="")
    moment = datetime.fromisoformat(seconds + zone)
    return (moment - _EPOCH) // _SECOND * _NS_PER_S + int(fraction.ljust(9, "0"))


def gunzip(frame: bytes) -> bytes:
    """Decompress gzip data; raise ValueError if it is damaged, incomplete or contains more than 1 MB."""
    decompressor = zlib.decompressobj(_GZIP)
    try:
        text = decompressor.decompress(frame, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if not decompressor.eof:
        raise ValueError("gzip data that is incomplete or too long")
    return text


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn every exception that malformed data can cause into MalformedFrame."""
    try:
        yield
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedFrame(f"{what}: {error}") from None


def read_each(raws: Sequence[msgspec.Raw], *decoders: Callable[[msgspec.Raw], Entry]) -> list[Entry]:
    """Decode each entry of a list with the first of `decoders` that can; skip those that none can decode.

    Raises ValueError if the first decoder can decode no entry: then the format of the list has changed.
    """
    found: list[Entry] = []
    as_expected = 0
    for raw in raws:
        for number, decode in enumerate(decoders):
            try:
                found.append(decode(raw))
                as_expected += number == 0
                break
            except msgspec.DecodeError:
                continue
    if raws and not as_expected:
        raise ValueError("no entry of the list can be read")
    return found
