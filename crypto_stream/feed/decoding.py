"""What handlers need to read a venue's JSON: types of its numbers, exact texts, lists with odd entries."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import msgspec

from crypto_stream.errors import MalformedFrame
from crypto_stream.market.decimals import decimal_text

# Types of a venue's JSON. A key of order is what `Update.key` and `Trade.key` take.
VenueKey = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Since the epoch, in ms; of an event also in us or ns, which the feed tells by their size and brings to ms.
VenueTime = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
# Of a bar, in ms. Past the year 2100 it is another unit or nonsense.
BarTime = Annotated[int, msgspec.Meta(ge=0, lt=4_102_444_800_000)]
# Of a list that a venue's REST interface gives: more would be nonsense, and too much work in one piece.
VenueList = msgspec.Meta(max_length=20_000)

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
Entry = TypeVar("Entry")


def exact(number: msgspec.Raw) -> str | None:
    """Return a JSON number as the venue wrote it; None for null. ValueError for anything else."""
    text = bytes(number).decode()
    return None if text == "null" else decimal_text(text)


def microseconds(moment: datetime) -> int:
    """Return a moment as microseconds since the epoch."""
    return (moment - _EPOCH) // _MICROSECOND


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn everything that a wrong text of a venue can raise into MalformedFrame."""
    try:
        yield
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise MalformedFrame(f"{what}: {error}") from None


def read_each(raws: Sequence[msgspec.Raw], *ways: Callable[[msgspec.Raw], Entry]) -> list[Entry]:
    """Read each entry of a venue's list by the first of `ways` that can; one that none can read is left out.

    Raises ValueError where the first way reads none of them: then it is the list that is another.
    """
    found: list[Entry] = []
    as_expected = 0
    for raw in raws:
        for number, read in enumerate(ways):
            try:
                found.append(read(raw))
                as_expected += number == 0
                break
            except msgspec.DecodeError:
                continue
    if raws and not as_expected:
        raise ValueError("no entry of the list can be read")
    return found
