"""Books as handlers read them: what they request, and the levels that are sent whole."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import replace

from crypto_stream.feed.handler import DepthChange, Ignored, Wanted
from crypto_stream.market.instruments import pair
from crypto_stream.market.ladder import Ladder
from handlers import (
    binance,
    bitfinex,
    bitget,
    bitstamp,
    bybit,
    coinbase,
    cryptocom,
    gate,
    gemini,
    htx,
    kraken,
    kucoin,
    mexc,
    okx,
    upbit,
)
from tests.fakes import FAKES
from tests.handlers import reading

BTC = pair("BTC-USDT")
REQUESTS = {
    bitget: '{"op":"subscribe","args":[{"instType":"SPOT","channel":"books","instId":"BTCUSDT"}]}',
    bitfinex: '{"event":"subscribe","channel":"book","symbol":"tBTCUST","prec":"P0","freq":"F0","len":"100"}',
    bitstamp: '{"event":"bts:subscribe","data":{"channel":"order_book_btcusdt"}}',
    cryptocom: '{"id":1,"method":"subscribe","params":{"channels":["book.BTC_USDT.50"]}}',
    gate: '{"time":',
    gemini: '{"id":1,"method":"subscribe","params":["btcusdt@depth@100ms"]}',
    htx: '{"sub":"market.btcusdt.mbp.refresh.20","id":"market.btcusdt.mbp.refresh.20"}',
    kucoin: (
        '{"id":"1","action":"SUBSCRIBE","channel":"obu","tradeType":"SPOT","symbol":"BTC-USDT",'
        '"depth":"50","rpiFilter":0}'
    ),
    mexc: '{"method":"SUBSCRIPTION","params":["spot@public.limit.depth.v3.api.pb@BTCUSDT@20"]}',
    upbit: '[{"ticket":"1"},{"type":"orderbook","codes":["USDT-BTC.30"]},{"format":"DEFAULT"}]',
    binance: '{"method":"SUBSCRIBE","params":["btcusdt@depth20@100ms"],"id":',
    bybit: '{"req_id":"1","op":"subscribe","args":["orderbook.200.BTCUSDT"]}',
    coinbase: '{"type":"subscribe","product_ids":["BTC-USDT"],"channel":"level2"}',
    kraken: '{"method":"subscribe","params":{"channel":"book","symbol":["BTC/USDT"],"depth":25},"req_id":1}',
    okx: '{"op":"subscribe","args":[{"channel":"books","instId":"BTC-USDT"}]}',
}


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
    # A request of Upbit replaces the one before: what is wanted no more is left out of the next. A channel of
    # Bitfinex is cancelled by its number, once that is known.
    assert [each.keys for each in cancelled] == ([] if handler in {bitfinex, upbit} else [()])


_SIDES = '"bids":[["84005.6","0.035056"],["84002.4","0.012887"]],"asks":[["84005.70","0.115252"]]'
_LEVELS = ([("84005.6", "0.035056"), ("84002.4", "0.012887")], [("84005.70", "0.115252")])
WHOLE: dict[Any, tuple[str, dict[str, Any]]] = {
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
    mexc: (
        '{"channel":"spot@public.limit.depth.v3.api.pb@BTCUSDT@20","symbol":"BTCUSDT","sendTime":1790281247251,'
        '"data":{"asks":[{"price":"84005.70","quantity":"0.115252"}],"bids":[{"price":"84005.6",'
        '"quantity":"0.035056"},{"price":"84002.4","quantity":"0.012887"}],"version":"82164155643"}}',
        {"number": 82164155643, "time": 1790281247251},
    ),
    upbit: (
        '{"type":"orderbook","code":"USDT-BTC","timestamp":1790134742106,"orderbook_units":['
        '{"ask_price":84005.70,"bid_price":84005.6,"ask_size":0.115252,"bid_size":3.5056E-2},'
        '{"ask_price":0,"bid_price":84002.4,"ask_size":0,"bid_size":0.012887}],"level":0}',
        {"number": 1790134742106, "time": 1790134742106},
    ),
}


def _laddered(reader: Any, frame: bytes) -> Ladder:
    """Return a ladder of what a frame says; levels are judged only there."""
    ladder = Ladder()
    for event in reader.read(frame):
        ladder.apply(event)
    return ladder


def _sent(handler: Any, frame: str) -> bytes:
    """Return a frame as the venue sends it, which for MEXC is binary."""
    sent = FAKES["mexc"](()).encode(frame) if handler is mexc else frame
    return sent.encode() if isinstance(sent, str) else sent


@pytest.mark.parametrize("handler", WHOLE, ids=lambda handler: handler.__name__)
def test_the_first_levels_are_sent_whole(handler: Any) -> None:
    """With a number that reveals an older one; prices and sizes are the venue's text."""
    frame, about = WHOLE[handler]
    reader = reading.reader(handler)
    reader.subscribe([Wanted(handler.venue_id(BTC), BTC, "depth")])
    (found,) = reader.read(_sent(handler, frame))
    bids, asks = ([tuple(level) for level in side] for side in (found.bids, found.asks))

    assert isinstance(found, DepthChange)
    assert [(price, Decimal(size)) for price, size in bids] == [
        (price, Decimal(size)) for price, size in _LEVELS[0]
    ]
    assert asks == _LEVELS[1]
    assert replace(found, bids=[], asks=[]) == DepthChange(BTC, [], [], whole=True, **about)
    for wrong in (frame.replace("84002.4", "-"), frame.replace("0.012887", "null")):
        with pytest.raises(reading.UNREADABLE_ERRORS):
            _laddered(reader, _sent(handler, wrong))


def test_binance_sends_the_first_levels_whole() -> None:
    """Only the stream names the symbol, which may have any letters."""
    frame = '{"stream":"%s@depth20@100ms","data":{"lastUpdateId":160,"bids":[["0.0024","10"]],"asks":[]}}'

    assert reading.change(binance, frame % "btcusdt") == DepthChange(
        BTC, [("0.0024", "10")], [], whole=True, number=160
    )
    assert reading.read(binance, (frame % "perpetual").encode()) == [Ignored("not_subscribed")]
    with pytest.raises(reading.UNREADABLE_ERRORS):
        reading.read(binance, frame.replace('["0.0024","10"]', '["0.0024"]').encode())
