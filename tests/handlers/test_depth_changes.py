"""Books that are sent change by change: how handlers read them, and what reveals a loss."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import pytest

from crypto_stream.feed.books import Books
from crypto_stream.feed.handler import DepthChange, Event, Ignored, Moving, Resync, Wanted
from crypto_stream.market.instruments import pair
from crypto_stream.market.ladder import HoleError, Ladder
from handlers import bitfinex, bitget, bybit, coinbase, gemini, kraken, okx
from tests.handlers import reading

BTC = pair("BTC-USDT")


def test_okx_names_the_change_before_each() -> None:
    """The checksum 0 is none; an unchanged book is an empty change."""
    frame = (
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"%s","data":[{"asks":[["101","2","0","1"]],'
        '"bids":[["100","0","0","0"]],"ts":"1652459225464","checksum":0,"prevSeqId":%d,"seqId":%d}]}'
    )
    whole, later = (
        reading.change(okx, frame % ("snapshot", -1, 5)),
        reading.change(okx, frame % ("update", 5, 7)),
    )

    assert (whole.whole, whole.after, whole.number, whole.is_right) == (True, None, 5, None)
    assert (later.whole, later.after, later.number) == (False, 5, 7)
    assert (later.asks, later.bids, later.time) == ([("101", "2")], [("100", "0")], 1652459225464)
    with pytest.raises(reading.UNREADABLE_ERRORS):
        reading.read(okx, (frame % ("update", 5, 7)).replace('"101","2","0","1"', '"101"').encode())
    with pytest.raises(ValueError, match="neither numbers nor a checksum"):  # nothing would reveal a loss
        reading.read(okx, (frame % ("update", 5, 7)).replace('"prevSeqId":5,', "").encode())


def test_okx_checksum_of_older_frames_is_verified() -> None:
    """Signed, over a bid and an ask in turn; sides may have different lengths."""
    text = "100:1:101:2:99:3"
    checksum = zlib.crc32(text.encode())
    signed = checksum - 2**32 if checksum >= 2**31 else checksum
    frame = (
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"snapshot","data":[{'
        '"asks":[["101","2","0","1"]],"bids":[["100","1","0","1"],["99","3","0","1"]],'
        '"ts":"1652459225464","checksum":%d}]}'
    )
    ladder = Ladder()

    assert ladder.apply(reading.change(okx, frame % signed))
    with pytest.raises(HoleError, match="checksum"):
        ladder.apply(reading.change(okx, frame % (signed ^ 1)))


def test_bitget_names_the_change_before_each() -> None:
    """A whole book of 200 levels or more may not be all that there is."""
    frame = (
        '{"action":"%s","arg":{"instType":"SPOT","channel":"books","instId":"BTCUSDT"},"data":[{'
        '"asks":[["83744.78","0"],["83747.24","0.238934"]],"bids":[],"ts":"1790358811400",'
        '"seq":850169288983,"pseq":%d}],"ts":1790358811401}'
    )
    whole, later = (
        reading.change(bitget, frame % ("snapshot", 0)),
        reading.change(bitget, frame % ("update", 850169286126)),
    )

    assert (whole.whole, whole.after, whole.number, whole.limit) == (True, None, 850169288983, 200)
    assert (later.whole, later.after, later.number, later.time) == (
        False, 850169286126, 850169288983, 1790358811400,
    )  # fmt: skip
    assert (later.asks, later.bids) == ([("83744.78", "0"), ("83747.24", "0.238934")], [])
    for wrong in ('"pseq":-1', '"pseq":null', '"p":5'):  # nothing would reveal a loss
        with pytest.raises(reading.UNREADABLE_ERRORS):
            reading.read(bitget, (frame % ("update", 5)).replace('"pseq":5', wrong).encode())


BYBIT = (
    '{"topic":"orderbook.200.BTCUSDT","ts":1786310816618,"type":"%s","data":{"s":"BTCUSDT",'
    '"b":[["65140.4","0.875077"]],"a":[["65239.1","0"]],"u":%d,"seq":112488545865},"cts":1786310816585}'
)


def test_bybit_numbers_the_changes_of_a_book() -> None:
    """Each is one more than the last; the time is that of the matching engine, or of the frame."""
    whole, later = (
        reading.change(bybit, BYBIT % ("snapshot", 62505424)),
        reading.change(bybit, BYBIT % ("delta", 62505425)),
    )
    untimed = reading.change(bybit, (BYBIT % ("delta", 62505425)).replace(',"cts":1786310816585', ""))

    assert (whole.whole, whole.after, whole.number, whole.depth) == (True, None, 62505424, None)
    assert (later.whole, later.after, later.number) == (False, 62505424, 62505425)
    assert (later.bids, later.asks) == ([("65140.4", "0.875077")], [("65239.1", "0")])
    assert (later.time, untimed.time) == (1786310816585, 1786310816618)
    for wrong in ('"u":-2', '"u":"62505425"', '"U":62505425'):
        with pytest.raises(reading.UNREADABLE_ERRORS):
            reading.read(bybit, (BYBIT % ("delta", 62505425)).replace('"u":62505425', wrong).encode())


def test_bybit_may_begin_again_at_one() -> None:
    """Its service was restarted: the whole book is newer, though its number is not."""
    books = Books(1)
    books.want(["btcusdt"], 0)
    shown: list[object] = []
    for frame in (("snapshot", 62505424), ("delta", 62505425), ("snapshot", 1), ("delta", 2), ("delta", 4)):
        for event in reading.read(bybit, (BYBIT % frame).encode()):
            if isinstance(event, Resync):
                books.lose("btcusdt", event.reason, 0)
            else:
                assert isinstance(event, DepthChange)
                books.take(event, 0)
        shown.append(books.known("btcusdt") is not None)

    assert shown == [True, True, True, True, False]


def test_kraken_checksum_is_of_the_digits_as_they_were_sent() -> None:
    """Asks first, without points and leading zeros; a book of 25 levels of which 10 are certain."""
    frame = (
        '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USDT","bids":[{"price":100,"qty":5},'
        '{"price":99.5,"qty":0.100}],"asks":[{"price":101.1,"qty":2.00}],"checksum":%d,'
        '"timestamp":"2026-09-25T17:48:24.880679Z"}]}'
    )
    checksum = zlib.crc32(b"1011" + b"200" + b"100" + b"5" + b"995" + b"100")
    found = reading.change(kraken, frame % checksum)
    ladder = Ladder()

    assert (found.whole, found.depth, found.certain, found.time) == (True, 25, 10, 1790358504880)
    assert found.bids == [("100", "5"), ("99.5", "0.100")]
    assert ladder.apply(found)
    with pytest.raises(HoleError, match="checksum"):
        ladder.apply(reading.change(kraken, frame % (checksum + 1)))


WHOLE_OF_BITFINEX = "[1,[[86704,1,0.03460649],[86701,2,7.2e-7],[86719,2,-0.03483509]],%d]"


def of_bitfinex() -> Any:
    """Make a reader on a connection for books, whose channels are those of BTC/USD (1) and ETH/USD (2)."""
    reader = reading.reader(bitfinex)
    ids = {"tBTCUSD": "BTC-USD", "tETHUSD": "ETH-USD"}
    wanted = [Wanted(venue_id, pair(each), "depth") for venue_id, each in ids.items()]
    reader.subscribe(wanted)
    said = '{"event":"subscribed","channel":"book","chanId":%d,"symbol":"%s","len":"100"}'
    for number, each in enumerate(wanted, 1):
        reader.read((said % (number, each.id)).encode())
    return reader


def test_bitfinex_sends_levels_with_signed_amounts() -> None:
    """A level without orders is gone; each change is a frame; the digits are the venue's."""
    reader, btc = of_bitfinex(), pair("BTC-USD")
    frames = (WHOLE_OF_BITFINEX % 5, "[1,[86701,0,1],6]", "[1,[86719,1,-1.50],7]", '[2,"hb",8]', "[1,[],9]")
    events = [event for frame in frames for event in reader.read(frame.encode())]

    assert events == [
        DepthChange(
            btc, [("86704", "0.03460649"), ("86701", "7.2e-7")], [("86719", "0.03483509")], whole=True
        ),
        DepthChange(btc, [("86701", "0")], []),
        DepthChange(btc, [], [("86719", "1.50")]),
        Ignored("hb"),
        DepthChange(btc, [], [], whole=True),
    ]


def test_bitfinex_numbers_all_frames_of_a_connection() -> None:
    """A missing one may have changed any of its books, also if a heartbeat reveals it."""
    reader = of_bitfinex()
    reader.read((WHOLE_OF_BITFINEX % 5).encode())
    lost = [Resync(pair(each), "depth", "a frame was lost") for each in ("BTC-USD", "ETH-USD")]

    assert reader.read(b'[2,"hb",7]') == [*lost, Ignored("hb")]
    assert reader.read((WHOLE_OF_BITFINEX % 9).encode())[:2] == lost  # the whole book comes after the loss
    assert reader.read(b"[3,[86704,1,1],11]") == [*lost, Ignored("not_subscribed")]
    assert reader.read(b"[1,[86704,1,1],12]") == [DepthChange(pair("BTC-USD"), [("86704", "1")], [])]


@pytest.mark.parametrize(
    "frame",
    ["[1,[86704,1,1]]", '[1,["86704",1,1],6]', "[1,[86704,1,null],6]", "[1,[86704,-1,1],6]", "[1,[5],6]"],
)
def test_bitfinex_books_that_cannot_be_read(frame: str) -> None:
    """One without the number of its frame neither: nothing would reveal a loss."""
    reader = of_bitfinex()
    with pytest.raises(reading.UNREADABLE_ERRORS):
        reader.read(frame.encode())


GEMINI = (
    '{"e":"depthUpdate","E":1789456742362015387,"s":"btcusdt","U":%d,"u":%d,"b":[["7.487000","140.40000"]],'
    '"a":[["7.503000","0.000"]]}'
)


def test_gemini_names_the_number_before_each_change() -> None:
    """The first frame after a request is the whole book, if its two numbers are the same."""
    reader = reading.reader(gemini)
    requests = reader.subscribe([Wanted("btcusdt", BTC, "depth")])
    sent = ((3, 4), (6, 6), (6, 9), (5, 10), (12, 14))
    found = [reader.read((GEMINI % numbers).encode())[0] for numbers in sent]
    repeated = [reader.read((GEMINI % numbers).encode()) for numbers in ((12, 14), (14, 14))]
    reader.subscribe([Wanted("btcusdt", BTC, "depth")])
    again = [reader.read((GEMINI % numbers).encode())[0] for numbers in ((14, 15), (16, 16))]

    assert len(requests) == 1
    assert [each.whole for each in found] == [False, True, False, False, False]
    assert [(each.after, each.number) for each in found] == [(3, 4), (None, 6), (6, 9), (9, 10), (12, 14)]
    assert repeated == [[Ignored("depth_repeated")]] * 2
    assert (found[1].bids, found[1].asks) == ([("7.487000", "140.40000")], [("7.503000", "0.000")])
    assert found[1].time == 1789456742362
    assert [each.whole for each in again] == [False, True]  # the former was on its way when it was requested
    for wrong in ('"U":"6"', '"V":6', '"U":-1'):
        with pytest.raises(reading.UNREADABLE_ERRORS):
            reading.read(gemini, (GEMINI % (6, 9)).replace('"U":6', wrong).encode())


async def test_gemini_is_asked_for_whole_books_by_the_address() -> None:
    """Else a book would begin with a change."""
    assert (await gemini.opening(None, {})).path == "/?snapshot=-1"  # type: ignore[arg-type]


COINBASE = (
    '{"channel":"l2_data","timestamp":"2026-08-09T21:05:48.50Z","sequence_num":%d,"events":[{"type":"%s",'
    '"product_id":"%s","updates":[{"side":"bid","event_time":"2026-08-09T21:05:48Z","price_level":"10",'
    '"new_quantity":"1"},{"side":"offer","event_time":"x","price_level":"11","new_quantity":"0"}]}]}'
)


def test_coinbase_numbers_all_frames_of_a_connection() -> None:
    """A missing one may have changed any of its books."""
    reader = reading.reader(coinbase)
    sent = [(0, "snapshot", "BTC-USDT"), (1, "snapshot", "ETH-USDT"), (2, "update", "BTC-USDT")]
    events = [list(reader.read((COINBASE % frame).encode())) for frame in sent]
    lost: list[Event] = list(reader.read((COINBASE % (4, "update", "ETH-USDT")).encode()))
    resyncs = [event for event in lost if isinstance(event, Resync)]

    assert [len(each) for each in events] == [1, 1, 1]
    (whole,) = events[0]
    assert isinstance(whole, DepthChange)
    assert (whole.whole, whole.bids, whole.asks) == (True, [("10", "1")], [("11", "0")])
    assert {each.instrument.symbol for each in resyncs} == {"btcusdt", "ethusdt"}
    assert {each.topic for each in resyncs} == {"depth"}
    assert lost[:2] == resyncs  # before the change, which is of a book that is lost
    assert isinstance(lost[2], DepthChange)
    with pytest.raises(reading.UNREADABLE_ERRORS):
        reading.read(coinbase, (COINBASE % (0, "update", "BTC-USDT")).replace('"bid"', '"b"').encode())


def test_coinbase_needs_no_new_connection_for_books() -> None:
    """Not for what was lost before the first one either, which without books is told after a minute."""
    reader = reading.reader(coinbase)
    beat = '{"channel":"heartbeats","timestamp":"2026-08-09T21:%s.5Z","sequence_num":%d,"events":[]}'
    first = (beat % ("05:47", 0), beat % ("05:48", 2), COINBASE % (3, "snapshot", "BTC-USDT"))
    events: list[Event] = []
    for frame in (*first, beat % ("06:58", 4), beat % ("06:59", 6)):
        events += reader.read(frame.encode())

    assert [event for event in events if isinstance(event, Resync | Moving)] == [
        Resync(BTC, "depth", "frames were lost: number 6 followed 4")
    ]


def test_sizes_and_prices_stay_text() -> None:
    """Nothing is rounded on the way."""
    exact = "0.000000000123456789"
    frame = COINBASE % (0, "snapshot", "BTC-USDT")
    found = reading.change(coinbase, frame.replace('"new_quantity":"1"', f'"new_quantity":"{exact}"'))

    assert found.bids == [("10", exact)]
    assert Decimal(found.bids[0][1]) == Decimal(exact)
