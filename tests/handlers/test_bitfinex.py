"""Bitfinex: channels by number, books level by level, frames that are counted, currencies by other names."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    Event,
    Ignored,
    Moving,
    Pong,
    Refused,
    Reply,
    Resync,
    Rules,
    Trade,
    Update,
    VenueStatus,
)
from crypto_stream.feed.recordings import read as read_recording
from crypto_stream.market.instruments import pair
from handlers import bitfinex
from tests.fakes import FakeBitfinex
from tests.feed.assembled import assembled, source_of
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted
from tests.waiting import until

BTC = pair("BTC-USD")
TRADE = '[3,"te",[5690221202,1734237017704,-0.01925285,102560]]'
TICKER = "[2,[86697,14.34954787,86723,14.75896594,1060,0.01237494,86717,544.3267938,86898,85156,null]]"
WHOLE = "[1,[[86704,1,0.03460649],[86701,2,0.07296393],[86719,2,-0.03483509],[86720,1,-1]]]"
LOST = Resync(BTC, "top", "a frame was lost")


def subscribed(channel: str, number: int, symbol: str = "tBTCUSD") -> str:
    """Acknowledge one channel."""
    return json.dumps({"event": "subscribed", "channel": channel, "chanId": number, "symbol": symbol})


def connection() -> Any:
    """Make a reader whose connection has the channels book (1), ticker (2) and trades (3) of BTC/USD."""
    made = reading.reader(bitfinex)
    for number, channel in enumerate(("book", "ticker", "trades"), 1):
        made.read(subscribed(channel, number).encode())
    return made


def read(text: str, made: Any = None) -> list[Event]:
    """Read one frame, on a connection of its own if none is given."""
    events: list[Event] = (made or connection()).read(text.encode())
    return events


def top(made: Any, text: str) -> tuple[Any, ...]:
    """Read one frame of a book; return bid and ask with their sizes."""
    (event,) = read(text, made)
    assert isinstance(event, Update)
    return event.bid, event.bid_size, event.ask, event.ask_size


def recorded(name: str) -> Path:
    """Find a recording; without the folder of recordings there is nothing to test."""
    folder = os.environ.get("CRYPTO_STREAM_RECORDINGS")
    if not folder:
        pytest.skip("CRYPTO_STREAM_RECORDINGS names no folder of recordings")
    return Path(folder) / name


class Answering(FakeBitfinex):
    """Answers every REST request with `bodies`, by the first letters of its path."""

    bodies: dict[str, object]

    def rest(self, path: str, query: dict[str, str]) -> object:
        return next(body for start, body in self.bodies.items() if path.startswith(start))


async def asked(bodies: dict[str, object], what: str, *given: str) -> Any:
    """Let the handler ask a server that answers `bodies`."""
    async with Answering([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        venue.bodies = bodies
        try:
            return await getattr(bitfinex, what)(http, *given)
        except MalformedFrame as error:
            malformed = error
    raise malformed


def test_a_trade_is_read_once_and_keeps_its_digits() -> None:
    """A negative amount says that the taker sold; `tu` repeats the trade."""
    (trade,) = read(TRADE)

    assert trade == Trade(BTC, "trades", 5690221202, 1734237017704, "102560", "0.01925285")
    assert read(TRADE.replace("te", "tu")) == [Ignored("tu")]


def test_a_channel_of_trades_begins_with_past_ones_newest_first() -> None:
    """Those between two connections are among them; a quiet market has none."""
    past = "[3,[[669899159,1618665870435,166.391496,0.076989],[669899158,1618665869017,-20,0.076979]],7]"

    assert read(past) == [
        Trade(BTC, "trades", 669899158, 1618665869017, "0.076979", "20"),
        Trade(BTC, "trades", 669899159, 1618665870435, "0.076989", "166.391496"),
    ]
    assert read("[3,[]]") == [Ignored("no_trades")]


def test_the_day_has_no_open_but_a_change() -> None:
    """The array may grow; bid and ask are left out, since their sizes are those of 25 levels."""
    day = Update(
        BTC,
        "ticker",
        ARRIVAL,
        price="86717",
        open_24h="85657",
        high_24h="86898",
        low_24h="85156",
        volume_24h="544.3267938",
        slow=True,
    )

    assert read(TICKER) == [day]
    assert read(TICKER.replace("null", 'null,"x",[1]')) == [day]


def test_the_top_of_a_book_follows_its_levels() -> None:
    """A count of 0 removes a level; negative amounts are asks; the smallest numbers have an exponent."""
    made = connection()

    assert top(made, WHOLE) == ("86704", "0.03460649", "86719", "0.03483509")
    assert top(made, "[1,[86705,1,2e-8]]") == ("86705", "2e-8", "86719", "0.03483509")
    assert top(made, "[1,[86705,0,1]]") == ("86704", "0.03460649", "86719", "0.03483509")
    assert top(made, "[1,[86704,0,1]]") == ("86701", "0.07296393", "86719", "0.03483509")
    assert top(made, "[1,[86719,0,-1]]")[2:] == ("86720", "1")
    assert top(made, "[1,[86720,0,-1]]")[2:] == (None, None)
    assert top(made, "[1,[86720.0,1,-3]]")[2:] == ("86720.0", "3")
    assert top(made, "[1,[86720,2,-4]]")[2:] == ("86720", "4")
    assert top(made, "[1,[]]") == (None, None, None, None)


def test_a_missing_frame_makes_books_unknown_until_they_are_sent_again() -> None:
    """Each book is requested once, at the next frame of its channel, a heartbeat too."""
    made = connection()
    read(WHOLE.replace("]]]", "]],7]"), made)

    assert read('[2,"hb",8]', made) == [Ignored("hb")]
    assert read("[1,[86705,1,1],9]", made)[0].channel == "book"
    assert read('[2,"hb",11]', made) == [Ignored("hb")]
    assert read('[1,"hb",12]', made) == [LOST]
    assert read("[1,[86705,1,1],13]", made) == [Ignored("book_unknown")]
    read(subscribed("book", 9), made)
    assert read("[1,[86705,1,1],14]", made) == [Ignored("not_subscribed")]
    assert top(made, WHOLE.replace("[1,", "[9,").replace("]]]", "]],15]"))[0] == "86704"


def test_many_missing_frames_request_a_book_once() -> None:
    """Until it is there: a venue that loses frames for long would get more requests than can be sent."""
    made = connection()
    read(WHOLE.replace("]]]", "]],1]"), made)
    events = [read(f"[1,[86705,1,1],{2 * number}]", made)[0] for number in range(2, 30)]
    read(subscribed("book", 9), made)
    lost = read("[9,[86705,1,1],90]", made)  # so is the whole book

    assert [event for event in events if event != Ignored("book_unknown")] == [LOST]
    assert lost == [LOST]


def test_a_change_that_cannot_be_read_is_a_loss_too() -> None:
    """Only that book is unknown; the frame counts, so the others go on."""
    made = connection()
    read(subscribed("book", 4, "tETHUSD"), made)
    read(WHOLE.replace("]]]", "]],1]"), made)
    read(WHOLE.replace("[1,", "[4,").replace("]]]", "]],2]"), made)
    with pytest.raises(UNREADABLE_ERRORS):
        read('[1,["x",1,1],3]', made)

    assert read("[4,[86705,1,1],4]", made)[0].channel == "book"
    assert read("[1,[86705,1,1],5]", made) == [LOST]


def test_a_book_that_comes_without_its_beginning_is_requested() -> None:
    """A change before the whole book says that the whole one was lost."""
    assert read("[1,[86705,1,1]]") == [LOST]


def test_a_refused_repetition_requests_the_book_once_more() -> None:
    """`dup` acknowledges a subscription, but the venue will not send that book again by itself."""
    made = connection()
    dup = (
        '{"channel":"book","symbol":"tBTCUSD","event":"error","msg":"subscribe: dup","code":10301,"chanId":1}'
    )
    first, waiting = read("[1,[86705,1,1]]", made), read("[1,[86705,1,1]]", made)

    assert (first, waiting) == ([LOST], [Ignored("book_unknown")])
    assert read(dup, made) == [Acked("book tBTCUSD")]
    assert read("[1,[86705,1,1]]", made) == [LOST]


def test_numbers_are_those_of_one_connection() -> None:
    """They mean nothing on another one, nor after the end of their subscription."""
    made = connection()
    end = '{"event":"unsubscribed","status":"OK","chanId":3}'

    assert read(TRADE, reading.reader(bitfinex)) == [Ignored("not_subscribed")]
    assert read(end, made) == [Ignored("unsubscribed")]
    assert read(end, made) == [Ignored("unsubscribed")]
    assert read(TRADE, made) == [Ignored("not_subscribed")]
    read(subscribed("ticker", 3, "tETHUSD"), made)
    assert read(TICKER.replace("[2,", "[3,"), made)[0].symbol == "ethusd"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (subscribed("ticker", 5), [Acked("ticker tBTCUSD")]),
        (subscribed("status", 5), [Ignored("not_subscribed")]),
        (subscribed("book", 5, "tBTCF0:USTF0"), [Ignored("not_subscribed")]),
        ('{"event":"conf","status":"OK","flags":65536}', [Ignored("conf")]),
        ('{"event":"pong","ts":1511545528111,"cid":1}', [Pong()]),
        ('{"event":"novelty"}', [Ignored("novelty")]),
        ('[1,"cs",1330055495]', [Ignored("cs")]),
        ('[2,"hb"]', [Ignored("hb")]),
        (
            '{"channel":"book","symbol":"tFOOBAR","event":"error","msg":"symbol: invalid","code":10300}',
            [Refused("book tFOOBAR", "symbol: invalid", pair("FOO-BAR"))],
        ),
        (
            '{"channel":"book","symbol":"tBTCUSD","event":"error","msg":"subscribe: limit","code":10305}',
            [Refused("book tBTCUSD", "subscribe: limit", BTC)],
        ),
        ('{"event":"error","msg":"unknown event","code":10000}', [Refused("", "unknown event")]),
        (
            '{"event":"error","msg":"unsubscribe: invalid","code":10400,"chanId":7}',
            [Ignored("error:10400")],
        ),
        ('{"event":"info","version":2,"platform":{"status":1}}', [VenueStatus("")]),
        ('{"event":"info","version":2,"platform":{"status":0}}', [VenueStatus("maintenance")]),
        ('{"event":"info","code":20051,"msg":"x"}', [Moving("Bitfinex restarts the server")]),
        ('{"event":"info","code":20060,"msg":"x"}', [VenueStatus("maintenance")]),
        (
            '{"event":"info","code":20061,"msg":"x"}',
            [VenueStatus(""), Moving("Bitfinex ended its maintenance")],
        ),
        ('{"event":"info","code":1}', [Ignored("info")]),
    ],
)
def test_responses_and_notices(text: str, expected: list[Event]) -> None:
    """They name channel and symbol, or are about the whole venue."""
    assert read(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        TRADE.replace("102560", '"102560"'),
        TRADE.replace("102560", "null"),
        TRADE.replace("5690221202", "-1"),
        TRADE.replace("1734237017704", '"now"'),
        '[3,"te"]',
        TICKER.replace("86717", '"x"'),
        TICKER.replace(",86898,85156,null", ""),
        WHOLE.replace("86704,1", '"86704",1'),
        WHOLE.replace("86704,1", "86704,-1"),
        WHOLE.replace("0.03460649", "null"),
        "[1]",
        '["x",[]]',
        '[2,"hb","next"]',
    ],
)
def test_wrong_values_are_malformed(text: str) -> None:
    """Numbers are JSON numbers, never text."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(text)


def test_a_book_has_a_bound() -> None:
    """A venue that never removed a level would fill our memory."""
    levels = [[number, 1, 1] for number in range(1, 1_100)]
    with pytest.raises(ValueError, match="1000 levels"):
        read(json.dumps([1, levels]))


def test_each_channel_is_a_request_of_its_own_and_is_ended_by_its_number() -> None:
    """Prices are requested first; what has no number has not begun."""
    made = connection()
    requests = made.subscribe(wanted(bitfinex, "BTC-USD", "AVAX-USDT"))
    end = made.unsubscribe(wanted(bitfinex, "BTC-USD", "AVAX-USDT"))

    assert json.loads(requests[0].text) == {
        "event": "subscribe", "channel": "book", "symbol": "tBTCUSD", "prec": "P0", "freq": "F0", "len": "25",
    }  # fmt: skip
    assert [request.keys[0] for request in requests] == [
        "book tBTCUSD", "book tAVAX:UST", "trades tBTCUSD", "trades tAVAX:UST", "ticker tBTCUSD",
        "ticker tAVAX:UST",
    ]  # fmt: skip
    assert [json.loads(request.text) for request in end] == [
        {"event": "unsubscribe", "chanId": number} for number in (1, 3, 2)
    ]
    assert not any(request.keys for request in end)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("BTC-USDT", "tBTCUST"), ("AVAX-USD", "tAVAX:USD"), ("USDC-USDT", "tUDCUST"), ("IOTA-ETH", "tIOTETH"),
        ("DASH-USD", "tDSHUSD"), ("DOGE-USDT", "tDOGE:UST"), ("BTC-UST", None), ("DOG-USD", None),
    ],
)  # fmt: skip
def test_currencies_have_other_names(ours: str, theirs: str | None) -> None:
    """What the venue calls UST is USDT; another UST can only be in its list, by another name."""
    assert bitfinex.venue_id(pair(ours)) == theirs
    if theirs is not None:
        assert bitfinex.pair_of(theirs) == tuple(ours.split("-"))


@pytest.mark.parametrize(
    "theirs", ["fUSD", "tBTCF0:USTF0", "tTESTBTC:TESTUSD", "tAAABBB", "tBTC", "", "t:USD"]
)
def test_what_is_no_spot_pair_has_none(theirs: str) -> None:
    """Loans, derivatives and test pairs are on the same socket."""
    assert bitfinex.pair_of(theirs) is None


def test_what_is_removed_before_its_number_is_known_is_cancelled_then() -> None:
    """It would take one of the connection's few channels for ever; wanted again meanwhile, it stays."""
    made, both = connection(), wanted(bitfinex, "ETH-USD")
    end = [Reply('{"event":"unsubscribe","chanId":7}')]

    assert made.unsubscribe(both) == []
    assert read(subscribed("trades", 7, "tETHUSD"), made) == end
    assert read(TRADE.replace("[3,", "[7,"), made) == [Ignored("not_subscribed")]
    made.subscribe(both)
    assert read(subscribed("trades", 8, "tETHUSD"), made) == [Acked("trades tETHUSD")]
    made.unsubscribe(both)
    made.subscribe(both)
    assert read(subscribed("ticker", 9, "tETHUSD"), made) == [Acked("ticker tETHUSD")]


async def test_trades_between_two_connections_are_not_lost() -> None:
    """The next connection begins with them; those that were known already count once."""
    async with (
        FakeBitfinex(["BTC-USD"], rate=0) as fake,
        assembled(source_of(fake), pairs="BTC-USD", stale_after=60) as feed,
    ):
        await until(lambda: fake.clients and sum('"trades"' in text for text in fake.requests) == 1)
        await fake.push("btcusd", price="10.031")
        await until(lambda: _prices(feed) == ["10.031"])
        await fake.unlisten()
        fake.cut_all()
        await until(lambda: not fake.clients)
        await fake.push("btcusd", price="10.032")
        await fake.push("btcusd", price="10.033")
        await fake.listen()
        await until(lambda: len(_prices(feed)) >= 3)

        assert _prices(feed) == ["10.031", "10.032", "10.033"]


def _prices(feed: Any) -> list[str]:
    """Return the prices of all trades that were taken."""
    return [event.price for _, event in feed.events if isinstance(event, Trade)]


async def test_a_lost_frame_renews_the_book() -> None:
    """It is ended and requested again, alone; then its top is the venue's."""
    async with (
        FakeBitfinex(["BTC-USD", "ETH-USD"]) as fake,
        assembled(source_of(fake), pairs="BTC-USD,ETH-USD", stale_after=60) as feed,
    ):
        await until(lambda: feed.received("bitfinex", "btcusd") and feed.received("bitfinex", "ethusd"))
        fake.lose_frame()
        await until(lambda: sum('"unsubscribe"' in text for text in fake.requests) == 2)
        for symbol in ("btcusd", "ethusd"):
            fake.calm(symbol)
        await until(lambda: sum('"book"' in text for text in fake.requests) == 4)
        await until(lambda: all(_is_right(feed, fake, symbol) for symbol in ("btcusd", "ethusd")))

        assert sum('"ticker"' in text for text in fake.requests) == 2
        assert len(fake.connects) == 1
        assert fake.violations == []


def _is_right(feed: Any, fake: FakeBitfinex, symbol: str) -> bool:
    entry, walk = feed.composition.book.entry("bitfinex", symbol), fake.walks[symbol]
    if entry.bid is None or entry.ask is None:
        return False
    return (Decimal(entry.bid), Decimal(entry.ask)) == (walk.bid, walk.ask)


@pytest.mark.parametrize(
    "fault",
    ["garbage", "wrong-types", "unknown-events", "extra-fields", "duplicates", "out-of-order", "silent:top"],
)
async def test_a_book_is_right_again_after_a_fault(fault: str) -> None:
    """Whatever was mixed into its frames, or kept back."""
    async with (
        FakeBitfinex(["BTC-USD"]) as fake,
        assembled(source_of(fake), pairs="BTC-USD", stale_after=60) as feed,
    ):
        await until(lambda: feed.received("bitfinex", "btcusd"))
        begun = fake.walks["btcusd"].update_id
        await fake.fault(fault)
        await until(lambda: fake.walks["btcusd"].update_id > begun + 20)
        await fake.fault("none")
        await until(lambda: fake.walks["btcusd"].update_id > begun + 40)
        fake.calm("btcusd")
        await until(lambda: _is_right(feed, fake, "btcusd"))

        assert len(fake.connects) == 1
        assert fake.violations == []


async def test_a_maintenance_halts_everything_and_ends_with_a_new_connection() -> None:
    """The venue wants all subscriptions to be renewed then."""
    async with (
        FakeBitfinex(["BTC-USD"]) as fake,
        assembled(source_of(fake), pairs="BTC-USD") as feed,
    ):
        line = feed.composition.loop.sources["bitfinex"]
        await until(lambda: feed.serving("btcusd") == "bitfinex" and line.listing.rules)
        fake.announce_maintenance(ended=False)
        await until(lambda: line.halted == {"btcusd": "maintenance"})
        fake.announce_maintenance(ended=True)
        await until(lambda: len(fake.connects) == 2 and len(fake.clients) == 1)

        assert line.halted == {}
        assert fake.violations == []


async def test_more_pairs_than_a_connection_takes_use_several() -> None:
    """Each has numbers of its own for its channels."""
    pairs = [f"A{number}B-USD" for number in range(8)]
    async with (
        FakeBitfinex(pairs, rate=2) as fake,
        assembled(source_of(fake), pairs=",".join(pairs)) as feed,
    ):
        await until(lambda: all(feed.received("bitfinex", pair(each).symbol) for each in pairs))

        assert len(fake.connects) == 2
        assert fake.violations == []


async def test_the_list_has_names_and_sizes() -> None:
    """Its names win; pairs of tests are left out; sizes that cannot be read bind nobody."""
    info = [
        ["BTCUSD", [None, None, None, "0.00004", "2000.0", None, None, None, 0.2, 0.1]],
        ["BTCUST", [None, None, None, 5, "2000.0"]],
    ]
    names = [["UST", "USDt"], ["NEW", "NEWCOIN"], ["ODD"]]
    pairs = ["AAABBB", "BTCUSD", "BTCUST", "NEWUST", "TESTBTC:TESTUSD", "ODD"]
    bodies: dict[str, object] = {"/v2/conf/": [pairs, names, info], "/v2/platform/status": [1]}
    listed = await asked(bodies, "instruments")

    assert [(each.id, each.base, each.quote, each.state) for each in listed] == [
        ("tBTCUSD", "BTC", "USD", ""),
        ("tBTCUST", "BTC", "USDT", ""),
        ("tNEWUST", "NEWCOIN", "USDT", ""),
    ]
    assert listed[0].rules == Rules(min_amount="0.00004", max_amount="2000.0")
    assert listed[1].rules == Rules()


async def test_the_whole_venue_may_be_in_maintenance() -> None:
    """Its platform says so, its list does not."""
    bodies: dict[str, object] = {"/v2/conf/": [["BTCUSD"], [], []], "/v2/platform/status": [0]}
    (one,) = await asked(bodies, "instruments")

    assert one.state == "maintenance"
    with pytest.raises(MalformedFrame, match="bitfinex conf"):
        await asked({**bodies, "/v2/platform/status": []}, "instruments")


async def test_bars_come_newest_first_and_close_before_high() -> None:
    """An error has the shape of a list, too."""
    rows = [[1678465380000, 20094, 20090, 20095, 20089, 1e-7], [1678465320000, 20097, 20094, 20098, 20093, 2]]
    first, second = await asked({"/v2/candles/trade:1m:tBTCUSD/hist": rows}, "candles", "tBTCUSD", "1m")

    assert (first.time, first.open, first.high, first.low, first.close, first.volume) == (
        1678465320000, "20097", "20098", "20093", "20094", "2",
    )  # fmt: skip
    assert (second.close, second.volume, second.source) == ("20090", "1e-07", "bitfinex:candles")
    with pytest.raises(MalformedFrame, match="bitfinex candles"):
        await asked({"/v2/candles": ["error", 10020, "symbol: invalid"]}, "candles", "tFOOBAR", "1m")


async def test_recorded_pairs_are_listed() -> None:
    """All that were listed in 2021 but the tests, none twice."""
    (pairs,) = json.loads(gzip.decompress(recorded("rest/bitfinex-conf-pairs-20210417.json.gz").read_bytes()))
    bodies: dict[str, object] = {"/v2/conf/": [pairs, [], []], "/v2/platform/status": [1]}
    listed = await asked(bodies, "instruments")

    assert len(listed) == len(pairs) - 3
    assert len({(each.base, each.quote) for each in listed}) == len(listed)
    assert all(bitfinex.pair_of(each.id) == (each.base, each.quote) for each in listed)


def test_recorded_books_end_with_the_tops_of_their_levels() -> None:
    """No frame is malformed, missing or without its channel; the levels are kept here by other means."""
    reader, counts = reading.reader(bitfinex), Counter[str]()
    tops: dict[str, Update] = {}
    books = _RecordedBooks()
    for line in read_recording(recorded("bitfinex/spot-20210417.ndjson")):
        if line.frame is not None:
            books.read(json.loads(line.frame))
            for event in reader.read(line.frame):
                counts[event.channel] += 1
                if isinstance(event, Update) and event.channel == "book":
                    tops[event.symbol] = event

    assert counts.keys() == {
        "ack", "book", "conf", "hb", "not_subscribed", "ticker", "trades", "venue status",
    }  # fmt: skip
    assert (counts["ack"], counts["trades"]) == (18, 6 * 30)
    assert {symbol: (float(str(each.bid)), float(str(each.ask))) for symbol, each in tops.items()} == {
        "".join(split).lower(): top
        for symbol, top in books.tops().items()
        if (split := bitfinex.pair_of(symbol))
    }


class _RecordedBooks:
    """Books kept as lists of levels, by the venue's ids."""

    def __init__(self) -> None:
        self._symbols: dict[int, str] = {}
        self._levels: dict[int, list[tuple[float, float]]] = {}

    def read(self, message: Any) -> None:
        """Apply one frame, if it is of a book."""
        if isinstance(message, dict):
            if message.get("channel") == "book":
                self._symbols[message["chanId"]] = message["symbol"]
        elif message[0] in self._symbols and isinstance(message[1], list):
            rows = message[1] if isinstance(message[1][0], list) else [message[1]]
            for price, orders, amount in rows:
                levels = self._levels.setdefault(message[0], [])
                levels[:] = [each for each in levels if each[0] != price or each[1] * amount < 0]
                if orders:
                    levels.append((price, amount))

    def tops(self) -> dict[str, tuple[float, float]]:
        """Return best bid and ask of each book."""
        return {
            self._symbols[channel]: (
                max(price for price, amount in levels if amount > 0),
                min(price for price, amount in levels if amount < 0),
            )
            for channel, levels in self._levels.items()
        }
