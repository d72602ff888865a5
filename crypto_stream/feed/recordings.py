"""Read and replay recordings of a venue's frames, and find the instruments in them."""

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
_BATCH = 200  # lines read, and frames replayed at full speed, before yielding to other tasks
_PROGRESS_S = 2.0

_decoder = msgspec.json.Decoder(tuple[float | None, str, str])


class Recorded(NamedTuple):
    """One received frame; None marks the beginning of a connection.

    `time_s` is the time on the recording machine's clock, None if it was not recorded.
    """

    time_s: float | None
    frame: bytes | None


def instruments_of(
    file: Path, venue: str, reader: Callable[[Mapping[str, Instrument]], Reading], found: Discovered
) -> list[Instrument]:
    """List the instruments with data in a recording, in the order of their first frame.

    Raises RecordingError if there are none: it is empty, of another venue, or in an unknown format.
    """
    seen: dict[str, Instrument] = {}
    frames, first_fault, current = 0, "", reader(found)
    for recorded in with_progress(read(file), "looking for instruments", file):
        if recorded.frame is None:
            current = reader(found)
            continue
        frames += 1
        try:
            events = list(current.read(recorded.frame))
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
    """Raise RecordingError if the file cannot be read."""
    try:
        file.open("rb").close()
    except OSError as error:
        raise RecordingError(f"sources: recording {str(file)!r} cannot be read: {error.strerror}") from None


def read(file: Path) -> Iterator[Recorded]:
    """Yield the received frames of a recording, uncompressed or gzip; RecordingError names a bad line."""
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
    except (OSError, EOFError, zlib.error) as error:  # truncated or damaged
        raise RecordingError(f"{file}, after line {number}: cannot be read: {error}") from None


async def play(file: Path, speed: Speed) -> AsyncGenerator[bytes | None]:
    """Yield the frames at the recorded pace, or as fast as possible; None marks a new connection."""
    frames = with_progress(read(file), "replaying", file)
    started_s = time.monotonic()
    first_s: float | None = None
    while batch := await asyncio.to_thread(lambda: list(islice(frames, _BATCH))):
        for recorded in batch:
            if speed == "recorded" and recorded.time_s is not None:
                first_s = recorded.time_s if first_s is None else first_s
                due_s = started_s + recorded.time_s - first_s
                if (wait_s := due_s - time.monotonic()) > 0:
                    await asyncio.sleep(wait_s)
            yield recorded.frame
        await asyncio.sleep(0)


def with_progress(frames: Iterator[Recorded], what: str, file: Path) -> Iterator[Recorded]:
    """Yield `frames`, and log their number every few seconds."""
    next_s = time.monotonic() + _PROGRESS_S
    for number, recorded in enumerate(frames, 1):
        if not number % _BATCH and time.monotonic() >= next_s:
            next_s = time.monotonic() + _PROGRESS_S
            progress.info(what, extra={"file": file.name, "frames": number})
        yield recorded
