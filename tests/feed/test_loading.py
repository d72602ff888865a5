"""Handlers are found by their file's name; errors are one line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from crypto_stream.errors import BrokenHandlerError, SettingError, UnknownHandlerError, UsageError
from crypto_stream.feed.handler import Keepalive
from crypto_stream.feed.loading import known_handlers, load_source, load_sources
from crypto_stream.settings import load
from tests.fakes import FakeBinance
from tests.feed.assembled import assembled, recording
from tests.waiting import until

NEW_VENUE = '''
"""A venue in one file: it speaks as Binance does, on paths of its own."""

import json

from crypto_stream.feed.handler import Acked, Ignored, Keepalive, Limits, Opening, Request, Trade

URLS = ["ws://127.0.0.1:9"]
LIMITS = Limits(pace_s=0.01, keepalive=Keepalive(None, 7.0))
OPTIONS = {"greeting": "hello"}


def venue_id(pair):
    return pair.symbol.upper()


def pair_of(venue_id):
    return venue_id[:-4], venue_id[-4:]


async def opening(http, options):
    return Opening("/stream")


class Reader:
    def __init__(self, instruments):
        self.instruments = instruments

    def subscribe(self, wanted):
        names = [f"{each.id.lower()}@aggTrade" for each in wanted if each.topic == "trades"]
        text = json.dumps({"method": "SUBSCRIBE", "params": names, "id": 1})
        return [Request(text, ("1",), tuple(wanted))]

    def read(self, frame):
        message = json.loads(frame)
        if "id" in message:
            return [Acked(str(message["id"]))]
        trade = message["data"]
        if trade.get("e") != "aggTrade":
            return [Ignored("other")]
        instrument = self.instruments[trade["s"]]
        return [Trade(instrument, "trades", trade["a"], trade["T"], trade["p"], trade["q"])]
'''
# The least that is a venue.
BARE_VENUE = """
URLS = ["ws://nowhere:1"]
def venue_id(pair): return pair.symbol
def pair_of(venue_id): return None
class Reader: pass
"""


def handler(folder: Path, name: str, text: str = NEW_VENUE) -> Path:
    """Write a handler into `folder`; names differ between tests, because modules are imported once."""
    (folder / f"{name}.py").write_text(text)
    return folder


def settings(**given: Any) -> Any:
    """Create settings; `options` are those of handlers."""
    options = given.pop("options", {})
    return load(given).model_copy(update={"handler_options": options})


def test_files_are_the_registration(tmp_path: Path) -> None:
    """Every file of the two folders is a handler, the project's own first, except names with _."""
    handler(tmp_path, "venue_a")
    handler(tmp_path, "binance", "raise SystemError")
    handler(tmp_path, "_private")
    known = known_handlers(tmp_path)

    assert set(known_handlers()) | {"venue_a"} == set(known)
    assert {"binance", "bybit", "kraken", "okx", "synthetic"} < set(known)
    assert known["binance"].parent.name == "handlers"
    assert known["venue_a"] == tmp_path / "venue_a.py"


def test_unknown_handler_lists_the_known_ones() -> None:
    """The error lists the known names, and the one that was probably meant."""
    with pytest.raises(UnknownHandlerError) as near:
        load_source("binanse", None, {})
    with pytest.raises(UnknownHandlerError) as far:
        load_source("zzz", None, {})

    assert str(near.value) == (
        "sources: 'binanse' is not a handler; did you mean binance? "
        f"known: {', '.join(sorted(known_handlers()))}"
    )
    assert "did you mean" not in str(far.value)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("imports_nothing", "import no_such_module_anywhere"),
        ("bad_syntax", "def broken(:"),
        ("bad_at_start", "1 / 0"),
    ],
)
def test_broken_handler_is_not_unknown(tmp_path: Path, name: str, text: str) -> None:
    """A handler that cannot be imported is reported with its file and the error, each time."""
    folder = handler(tmp_path, name, text)
    for _ in range(2):
        with pytest.raises(BrokenHandlerError, match="cannot be imported") as error:
            load_source(name, folder, {})

        assert str(tmp_path / f"{name}.py") in str(error.value)
        assert "known:" not in str(error.value)


def test_missing_parts_are_named(tmp_path: Path) -> None:
    """The error names the parts that a module does not define."""
    folder = handler(tmp_path, "half_venue", "URLS = []\ndef venue_id(pair): return None\n")

    with pytest.raises(BrokenHandlerError, match="does not define Reader, pair_of"):
        load_source("half_venue", folder, {})


@pytest.mark.parametrize(
    ("instrument", "synthetic"),
    [
        ('Instrument("eurusd", "EUR", "USD")', False),
        ('Instrument("ticker_00", None, None, synthetic=True)', False),
        ('Instrument("btcusdt", "BTC", "USDT")', True),
    ],
)
def test_symbol_is_either_real_or_synthetic(tmp_path: Path, instrument: str, synthetic: bool) -> None:
    """No venue carries a reserved symbol, and no synthetic source a real instrument."""
    name = f"odd_{abs(hash(instrument)) % 10**9}"
    text = (
        "from crypto_stream.feed.handler import Instrument\n"
        f"INSTRUMENTS = [{instrument}]\nSYNTHETIC = {synthetic}\n"
        "async def events(connection, instruments):\n    yield None\n"
    )

    with pytest.raises(BrokenHandlerError, match="synthetic"):
        load_source(name, handler(tmp_path, name, text), {})


async def test_new_venue_is_one_file(tmp_path: Path) -> None:
    """A handler in the user's own folder is loaded by its name and serves, with its own settings."""
    async with FakeBinance(["btcusdt"]) as fake:
        given: dict[str, Any] = {
            "sources": "my_venue",
            "handlers_dir": handler(tmp_path, "my_venue"),
            "pairs": "btcusdt",
        }
        options = {"my_venue": {"url": fake.url, "greeting": "good day"}}
        async with assembled(handler_options=options, **given) as feed:
            await until(lambda: feed.serving() == "my_venue")
            (source,) = feed.composition.sources

            assert source.options == {"greeting": "good day"}
            assert source.limits.keepalive == Keepalive(None, 7.0)
            assert source.location == str(tmp_path / "my_venue.py")
            assert fake.violations == []


def test_handlers_folder_must_exist(tmp_path: Path) -> None:
    """A missing folder is a wrong setting."""
    with pytest.raises(SettingError, match=r"handlers_dir: .* is not a folder"):
        load_sources(settings(handlers_dir=tmp_path / "missing"))


@pytest.mark.parametrize(
    ("sources", "options", "message"),
    [
        (
            "binance",
            {"binance": {"colour": "red"}},
            "CRYPTO_STREAM_BINANCE_COLOUR: no such setting; allowed: url",
        ),
        (
            "binance",
            {"binence": {"url": "ws://x:1"}},
            "CRYPTO_STREAM_BINENCE_URL: neither a setting nor a handler",
        ),
        (
            "binance",
            {"binance": {"url": "http://x:1"}},
            "CRYPTO_STREAM_BINANCE_URL: 'http://x:1' is not allowed",
        ),
        ("binance", {"binance": {"url": "ws://x:1/ws"}}, "CRYPTO_STREAM_BINANCE_URL: .* without a path"),
        ("binance", {"binance": {"url": "ws://x:1,"}}, "CRYPTO_STREAM_BINANCE_URL: '' is not allowed"),
        ("binance", {"binance": {"url": "localhost:1"}}, "CRYPTO_STREAM_BINANCE_URL"),
        ("binance", {"binance": {"url": "ws://:80"}}, "CRYPTO_STREAM_BINANCE_URL"),
        ("binance", {"binance": {"url": "ws://x:99999"}}, "CRYPTO_STREAM_BINANCE_URL"),
        ("binance", {"binance": {"url": "ws://a b:80"}}, "CRYPTO_STREAM_BINANCE_URL"),
        (
            "binance",
            {"binance": {"url": "ws://a..b:80"}},
            "CRYPTO_STREAM_BINANCE_URL: .*is not a host name",
        ),
        (
            "binance",
            {"binance": {"url": f"ws://{'x' * 64}.org"}},
            "CRYPTO_STREAM_BINANCE_URL: .*not a host name",
        ),
        (
            "binance",
            {"binance": {"url": "ws://10.0.0.300:80"}},
            "CRYPTO_STREAM_BINANCE_URL: .*not a host name",
        ),
        ("binance", {"binance": {"url": "ws://[::1::2]:80"}}, "CRYPTO_STREAM_BINANCE_URL: .*not a host name"),
        (
            "binance",
            {"binance": {"rest_url": "http://.a"}},
            "CRYPTO_STREAM_BINANCE_REST_URL: .*not a host name",
        ),
        (
            "binance",
            {"binance": {"rest_url": "ws://x:1"}},
            "CRYPTO_STREAM_BINANCE_REST_URL: .*https://host:port",
        ),
        ("synthetic", {"synthetic": {"eurusd_price": "cheap"}}, "CRYPTO_STREAM_SYNTHETIC"),
        ("binance,okx,binance", {}, "sources: binance is given twice"),
    ],
)
def test_wrong_settings_of_handlers_are_one_line(
    sources: str, options: dict[str, dict[str, str]], message: str
) -> None:
    """The error names setting, value and what is allowed."""
    with pytest.raises(SettingError, match=message) as error:
        load_sources(settings(sources=sources, options=options))

    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "url",
    [
        "ws://127.0.0.1:1",
        "wss://some.host",
        "ws://[::1]:8000",
        "ws://a:1, wss://b:2",
        "wss://b\u00fccher.example.",
    ],
)
def test_addresses_that_are_allowed(url: str) -> None:
    """A host, with or without a port, and several hosts with commas."""
    source = load_source("binance", None, {"url": url})

    assert list(source.urls) == [word.strip() for word in url.split(",")]


def test_two_recordings_of_one_venue_are_one_too_many(tmp_path: Path) -> None:
    """Two replays of one venue would have the same name; a replay and the venue itself are fine."""
    file = recording(tmp_path / "f", [])
    with pytest.raises(UsageError, match="replay:binance is given twice"):
        load_sources(settings(sources=f"replay:binance:{file},replay:binance:{file}"))
    names = [source.name for source in load_sources(settings(sources=f"binance,replay:binance:{file}"))]

    assert names == ["binance", "replay:binance"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("URLS = 5", "URLS must be a list of addresses"),
        ("INSTRUMENTS = ['x']", "INSTRUMENTS must be a list of Instrument"),
        ("RULES = {'x': '0.1'}", "RULES must be a dict of symbols and Rules"),
        ("Reader = 1", "Reader must be a function"),
        ("LIMITS = 5", "LIMITS must be made by Limits"),
        (
            "from crypto_stream.feed.handler import Limits\nLIMITS = Limits(frame_bytes=17 * 1024 * 1024)",
            "frame_bytes of LIMITS must be above 0 and at most 16,777,216",
        ),
        (
            "from crypto_stream.feed.handler import Limits\nLIMITS = Limits(books=0)",
            "books of LIMITS must be 1 or more, or None, not 0",
        ),
        (
            "from crypto_stream.feed.handler import Limits\nLIMITS = Limits(books=-1)",
            "books of LIMITS must be 1 or more, or None, not -1",
        ),
    ],
)
def test_handler_of_the_wrong_kind_is_one_line(tmp_path: Path, line: str, message: str) -> None:
    """The error names the part that does not have the required type."""
    text = f"{BARE_VENUE}{line}\n"
    folder = handler(tmp_path, f"wrong{abs(hash(line))}", text)
    with pytest.raises(BrokenHandlerError, match=message):
        load_source(f"wrong{abs(hash(line))}", folder, {})


def test_handler_with_an_underscore_has_settings_too(tmp_path: Path) -> None:
    """CRYPTO_STREAM_MY_VENUE_URL is the address of `my_venue`, although it is ambiguous."""
    folder = handler(tmp_path, "my_venue", BARE_VENUE)
    chosen = load({"sources": "my_venue", "handlers_dir": str(folder)})
    chosen = chosen.model_copy(update={"handler_options": {"my": {"venue_url": "ws://127.0.0.1:5"}}})
    (source,) = load_sources(chosen)

    assert list(source.urls) == ["ws://127.0.0.1:5"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("bridges:one", "'bridges' is not a kind of source; known: bridge:…, replay:…"),
        (":x", "'' is not a kind of source"),
        ("replay:", "write replay:VENUE:FILE"),
        ("replay:binance", "write replay:VENUE:FILE"),
        ("replay:binance:", "write replay:VENUE:FILE"),
    ],
)
def test_a_source_is_named_by_its_handler_or_by_its_kind(word: str, message: str) -> None:
    """For anything else, one line lists what there is."""
    with pytest.raises(SettingError, match=re.escape(message)):
        load_sources(load({"sources": word}))
