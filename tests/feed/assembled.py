"""A running feed of sources created by the test."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from crypto_stream.feed.connection import Recorder
from crypto_stream.feed.handler import Limits
from crypto_stream.feed.loading import load_source, load_sources
from crypto_stream.feed.sources import Source
from tests.fakes.venue import FakeVenue
from tests.feed.rig import Feed, fed, settings


def source_of(fake: FakeVenue, **changed: Any) -> Source:
    """Load the handler of a fake venue with its address; `changed` replaces parts of it or its limits."""
    source = load_source(fake.name, None, {"url": fake.url, "rest_url": fake.rest_url})
    limits = {name: changed.pop(name) for name in Limits._fields if name in changed}
    return msgspec.structs.replace(source, limits=source.limits._replace(**limits), **changed)


@contextlib.asynccontextmanager
async def assembled(*sources: Source, recorder: Recorder | None = None, **given: Any) -> AsyncIterator[Feed]:
    """Run the feed on `sources`; without any, on those in the settings."""
    internal: dict[str, Any] = {
        key: given.pop(key) for key in ("handler_options", "explicit_pairs") if key in given
    }
    chosen = settings(**given).model_copy(update=internal)
    async with fed(chosen, sources or load_sources(chosen), recorder) as feed:
        yield feed


def recording(file: Path, frames: Sequence[tuple[float | None, str]]) -> Path:
    """Write a recording of received frames by hand."""
    lines = [msgspec.json.encode((time_s, "recv", frame)) + b"\n" for time_s, frame in frames]
    file.write_bytes(b"".join(lines))
    return file
