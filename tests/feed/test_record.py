"""Recordings: raw frames in a new file, which replay to the same book."""

from __future__ import annotations

import resource
import time
from pathlib import Path

import msgspec
import pytest

from crypto_stream.errors import RecordingError
from crypto_stream.feed.record import FileRecorder
from crypto_stream.feed.recordings import read
from tests.fakes import FakeBinance, FakeOKX
from tests.fakes.venue import FakeVenue
from tests.feed.assembled import assembled, source_of
from tests.feed.rig import SYMBOLS
from tests.waiting import until

VALUES = (
    "price",
    "bid",
    "bid_size",
    "ask",
    "ask_size",
    "open_24h",
    "high_24h",
    "low_24h",
    "volume_24h",
    "time",
)


def test_lines_are_time_kind_and_text(tmp_path: Path) -> None:
    """Each line is [seconds, kind, text] with the exact text; only received frames count."""
    begun = time.time()
    with FileRecorder(tmp_path / "f") as recorder:
        recorder.write("connect", "ws://host")
        recorder.write("send", "ping")
        recorder.received('p\u00f6ng "\n'.encode())
    lines = [msgspec.json.decode(line) for line in (tmp_path / "f").read_bytes().splitlines()]

    assert [line[1:] for line in lines] == [
        ["connect", "ws://host"],
        ["send", "ping"],
        ["recv", 'p\u00f6ng "\n'],
    ]
    assert all(begun - 1 <= line[0] <= time.time() + 1 for line in lines)
    assert recorder.frames == 1
    assert [recorded.frame for recorded in read(tmp_path / "f")] == [None, 'p\u00f6ng "\n'.encode()]


def test_binary_frames_are_recorded_exactly(tmp_path: Path) -> None:
    """Any bytes are read back unchanged."""
    frames = [b"\x1f\x8b\x08\x00", b"", "é".encode(), bytes(range(256))]
    with FileRecorder(tmp_path / "f") as recorder:
        for frame in frames:
            recorder.received(frame)

    assert [recorded.frame for recorded in read(tmp_path / "f")] == frames


def test_no_recording_is_overwritten(tmp_path: Path) -> None:
    """An existing file is refused and not changed; so is a place that cannot be written."""
    (tmp_path / "f").write_text("precious")
    with pytest.raises(RecordingError, match="exists already"):
        FileRecorder(tmp_path / "f")
    with pytest.raises(RecordingError, match="cannot be written"):
        FileRecorder(tmp_path / "nowhere" / "f")

    assert (tmp_path / "f").read_text() == "precious"


@pytest.mark.parametrize("kind", [FakeBinance, FakeOKX])
async def test_recording_plays_back_to_the_same_book(kind: type[FakeVenue], tmp_path: Path) -> None:
    """A recording with requests and acknowledgements replays to the same values."""
    file = tmp_path / "recorded.ndjson"
    async with kind(SYMBOLS) as fake:
        with FileRecorder(file) as recorder:
            async with assembled(source_of(fake), sources=fake.name, recorder=recorder) as feed:
                await until(lambda: len(feed.events) > 200)
                source = feed.composition.book.of(fake.name)
            live = {
                symbol: [getattr(entry, part) for part in VALUES] for symbol, entry in source.entries.items()
            }
            received = recorder.frames
    name = f"replay:{fake.name}"
    async with assembled(sources=f"{name}:{file}", replay_speed="full", explicit_pairs=False) as again:
        await until(lambda: again.state(name) == "ended")
        replayed = again.composition.book.of(name).entries
        counts = again.composition.loop.sources[name].status(0, pin=None, serving=0).frames
    kinds = [msgspec.json.decode(line)[1] for line in file.read_bytes().splitlines()]

    assert {symbol: [getattr(entry, part) for part in VALUES] for symbol, entry in replayed.items()} == live
    assert sum(counts.values()) == received
    assert kinds[0] == "connect"
    assert "send" in kinds
    assert kinds.count("recv") == received


def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    """A write error ends the recording with one line that names the file."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))
    try:
        with FileRecorder(tmp_path / "full") as recorder:
            for _ in range(1000):
                recorder.write("recv", "x" * 100)
            with pytest.raises(RecordingError) as told:
                recorder.flush()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)

    assert str(tmp_path / "full") in str(told.value)
