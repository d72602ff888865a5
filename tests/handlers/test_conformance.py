"""What every handler must do, whatever venue it is: found by its file, tried on its fake where there is one.

A new handler is in here by itself. With a fake of its name in `tests.fakes.FAKES` it is tried end to end,
with a folder of its name among the recordings on what that venue once sent.
"""

from __future__ import annotations

import copy
import functools
import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from crypto_stream.feed.handler import (
    TOPICS,
    UNREADABLE,
    DepthChange,
    Event,
    Ignored,
    Refused,
    Topic,
    Trade,
    Update,
    Wanted,
)
from crypto_stream.feed.loading import known_handlers, load_source
from crypto_stream.feed.names import Discovered
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.feed.sources import Source, Venue
from crypto_stream.feed.subscriptions import bounded
from crypto_stream.market.book import SourceBook
from crypto_stream.market.channels import CHANNELS
from crypto_stream.market.instruments import Instrument, pair
from crypto_stream.market.ladder import HoleError, Ladder
from tests.fakes import FAKES, FakeVenue
from tests.feed.assembled import assembled, source_of
from tests.feed.losing import Line
from tests.feed.rig import Feed
from tests.waiting import SCALE, until

SOURCES = {name: load_source(name, None, {}) for name in known_handlers()}
VENUES = {name: source for name, source in SOURCES.items() if isinstance(source, Venue)}
FAKED = sorted(VENUES.keys() & FAKES.keys())
BOOKED = [name for name in FAKED if VENUES[name].gives_depth]
PAIRS = ["BTC-USDT", "ETH-USDT", "XRP-USDT"]
venue_names = pytest.mark.parametrize("name", sorted(VENUES))
faked_names = pytest.mark.parametrize("name", FAKED)

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**62, 2**66)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | st.sampled_from(["", "NaN", "1e999", "-0", "1_0", "\uff19", "9" * 5000, "BTC-USDT", "\U0001f4a5"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


@functools.cache
def listed_ids(name: str, *symbols: str) -> dict[str, str]:
    """Map symbols to the ids that only the venue's list tells, as its fake lists them; usually none."""
    fake = FAKES[name](symbols) if name in FAKES else None
    walks = fake.walks.values() if fake else ()
    return {walk.symbol: named for walk in walks if fake and (named := fake.id_of(walk)) is not None}


def reader(venue: Venue) -> Any:
    """Make a reader that knows every instrument a frame can name, and its fake's introduction."""
    listed = listed_ids(venue.name, *(pair(each).symbol for each in PAIRS))
    named = {venue_id: pair(symbol) for symbol, venue_id in listed.items()}
    made = venue.reader(named or Discovered(venue.pair_of, {}, {}))
    for frame in introduction(venue.name):
        made.read(frame)
    return made


@functools.cache
def introduction(name: str) -> list[bytes]:
    """List what a reader of that venue must have read before the frames of `samples`."""
    return [encoded(name, frame) for frame in FAKES[name](PAIRS).introduction()] if name in FAKES else []


def wanted(venue: Venue, instruments: list[Instrument]) -> list[Wanted]:
    """Want every topic."""
    listed = listed_ids(venue.name, *(each.symbol for each in instruments))
    return [
        Wanted(named, each, topic)
        for each in instruments
        if (named := venue.venue_id(each) or listed.get(each.symbol)) is not None
        for topic in TOPICS
    ]


def carried(venue: Venue) -> set[Topic]:
    """Say which topics a venue has: those that it asks for; of the three it may lack the 24 h figures."""
    requests = reader(venue).subscribe(wanted(venue, [pair(PAIRS[0])]))
    topics = {each.topic for request in requests for each in request.wanted}

    assert topics in (set(TOPICS), set(TOPICS) - {"day"}), f"it asks for no more than {sorted(topics)}"
    return topics


def samples(name: str) -> list[str]:
    """List frames as the venue's fake makes them, before it encodes them."""
    fake = FAKES[name](PAIRS)
    frames = [frame for walk in fake.walks.values() for what in ("top", "trade", "ticker")
              for _, frame in fake.frames(walk, what)]  # fmt: skip
    return [*frames, fake.announcement(), fake.unknown_event()]


def encoded(name: str, frame: str) -> bytes:
    """Return a frame as the venue sends it."""
    sent = FAKES[name](()).encode(frame)
    return sent.encode() if isinstance(sent, str) else sent


def judge(made: Any, frame: bytes) -> None:
    """Read one frame, and check that whatever comes of it can travel."""
    try:
        events = list(made.read(frame))
    except UNREADABLE:
        return

    assert events
    assert msgspec.msgpack.encode([each for each in events if not isinstance(each, DepthChange)])
    for event in events:
        judge_event(event)


def judge_event(event: Event) -> None:
    """Check bounds; and, of what the book takes, that it can."""
    if isinstance(event, Ignored):
        assert len(event.channel) <= 40
    elif isinstance(event, Refused):
        assert len(event.reason) < 300
    elif isinstance(event, DepthChange):
        with suppress(HoleError):
            Ladder().apply(event)
    elif isinstance(event, Update | Trade):
        names = ("price", "bid", "ask", "bid_size", "ask_size", "open_24h", "volume_24h", "size")
        values = [value for each in names if (value := getattr(event, each, None)) not in {None, UNSET}]

        assert event.symbol
        assert -1 <= event.key < 2**63
        assert all(Decimal(value).is_finite() for value in values)
        assert SourceBook().apply(event, 1)


@venue_names
@given(frame=st.binary(max_size=200))
def test_any_bytes(name: str, frame: bytes) -> None:
    """Random bytes are malformed or harmless."""
    judge(reader(VENUES[name]), frame)


@venue_names
@given(message=JSON)
def test_any_json(name: str, message: object) -> None:
    """Random JSON is malformed or harmless."""
    judge(reader(VENUES[name]), json.dumps(message).encode())


@venue_names
@pytest.mark.parametrize(
    "frame", [b"[" * 100_000, b'{"data":' * 50_000, b'"' + b"\\" * 99_999, b"9" * 99_999]
)
def test_deep_or_long_nonsense(name: str, frame: bytes) -> None:
    """Neither recursion nor length ends anything."""
    judge(reader(VENUES[name]), frame)


@faked_names
@given(data=st.data())
def test_real_frames_with_one_fault(name: str, data: st.DataObject) -> None:
    """A real-shaped frame with something wrong in it is malformed or harmless."""
    judge(reader(VENUES[name]), _with_one_fault(name, data, _as_json(name)))


@pytest.mark.parametrize("name", BOOKED)
@given(data=st.data())
def test_books_with_one_fault(name: str, data: st.DataObject) -> None:
    """So is a book, whole or changed, on a connection for books."""
    judge(reader_of_books(name), _with_one_fault(name, data, books(name)))


@pytest.mark.parametrize("name", BOOKED)
def test_books_are_read(name: str) -> None:
    """The frames of those tests are of the book that was asked for, whole and changed."""
    made, ladder = reader_of_books(name), Ladder()
    events = [event for frame in books(name) for event in made.read(encoded(name, frame))]

    assert {type(event) for event in events} == {DepthChange}
    assert {event.instrument.symbol for event in events} == {pair(PAIRS[0]).symbol}
    assert all(map(ladder.apply, events))
    assert len(ladder.bids()) > 2
    assert len(ladder.asks()) > 2


@functools.cache
def books(name: str) -> list[str]:
    """List frames of one book, whole and as it changes, before they are encoded."""
    fake = FAKES[name](PAIRS)
    walk = next(iter(fake.walks.values()))
    frames = [fake.book_frame(walk, fake.book(walk).whole())]
    for _ in range(3):
        walk.step()
        frames += fake.book_frames(walk, fake.book(walk).step())
    line = Line("none", 0.0, 0)  # numbers them, where the venue numbers those of a connection
    return [numbered for frame in frames for numbered in line.deliver(frame)]


def reader_of_books(name: str) -> Any:
    """Make a reader on a connection for books, which was asked for one."""
    made = VENUES[name].reader(Discovered(VENUES[name].pair_of, {}, {}))
    made.subscribe([each._replace(topic="depth") for each in wanted(VENUES[name], [pair(PAIRS[0])])[:1]])
    for frame in FAKES[name](PAIRS).introduction_of_books():
        made.read(encoded(name, frame))
    return made


def _with_one_fault(name: str, data: st.DataObject, frames: list[str]) -> bytes:
    """Return one of these frames with a value or a piece of it replaced or missing."""
    message = json.loads(data.draw(st.sampled_from(frames)))
    *path, last = data.draw(st.sampled_from(_places(message)))
    broken = copy.deepcopy(message)
    holder: Any = broken
    for key in path:
        holder = holder[key]
    if data.draw(st.booleans()):
        holder[last] = data.draw(JSON)
    else:
        del holder[last]
    frame = bytearray(encoded(name, json.dumps(broken)))
    if data.draw(st.booleans()):
        del frame[data.draw(st.integers(0, len(frame) - 1)) :]
    return bytes(frame)


@functools.cache
def _as_json(name: str) -> list[str]:
    """List samples; always the same ones, since the length of an encoded frame decides what is drawn."""
    return [frame for frame in samples(name) if frame.startswith(("{", "["))]


def _places(message: object, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    inner: list[tuple[Any, object]] = []
    if isinstance(message, dict):
        inner = list(message.items())
    elif isinstance(message, list):
        inner = list(enumerate(message))
    return [place for key, value in inner for place in [(*path, key), *_places(value, (*path, key))]]


@faked_names
def test_every_topic_is_read(name: str) -> None:
    """Of each instrument there are a top of book, a trade, 24 h figures if any, with times of now."""
    venue = VENUES[name]
    topics, figures = carried(venue), FAKES[name].figures
    book, now = SourceBook(), time.time_ns() // 1_000_000
    for number, frame in enumerate(samples(name), 1):
        for event in reader(venue).read(encoded(name, frame)):
            if isinstance(event, Update | Trade):
                book.apply(event, number)

                assert event.time is None or abs(event.time - now) < 60_000

    assert set(book.entries) == {pair(each).symbol for each in PAIRS}
    for entry in book.entries.values():
        assert None not in (entry.bid, entry.ask, entry.bid_size, entry.ask_size, entry.price)
        present = {each for each in FakeVenue.figures if getattr(entry, each) is not None}
        assert present == (figures if "day" in topics else set())
        assert {topic for topic in CHANNELS if entry.channels.last_ns(topic)} == topics


@venue_names
def test_ids_lead_back_to_their_pairs(name: str) -> None:
    """Where the venue's id of a pair can be read, it is that pair."""
    venue = VENUES[name]
    for text in (*PAIRS, "DOGE-BTC", "USDC-EUR"):
        instrument = pair(text)
        named = venue.venue_id(instrument)
        back = None if named is None else venue.pair_of(named)

        assert back in (None, (instrument.base, instrument.quote))


@venue_names
def test_all_that_is_wanted_is_asked_for_once(name: str) -> None:
    """In requests of at most the venue's length, each with its own keys; unsubscribing awaits nothing."""
    venue = VENUES[name]
    topics = carried(venue)
    asked = wanted(venue, [pair(f"A{number}-USDT") for number in range(200)])
    made = reader(venue)
    requests = bounded(made.subscribe, asked, venue.limits.request_bytes)
    keys = [key for request in requests for key in request.keys]

    assert sorted(each for request in requests for each in request.wanted) == sorted(
        each for each in asked if each.topic in topics
    )
    assert all(len(request.text.encode()) <= venue.limits.request_bytes for request in requests)
    assert all(request.keys for request in requests)
    assert len(keys) == len(set(keys))
    if hasattr(made, "unsubscribe"):
        assert not any(request.keys for request in made.unsubscribe(asked))


@faked_names
async def test_it_serves_its_fake_and_comes_back_after_a_cut(name: str) -> None:
    """Every topic of every pair, by the venue's rules; the list gives rules; nothing is asked too often."""
    async with FAKES[name](PAIRS) as fake, assembled(source_of(fake), **_given(name)) as feed:
        await until(lambda: _whole(feed, name))
        await until(lambda: len(feed.composition.loop.sources[name].listing.rules) == len(PAIRS))
        await fake.fault("drop")
        await until(lambda: len(fake.connects) == 2)
        begun = time.monotonic_ns()
        await until(lambda: all(feed.received(name, pair(each).symbol) > begun for each in PAIRS))

        assert fake.violations == []
        assert feed.composition.loop.sources[name].refused == {}


@faked_names
async def test_what_it_has_not_is_named_and_the_rest_is_served(name: str) -> None:
    """A pair that the venue refuses, alone or in a batch, costs no other."""
    async with FAKES[name](PAIRS) as fake:
        await fake.fault("error-ack", "ethusdt")
        without_list: dict[str, Any] = {} if listed_ids(name, "ethusdt") else {"rest": None}
        ack_s = 1.0 * SCALE  # some venues refuse by silence
        source = source_of(fake, **without_list)
        async with assembled(source, **_given(name), ack_timeout=ack_s) as feed:
            line = feed.composition.loop.sources[name]
            await until(lambda: feed.received(name, "btcusdt") and feed.received(name, "xrpusdt"))
            await until(lambda: "ethusdt" in line.refused)

            assert fake.violations == []


@faked_names
async def test_sixty_pairs_are_asked_for_within_the_limits(name: str) -> None:
    """However many messages that takes."""
    pairs = [f"A{number}B-USDT" for number in range(60)]
    async with (
        FAKES[name](pairs, rate=1) as fake,
        assembled(source_of(fake), sources=name, pairs=",".join(pairs), stale_after=60) as feed,
    ):
        await until(lambda: all(feed.received(name, pair(each).symbol) for each in pairs), 40)

        assert fake.violations == []


@faked_names
async def test_its_list_and_its_candles_are_read(name: str) -> None:
    """The list has every pair by its own base and quote; candles are whole, oldest first."""
    async with FAKES[name](PAIRS) as fake, httpx.AsyncClient(base_url=fake.rest_url) as http:
        fake.states["ethusdt"] = "closed for the night"
        rest = source_of(fake).rest
        assert rest is not None
        if rest.instruments:
            listed = {f"{each.base}-{each.quote}": each for each in await rest.instruments(http)}

            assert set(listed) == set(PAIRS)
            assert listed["ETH-USDT"].state == fake.halted
            assert listed["BTC-USDT"].state == (None if fake.halted is None else "")
            assert bool(listed["BTC-USDT"].rules.tick) == fake.lists_ticks
        if rest.candles:
            bars = await rest.candles(http, wanted(VENUES[name], [pair("BTC-USDT")])[0].id, "1m")

            assert [bar.time for bar in bars] == sorted({bar.time for bar in bars})
            assert bars[0].source == f"{name}:candles"
            assert abs(bars[0].time - time.time_ns() // 1_000_000) < 180_000


def _given(name: str) -> dict[str, Any]:
    return {"sources": name, "pairs": ",".join(PAIRS)}


def _whole(feed: Feed, name: str) -> bool:
    topics = carried(VENUES[name])
    entries = [feed.composition.book.entry(name, pair(each).symbol) for each in PAIRS]
    return all(
        entry and all(entry.channels.last_ns(channel) for channel in CHANNELS if channel in topics)
        for entry in entries
    )


def _recordings() -> Iterator[Path]:
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    for name in sorted(VENUES) if folder else ():
        yield from sorted((Path(str(folder)) / name).glob("*.ndjson*"))


@pytest.mark.parametrize("file", list(_recordings()), ids=lambda file: f"{file.parent.name}/{file.name}")
def test_what_the_venue_once_sent_is_harmless(file: Path) -> None:
    """Frames of other products and of older versions too."""
    venue = VENUES[file.parent.name]
    made = reader(venue)
    for recorded in read_recording(file):
        if recorded.frame is None:
            made = reader(venue)
        else:
            judge(made, recorded.frame)


def test_no_source_is_left_out() -> None:
    """Every file is loaded, and is of one of the kinds."""
    files = (Path(__file__).parents[2] / "handlers").glob("[!_]*.py")

    assert {file.stem for file in files} == SOURCES.keys()
    assert {"binance", "bybit", "kraken", "okx"} <= VENUES.keys()
    assert all(isinstance(source, Source) for source in SOURCES.values())
    assert set(FAKED) == set(FAKES)
    assert all(issubclass(fake, FakeVenue) for fake in FAKES.values())
