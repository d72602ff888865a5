"""Play a recording back through its venue's parser: `replay:VENUE:FILE`."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from crypto_stream.errors import MalformedFrame, RecordingError
from crypto_stream.feed.source import Event, Instrument, Source, Trade, Update
from crypto_stream.logs import PROGRESS
from crypto_stream.market.instruments import split_symbol

progress = logging.getLogger(PROGRESS)

Speed = Literal["recorded", "full"]
_AT_ONCE = 200  # lines read, and at full speed frames given, before others have their turn
_PROGRESS_S = 2.0

_decoder = msgspec.json.Decoder(tuple[float | None, str, str])


class Recorded(NamedTuple):
    """One received frame; `time_s` is the recording machine's clock, None where it kept none."""

    time_s: float | None
    frame: bytes


def replay_source(venue: Source, file: Path, speed: Speed) -> Source:
    """Make a source that plays `file` through the parser of `venue` and then ends."""
    if venue.parse is None:
        raise RecordingError(f"sources: {venue.name!r} is no venue; only a venue's recording can be replayed")
    try:
        file.open("rb").close()
    except OSError as error:
        raise RecordingError(f"sources: recording {str(file)!r} cannot be read: {error.strerror}") from None
    return Source(
        name=f"replay:{venue.name}",
        found=str(file),
        urls=(),
        rest_url=None,
        parse=venue.parse,
        frames=partial(play, file, speed),
        scan=partial(scan, file, venue.name, venue.parse),
        without=venue.without,
        names=venue.names,
    )


def scan(file: Path, venue: str, parse: Callable[[bytes], list[Event]]) -> list[Instrument]:
    """List the instruments a recording has data of, in the order of their first frame.

    RecordingError where there are none: it is empty, of another venue, or in a form not known.
    """
    symbols: dict[str, None] = {}
    frames, first_fault = 0, ""
    for recorded in told(read(file), "looking for instruments", file):
        frames += 1
        try:
            events = parse(recorded.frame)
        except MalformedFrame as error:
            first_fault = first_fault or f"; the first one that cannot be read: {str(error)[:200]}"
            continue
        symbols.update((event.symbol, None) for event in events if isinstance(event, (Update, Trade)))
    if not symbols:
        raise RecordingError(
            f"sources: no instrument found in {file}: {frames} frames, none known to {venue}{first_fault}"
        )
    return [Instrument(symbol, *split_symbol(symbol)) for symbol in symbols]


def read(file: Path) -> Iterator[Recorded]:
    """Yield the received frames of a recording, plain or gzip; RecordingError names a bad line."""
    number = 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - named in the errors
                if not line.strip():
                    continue
                time_s, kind, text = _decoder.decode(line)
                if kind == "recv":
                    yield Recorded(time_s, text.encode())
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise RecordingError(f"{file}, line {number}: not [time, kind, text]: {error}") from None
    except (OSError, EOFError, zlib.error) as error:  # cut or damaged, most often its compression
        raise RecordingError(f"{file}, after line {number}: cannot be read: {error}") from None


async def play(file: Path, speed: Speed) -> AsyncGenerator[bytes]:
    """Yield the frames at the pace they were recorded, or as fast as they are taken."""
    frames = told(read(file), "replaying", file)
    started_s = time.monotonic()
    first_s: float | None = None
    while batch := await asyncio.to_thread(lambda: list(islice(frames, _AT_ONCE))):
        for recorded in batch:
            if speed == "recorded" and recorded.time_s is not None:
                first_s = recorded.time_s if first_s is None else first_s
                due_s = started_s + recorded.time_s - first_s
                if (wait_s := due_s - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
            yield recorded.frame
        await asyncio.sleep(0)


def told(frames: Iterator[Recorded], what: str, file: Path) -> Iterator[Recorded]:
    """Pass `frames` on, and tell every few seconds how many have been read."""
    next_s = time.monotonic() + _PROGRESS_S
    for number, recorded in enumerate(frames, 1):
        if not number % _AT_ONCE and time.monotonic() >= next_s:
            next_s = time.monotonic() + _PROGRESS_S
            progress.info(what, extra={"file": file.name, "frames": number})
        yield recorded
