"""Books as handlers read them: what they request, their frames, what reveals a loss."""

from __future__ import annotations

import zlib
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from crypto_stream.feed.handler import DepthChange, Event, Ignored, Moving, Resync, Wanted
from crypto_stream.market.instruments import pair
from crypto_stream.market.ladder import HoleError, Ladder
from handlers import (
    binance,
    bitget,
    bitstamp,
    coinbase,
    cryptocom,
    gate,
    htx,
    kraken,
    kucoin,
    okx,
    upbit,
)
from tests.handlers import reading

BTC = pair("BTC-USDT")
REQUESTS = {
    bitget: '{"op":"subscribe","args":[{"instType":"SPOT","channel":"books15","instId":"BTCUSDT"}]}',
    bitstamp: '{"event":"bts:subscribe","data":{"channel":"order_book_btcusdt"}}',
    cryptocom: '{"id":1,"method":"subscribe","params":{"channels":["book.BTC_USDT.50"]}}',
    gate: '{"time":',
    htx: '{"sub":"market.btcusdt.mbp.refresh.20","id":"market.btcusdt.mbp.refresh.20"}',
    kucoin: (
        '{"id":"1","action":"SUBSCRIBE","channel":"obu","tradeType":"SPOT","symbol":"BTC-USDT",'
        '"depth":"50","rpiFilter":0}'
    ),
    upbit: '[{"ticket":"1"},{"type":"orderbook","codes":["USDT-BTC.30"]},{"format":"DEFAULT"}]',
    binance: '{"method":"SUBSCRIBE","params":["btcusdt@depth20@100ms"],"id":',
    coinbase: '{"type":"subscribe","product_ids":["BTC-USDT"],"channel":"level2"}',
    kraken: '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USDT"],"depth":25},"req_id":1}',
    okx: '{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}',
}


def change(handler: Any, text: str) -> DepthChange:
    """Read a frame that is one book."""
    (event,) = reading.read(handler, text.encode())
    assert isinstance(event, DepthChange)
    return event


@pytest.mark.parametrize("handler", REQUESTS, ids=lambda handler: handler.__name__)
def test_a_book_is_requested_and_cancelled_by_itself(handler: Any) -> None:
    """With nothing else; the handler says that it gives books."""
    wanted = [Wanted(handler.venue_id(BTC), BTC, "depth")]
    reader = reading.reader(handler)
    (request,) = reader.subscribe(wanted)
    cancelled = reader.unsubscribe(wanted)

    assert handler.DEPTH
    assert request.text.startswith(REQUESTS[handler])
    assert request.wanted == tuple(wanted)
    assert request.keys
    # A request of Upbit replaces the one before: what is wanted no more is left out of the next.
    assert [each.keys for each in cancelled] == ([] if handler is upbit else [()])


_SIDES = '"bids":[["84005.6","0.035056"],["84002.4","0.012887"]],"asks":[["84005.70","0.115252"]]'
_LEVELS = ([("84005.6", "0.035056"), ("84002.4", "0.012887")], [("84005.70", "0.115252")])
WHOLE: dict[Any, tuple[str, dict[str, Any]]] = {
    bitget: (
        '{"action":"snapshot","arg":{"instType":"SPOT","channel":"books15","instId":"BTCUSDT"},"data":[{'
        f'{_SIDES},"ts":"1790358773905","seq":850167842345,"pseq":0}}],"ts":1790358773907}}',
        {"number": 850167842345, "time": 1790358773905, "certain": 15},
    ),
    bitstamp: (
        f'{{"data":{{"timestamp":"1789457617","microtimestamp":"1789457617906487",{_SIDES}}},'
        '"channel":"order_book_btcusdt","event":"data"}',
        {"number": 1789457617906487, "time": 1789457617906},
    ),
    cryptocom: (
        '{"id":-1,"method":"subscribe","code":0,"result":{"instrument_name":"BTC_USDT",'
        '"subscription":"book.BTC_USDT.50","channel":"book","depth":50,"data":[{'
        + _SIDES.replace('"]', '","2"]')
        + ',"t":1790114273395,"tt":1790114273346,"u":375554806244928,"cs":-1183713967}]}}',
        {"number": 375554806244928, "time": 1790114273395},
    ),
    gate: (
        '{"time":1790360084,"time_ms":1790360084771,"channel":"spot.order_book","event":"update","result":{'
        f'"t":1790360084770,"lastUpdateId":40013700725,"s":"BTC_USDT","l":"20",{_SIDES}}}}}',
        {"number": 40013700725, "time": 1790360084770},
    ),
    htx: (
        '{"ch":"market.btcusdt.mbp.refresh.20","ts":1639744309814,"tick":{"seqNum":144516551156,'
        '"bids":[[84005.6,3.5056E-2],[84002.4,0.012887]],"asks":[[84005.70,0.115252]]}}',
        {"number": 144516551156, "time": 1639744309814},
    ),
    kucoin: (
        '{"T":"obu.SPOT","dp":"50","t":"snapshot","P":"1774624848680504909","d":{"C":20452522782,'
        '"M":"1774624848673000000","O":20452522782,"s":"BTC-USDT",'
        + _SIDES.replace("bids", "b").replace("asks", "a")
        + "}}",
        {"number": 20452522782, "time": 1774624848673},
    ),
    upbit: (
        '{"type":"orderbook","code":"USDT-BTC","timestamp":1790134742106,"orderbook_units":['
        '{"ask_price":84005.70,"bid_price":84005.6,"ask_size":0.115252,"bid_size":3.5056E-2},'
        '{"ask_price":0,"bid_price":84002.4,"ask_size":0,"bid_size":0.012887}],"level":0}',
        {"number": 1790134742106, "time": 1790134742106},
    ),
}


def _laddered(reader: Any, frame: str) -> Ladder:
    """Return a ladder of what a frame says; levels are judged only there."""
    ladder = Ladder()
    for event in reader.read(frame.encode()):
        ladder.apply(event)
    return ladder


@pytest.mark.parametrize("handler", WHOLE, ids=lambda handler: handler.__name__)
def test_the_first_levels_are_sent_whole(handler: Any) -> None:
    """With a number that reveals an older one; prices and sizes are the venue's text."""
    frame, about = WHOLE[handler]
    reader = reading.reader(handler)
    reader.subscribe([Wanted(handler.venue_id(BTC), BTC, "depth")])
    (found,) = reader.read(frame.encode())
    bids, asks = ([tuple(level) for level in side] for side in (found.bids, found.asks))

    assert isinstance(found, DepthChange)
    assert [(price, Decimal(size)) for price, size in bids] == [
        (price, Decimal(size)) for price, size in _LEVELS[0]
    ]
    assert asks == _LEVELS[1]
    assert replace(found, bids=[], asks=[]) == DepthChange(BTC, [], [], whole=True, **about)
    for wrong in (frame.replace("84002.4", "-"), frame.replace("0.012887", "null")):
        with pytest.raises(reading.UNREADABLE_ERRORS):
            _laddered(reader, wrong)


def test_binance_sends_the_first_levels_whole() -> None:
    """Only the stream names the symbol, which may have any letters."""
    frame = '{"stream":"%s@depth20@100ms","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}}'

    assert change(binance, frame % "btcusdt") == DepthChange(
        BTC, [("0.0024", "10")], [], whole=True, number=160
    )
    assert reading.read(binance, (frame % "perpetual").encode()) == [Ignored("not_subscribed")]
    with pytest.raises(reading.UNREADABLE_ERRORS):
        reading.read(binance, frame.replace('["0.0024","10"]', '["0.0024"]').encode())


def test_okx_names_the_change_before_each() -> None:
    """The checksum 0 is none; an unchanged book is an empty change."""
    frame = (
        '{"arg":{"channel":"books","instId":"BTC-USDT"},"action":"%s","data":[{"asks":[["101","2","0","1"]],'
        '"bids":[["100","0","0","0"]],"ts":"1652459225464","checksum":0,"prevSeqId":%d,"seqId":%d}]}'
    )
    whole, later = change(okx, frame % ("snapshot", -1, 5)), change(okx, frame % ("update", 5, 7))

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

    assert ladder.apply(change(okx, frame % signed))
    with pytest.raises(HoleError, match="checksum"):
        ladder.apply(change(okx, frame % (signed ^ 1)))


def test_kraken_checksum_is_of_the_digits_as_they_were_sent() -> None:
    """Asks first, without points and leading zeros; a book of 25 levels of which 10 are certain."""
    frame = (
        '{"channel":"book","type":"snapshot","data":[{"symbol":"BTC/USDT","bids":[{"price":100,"qty":5},'
        '{"price":99.5,"qty":0.100}],"asks":[{"price":101.1,"qty":2.00}],"checksum":%d,'
        '"timestamp":"2026-09-25T17:48:24.880679Z"}]}'
    )
    checksum = zlib.crc32(b"1011" + b"200" + b"100" + b"5" + b"995" + b"100")
    found = change(kraken, frame % checksum)
    ladder = Ladder()

    assert (found.whole, found.depth, found.certain, found.time) == (True, 25, 10, 1790358504880)
    assert found.bids == [("100", "5"), ("99.5", "0.100")]
    assert ladder.apply(found)
    with pytest.raises(HoleError, match="checksum"):
        ladder.apply(change(kraken, frame % (checksum + 1)))


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
    found = change(coinbase, frame.replace('"new_quantity":"1"', f'"new_quantity":"{exact}"'))

    assert found.bids == [("10", exact)]
    assert Decimal(found.bids[0][1]) == Decimal(exact)
