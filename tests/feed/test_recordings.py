"""Replay of recordings: the same frames through the same parser, counted once, ended at the end."""

from __future__ import annotations

import gzip
import time
from pathlib import Path

import pytest

from crypto_stream.errors import RecordingError, UsageError
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.recordings import read
from crypto_stream.feed.sources import Recording
from tests.feed.assembled import assembled, recording
from tests.feed.rig import STALE_S, settings
from tests.waiting import until

NAME = "replay:binance"
TOP = '{"stream":"%s@bookTicker","data":{"u":%d,"s":"%s","b":"%s","B":"1","a":"%s","A":"2"}}'
ACK = '{"result":null,"id":1}'


def top(symbol: str, key: int, bid: str = "0.000000454", ask: str = "0.000000460") -> str:
    """Return a bookTicker frame as Binance sends it."""
    return TOP % (symbol, key, symbol.upper(), bid, ask)


FRAMES: list[tuple[float | None, str]] = [
    (1000.0, top("btcusdt", 1, "1.10", "1.20")),
    (1000.1, ACK),
    (1000.2, "not json"),
    (1000.2, top("ethbtc", 5)),
    (1000.2, '{"stream":"btcusdt@depth","data":{}}'),
    (1000.3, top("btcusdt", 3, "1.30", "1.40")),
    (1000.3, top("btcusdt", 2, "9", "9")),
]


@pytest.mark.parametrize("speed", ["recorded", "full"])
async def test_recording_plays_to_its_end_and_stays_there(tmp_path: Path, speed: str) -> None:
    """At either speed every frame is counted once, the newest values remain, and the source has ended."""
    file = recording(tmp_path / "some.ndjson", FRAMES)
    begun = time.monotonic()
    async with assembled(sources=f"replay:binance:{file}", replay_speed=speed, explicit_pairs=False) as feed:
        line = feed.composition.loop.sources[NAME]
        await until(lambda: line.state == "ended" and feed.serving() is None)
        status = line.status(time.monotonic_ns(), pin=None, serving=0)
        entries = feed.composition.book.of(NAME).entries
        lasted = time.monotonic() - begun
        await until(lambda: time.monotonic() - begun > lasted + 2 * STALE_S)

        assert line.state == "ended"
        assert line.reason == "the recording is over"
        assert status.frames == {"bookTicker": 4, "ack": 1, "malformed": 1, "depth": 1}
        assert sum(line.status(0, pin=None, serving=0).frames.values()) == len(FRAMES)
        assert status.dropped == {"bookTicker": 1}
        assert (status.reconnects, status.last_error) == (0, None)
        assert (entries["btcusdt"].bid, entries["btcusdt"].ask) == ("1.30", "1.40")
        assert entries["ethbtc"].bid == "0.000000454"
        assert feed.changes[-1].reason == f"{NAME}: the recording is over"
        assert lasted >= 0.3 or speed == "full"


async def test_recording_without_times_plays_at_once(tmp_path: Path) -> None:
    """Without times in the file, recorded speed is full speed."""
    frames = [(None, top("btcusdt", key)) for key in range(1, 1001)]
    async with assembled(sources=f"replay:binance:{recording(tmp_path / 'f', frames)}") as feed:
        await until(lambda: feed.state(NAME) == "ended")

        assert len(feed.events) == 1000


async def test_pause_of_a_recording_ends_nothing(tmp_path: Path) -> None:
    """A recorded silence is stale while it lasts; the replay continues, without a reconnect."""
    frames = [(1000.0, top("btcusdt", 1)), (1000.0 + 3.5 * STALE_S, top("btcusdt", 2))]
    async with assembled(sources=f"replay:binance:{recording(tmp_path / 'f', frames)}") as feed:
        await until(lambda: feed.state(NAME) == "stale")
        await until(lambda: feed.state(NAME) == "ended")
        line = feed.composition.loop.sources[NAME]

        assert line.reconnects == 0
        assert [getattr(event, "key", None) for _source, event in feed.events] == [1, 2]
        assert line.status(0, pin=None, serving=0).frames == {"bookTicker": 2}


async def test_an_announced_shutdown_is_played_like_any_frame(tmp_path: Path) -> None:
    """A recording with an announcement is replayed once: there is nowhere to move."""
    notice = '{"e":"serverShutdown","E":1770123456789}'
    frames = [(None, top("btcusdt", 1)), (None, notice), (None, top("btcusdt", 2))]
    async with assembled(sources=f"replay:binance:{recording(tmp_path / 'f', frames)}") as feed:
        await until(lambda: feed.state(NAME) == "ended")
        line = feed.composition.loop.sources[NAME]

        assert line.status(0, pin=None, serving=0).frames == {"bookTicker": 2, "moving": 1}


async def test_compressed_recording_is_read(tmp_path: Path) -> None:
    """A name that ends in .gz is read through gzip."""
    plain = recording(tmp_path / "plain", FRAMES)
    packed = tmp_path / "packed.ndjson.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    async with assembled(sources=f"replay:binance:{packed}", replay_speed="full") as feed:
        await until(lambda: feed.state(NAME) == "ended")

        assert list(read(packed)) == list(read(plain))
        assert feed.composition.book.of(NAME).entries["btcusdt"].bid == "1.30"


async def test_instruments_are_those_of_the_recording(tmp_path: Path) -> None:
    """Without configured pairs all instruments of the file exist, in order, and no others."""
    file = recording(tmp_path / "f", FRAMES)
    chosen = settings(sources=f"replay:binance:{file}")
    async with assembled(sources=f"replay:binance:{file}", explicit_pairs=False) as feed:
        assert list(feed.composition.instruments) == ["btcusdt", "ethbtc"]
        assert set(feed.composition.failover.chains) == {"btcusdt", "ethbtc"}
    (source,) = load_sources(chosen)

    assert source.name == NAME
    assert isinstance(source, Recording)
    assert [(each.symbol, each.base, each.quote) for each in source.scan()] == [
        ("btcusdt", "BTC", "USDT"),
        ("ethbtc", "ETH", "BTC"),
    ]


async def test_only_named_pairs_are_published_of_a_recording(tmp_path: Path) -> None:
    """Configured pairs limit what is published; one that is not in the file has no source."""
    file = recording(tmp_path / "f", FRAMES)
    async with assembled(sources=f"replay:binance:{file}", pairs="ETH-BTC,xrpusdt") as feed:
        await until(lambda: feed.state(NAME) == "ended")

        assert list(feed.composition.instruments) == ["ethbtc", "xrpusdt"]
        assert feed.composition.failover.chains == {"ethbtc": (NAME,), "xrpusdt": ()}


async def test_what_is_no_spot_pair_is_counted(tmp_path: Path) -> None:
    """Frames of swaps and options are counted under not_subscribed, and create no instruments."""
    swap = '{"arg":{"channel":"tickers","instId":"BTC-USDT-SWAP"},"data":[{}]}'
    trade = (
        '{"arg":{"channel":"trades","instId":"BTC-USDT"},'
        '"data":[{"instId":"BTC-USDT","tradeId":"7","px":"60000.1","sz":"0.1","side":"buy","ts":"1630048897897"}]}'
    )
    file = recording(tmp_path / "f", [(1.0, swap), (1.0, trade), (1.0, "pong")])
    async with assembled(sources=f"replay:okx:{file}") as feed:
        await until(lambda: feed.state("replay:okx") == "ended")
        status = feed.composition.loop.sources["replay:okx"].status(0, pin=None, serving=0)
        entry = feed.composition.book.entry("replay:okx", "btcusdt")

        assert status.frames == {"not_subscribed": 1, "trades": 1, "pong": 1}
        assert entry is not None
        assert (entry.price, entry.time) == ("60000.1", 1630048897897)


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (b'[1.0,"recv","x"]\n\n[1.0,"recv"]\n', "line 3"),
        (b'{"time":1}\n', "line 1"),
        (b'[1.0,"recv","x"]\nnonsense\n', "line 2"),
        (b'[1.0,"recv","\xff"]\n', "line 1"),
    ],
)
def test_bad_line_is_named(tmp_path: Path, content: bytes, place: str) -> None:
    """A file that is not a recording is refused with its name and the line number."""
    file = tmp_path / "bad.ndjson"
    file.write_bytes(content)

    with pytest.raises(RecordingError, match=rf"bad\.ndjson, {place}: "):
        list(read(file))


@pytest.mark.parametrize(
    "content",
    [b"no gzip at all\n", gzip.compress(b'[1.0,"recv","x"]\n' * 999)[:-20]],
    ids=["not gzip", "cut"],
)
def test_bad_compression_is_one_line(tmp_path: Path, content: bytes) -> None:
    """A file that cannot be decompressed, or only in part, is refused with its name."""
    file = tmp_path / "bad.ndjson.gz"
    file.write_bytes(content)

    with pytest.raises(RecordingError, match=r"bad\.ndjson\.gz"):
        list(read(file))


@pytest.mark.parametrize(
    ("frames", "says"),
    [
        ([(1.0, top("btcusdt", 1))] * 3, "3 frames, none known to okx"),
        ([], "0 frames, none known to okx"),
        ([(1.0, "nonsense")], "1 frames, none known to okx; the first one that cannot be read: "),
        ([(1.0, "pong")], "1 frames, none known to okx"),
    ],
)
def test_a_recording_without_an_instrument_is_one_line(
    tmp_path: Path, frames: list[tuple[float | None, str]], says: str
) -> None:
    """A file of another venue, or an empty one, is refused: an empty board would be unexplained."""
    (source,) = load_sources(settings(sources=f"replay:okx:{recording(tmp_path / 'f', frames)}"))
    assert isinstance(source, Recording)

    with pytest.raises(RecordingError, match=r"no instrument found in .*/f: ") as caught:
        source.scan()
    assert says in str(caught.value)


def test_missing_recording_is_refused_at_the_start(tmp_path: Path) -> None:
    """A missing file, or a folder, is one line that names it."""
    for name in ("missing", ""):
        with pytest.raises(RecordingError, match="cannot be read"):
            load_sources(settings(sources=f"replay:binance:{tmp_path / name}"))


@pytest.mark.parametrize("word", ["replay:", "replay:binance", "replay:binance:", "replay::file"])
def test_incomplete_replay_is_refused(word: str) -> None:
    """A replay without venue or file is a wrong setting."""
    with pytest.raises(UsageError, match="sources: "):
        load_sources(settings(sources=word))


def test_only_a_venue_can_be_replayed(tmp_path: Path) -> None:
    """A source without a parser has no recordings."""
    file = recording(tmp_path / "f", [])

    with pytest.raises(RecordingError, match="'synthetic' is not a venue"):
        load_sources(settings(sources=f"replay:synthetic:{file}"))


DAY = (
    '{"stream":"btcusdt@ticker","data":{"E":%d,"s":"BTCUSDT","c":"100","b":"99","B":"1","a":"101","A":"1",'
    '"o":"90","h":"110","l":"80","v":"5"}}'
)
TRADE = '{"stream":"btcusdt@aggTrade","data":{"a":%d,"s":"BTCUSDT","p":"%s","q":"1","T":%d}}'
OKX = '{"arg":{"channel":"%s","instId":"BTC-USDT"},"data":[{%s,"ts":"%d"}]}'
OKX_DAY = (
    '"last":"100","askPx":"101","askSz":"1","bidPx":"99","bidSz":"1","open24h":"90","high24h":"110",'
    '"low24h":"80","vol24h":"5"'
)


@pytest.mark.parametrize("per_ms", [1, 1_000, 1_000_000])
@pytest.mark.parametrize("venue", ["binance", "okx"])
async def test_recording_in_another_unit_of_time_gives_prices(
    tmp_path: Path, venue: str, per_ms: int
) -> None:
    """Times in microseconds or nanoseconds are converted to ms, for every venue."""
    at = 1_770_000_000_000
    first, then = at * per_ms, (at + 1_000) * per_ms
    frames = {
        "binance": [DAY % first, TRADE % (1, "100.5", first), TRADE % (2, "100.7", then)],
        "okx": [
            OKX % ("tickers", OKX_DAY, first),
            OKX % ("trades", '"tradeId":"1","px":"100.5","sz":"1"', first),
            OKX % ("trades", '"tradeId":"2","px":"100.7","sz":"1"', then),
        ],
    }
    file = recording(tmp_path / "some.ndjson", [(None, frame) for frame in frames[venue]])
    async with assembled(sources=f"replay:{venue}:{file}", explicit_pairs=False) as feed:
        await until(lambda: feed.state(f"replay:{venue}") == "ended")
        entry = feed.composition.book.of(f"replay:{venue}").entries["btcusdt"]

        assert (entry.price, entry.open_24h, entry.time) == ("100.7", "90", at + 1_000)
        assert not feed.composition.book.of(f"replay:{venue}").dropped
