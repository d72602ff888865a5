"""Recordings of a venue's frames: read, looked through for instruments, played back."""

from __future__ import annotations

import asyncio
import gzip
import logging
import time
import zlib
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from crypto_stream.errors import RecordingError
from crypto_stream.feed.handler import UNREADABLE, Instrument, Reading, Trade, Update
from crypto_stream.feed.names import Discovered
from crypto_stream.feed.record import BINARY
from crypto_stream.logs import PROGRESS

progress = logging.getLogger(PROGRESS)

Speed = Literal["recorded", "full"]
_AT_ONCE = 200  # lines read, and at full speed frames given, before others have their turn
_PROGRESS_S = 2.0

_decoder = msgspec.json.Decoder(tuple[float | None, str, str])


class Recorded(NamedTuple):
    """One received frame, or None where a connection began.

    `time_s` is the recording machine's clock, None where it kept none.
    """

    time_s: float | None
    frame: bytes | None


def instruments_of(
    file: Path, venue: str, reader: Callable[[Mapping[str, Instrument]], Reading], found: Discovered
) -> list[Instrument]:
    """List the instruments a recording has data of, in the order of their first frame.

    RecordingError where there are none: it is empty, of another venue, or in a form not known.
    """
    seen: dict[str, Instrument] = {}
    frames, first_fault, read_by = 0, "", reader(found)
    for recorded in told(read(file), "looking for instruments", file):
        if recorded.frame is None:
            read_by = reader(found)
            continue
        frames += 1
        try:
            events = list(read_by.read(recorded.frame))
        except UNREADABLE as error:
            first_fault = first_fault or f"; the first one that cannot be read: {str(error)[:200]}"
            continue
        for event in events:
            if isinstance(event, (Update, Trade)):
                seen.setdefault(event.instrument.symbol, event.instrument)
    if not seen:
        raise RecordingError(
            f"sources: no instrument found in {file}: {frames} frames, none known to {venue}{first_fault}"
        )
    return list(seen.values())


def check(file: Path) -> None:
    """Raise RecordingError for a file that cannot be read."""
    try:
        file.open("rb").close()
    except OSError as error:
        raise RecordingError(f"sources: recording {str(file)!r} cannot be read: {error.strerror}") from None


def read(file: Path) -> Iterator[Recorded]:
    """Yield what a recording received, plain or gzip; RecordingError names a bad line."""
    number = 0
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007 - named in the errors
                if not line.strip():
                    continue
                time_s, kind, text = _decoder.decode(line)
                if kind == "recv":
                    yield Recorded(time_s, text.encode())
                elif kind == BINARY:
                    yield Recorded(time_s, bytes.fromhex(text))
                elif kind == "connect":
                    yield Recorded(time_s, None)
    except (msgspec.MsgspecError, ValueError) as error:
        raise RecordingError(f"{file}, line {number}: not [time, kind, text]: {error}") from None
    except (OSError, EOFError, zlib.error) as error:  # cut or damaged, most often its compression
        raise RecordingError(f"{file}, after line {number}: cannot be read: {error}") from None


async def play(file: Path, speed: Speed) -> AsyncGenerator[bytes | None]:
    """Yield the frames at the pace they were recorded, or as fast as they are taken; None: connected."""
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
