"""OKX: what is sent, and how each kind of frame is read (frames by hand from the venue's documents)."""

from __future__ import annotations

import json

import httpx
import pytest
from msgspec import UNSET

from crypto_stream.feed.handler import (
    Acked,
    Event,
    Ignored,
    Instrument,
    MalformedFrame,
    Moving,
    Pong,
    Refused,
    Trade,
    Update,
)
from crypto_stream.market.book import SourceBook
from crypto_stream.market.instruments import pair
from handlers import okx
from tests.fakes import FakeOKX
from tests.handlers import reading
from tests.handlers.reading import UNREADABLE_ERRORS, wanted

BTC = pair("BTC-USDT")

DAY = {
    "instType": "SPOT", "instId": "BTC-USDT", "last": "9999.99", "lastSz": "0.1", "askPx": "9999.98",
    "askSz": "11",
    "bidPx": "8888.88", "bidSz": "5", "open24h": "9000", "high24h": "10000", "low24h": "8888",
    "volCcy24h": "7777",
    "vol24h": "2222", "sodUtc0": "1", "sodUtc8": "1", "ts": "1597026383085",
}  # fmt: skip
TOP = {
    "asks": [["111.06", "55154", "0", "2"]], "bids": [["111.05", "57745", "0", "2"]], "ts": "1670324386802",
    "seqId": 363996337,
}  # fmt: skip
TRADE = {
    "instId": "BTC-USDT", "tradeId": "130639474", "px": "42219.9", "sz": "0.12060306", "side": "buy",
    "ts": "1630048897897", "count": "3", "source": "0", "seqId": 1234,
}  # fmt: skip


def push(channel: str, *items: object, name: str = "BTC-USDT") -> dict[str, object]:
    """Wrap items as the venue pushes them."""
    return {"arg": {"channel": channel, "instId": name}, "data": list(items)}


def read(message: object) -> list[Event]:
    """Parse one message."""
    return reading.read(okx, json.dumps(message).encode())


def test_tickers_give_the_24_hour_figures() -> None:
    """Tickers is slow, its key and time are `ts`, its volume that of the base."""
    expected = Update(
        BTC, "tickers", 1597026383085, 1597026383085, "9999.99", "8888.88", "5", "9999.98", "11",
        "9000",
        "10000", "8888", "2222", slow=True,
    )  # fmt: skip

    assert read(push("tickers", DAY)) == [expected]


def test_bbo_gives_the_top_of_book() -> None:
    """The key is `seqId`, or `ts` in frames that have none."""
    old = {key: value for key, value in TOP.items() if key != "seqId"}
    one, two = read(push("bbo-tbt", TOP)) + read(push("bbo-tbt", old))

    assert one == Update(
        BTC, "bbo-tbt", 363996337, 1670324386802, UNSET, "111.05", "57745", "111.06", "55154"
    )
    assert isinstance(two, Update)
    assert two.key == 1670324386802


def test_an_empty_side_is_no_price() -> None:
    """An empty list of bids gives no bid and no size; the ask stays."""
    (event,) = read(push("bbo-tbt", {**TOP, "bids": []}))

    assert isinstance(event, Update)
    assert (event.bid, event.bid_size, event.ask) == (None, None, "111.06")


def test_empty_texts_are_values_not_given() -> None:
    """An empty text in a ticker is None, not a fault."""
    (event,) = read(push("tickers", {**DAY, "bidPx": "", "bidSz": "", "open24h": ""}))

    assert isinstance(event, Update)
    assert (event.bid, event.bid_size, event.open_24h, event.ask) == (None, None, None, "9999.98")


def test_trades_of_one_moment_are_all_kept() -> None:
    """Two trades with equal `ts` and `seqId` both count, because the id of a trade is its key."""
    first, second = read(push("trades", TRADE, {**TRADE, "tradeId": "130639475", "px": "42220"}))
    book = SourceBook()

    assert first == Trade(BTC, "trades", 130639474, 1630048897897, "42219.9", "0.12060306")
    assert isinstance(first, Trade)
    assert isinstance(second, Trade)
    assert [book.apply(first, 1), book.apply(second, 2)] == [True, True]
    assert book.entries["btcusdt"].price == "42220"


@pytest.mark.parametrize(("gone", "key"), [({"tradeId"}, 1234), ({"tradeId", "seqId"}, 1630048897897)])
def test_a_trade_without_an_id_has_another_key(gone: set[str], key: int) -> None:
    """Without `tradeId` the key is `seqId`, without both it is `ts`."""
    (event,) = read(push("trades", {name: value for name, value in TRADE.items() if name not in gone}))

    assert isinstance(event, Trade)
    assert event.key == key


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"event": "subscribe", "arg": {"channel": "tickers", "instId": "BTC-USDT"}, "connId": "a"},
         Acked("tickers:BTC-USDT")),
        ({"id": "1512", "event": "subscribe", "arg": {"channel": "trades", "instId": "X-Y"}},
         Acked("trades:X-Y")),
        ({"event": "unsubscribe", "arg": {"channel": "trades", "instId": "X-Y"}},
         Acked("unsubscribe:trades:X-Y")),
        ({"event": "notice", "code": "64008", "msg": "Soon."}, Moving("OKX: Soon.")),
        ({"event": "notice", "code": "1", "msg": "?"}, Ignored("event:notice")),
        ({"event": "channel-conn-count", "connCount": "1"}, Ignored("event:channel-conn-count")),
        (push("books5", {}, name="BTC-USDT"), Ignored("books5")),
        (push("tickers", DAY, name="BTC-USDT-SWAP"), Ignored("not_subscribed")),
        (push("books", {}, name="BTC-USD-220527"), Ignored("not_subscribed")),
        (push("tickers", DAY, name="BTC"), Ignored("not_subscribed")),
        (push("tickers", DAY, name="BTC-"), Ignored("not_subscribed")),
        ({"arg": {"channel": "status"}, "data": [{}]}, Ignored("status")),
        (push("trades"), Ignored("trades")),
    ],
)  # fmt: skip
def test_words_and_what_we_do_not_use(message: object, expected: Event) -> None:
    """Acknowledgements name channel and id; notices, other channels and other markets are told apart."""
    assert read(message) == [expected]


@pytest.mark.parametrize(
    ("text", "key", "named"),
    [
        ("Wrong URL or channel:index-tickers, instId:NEAR-USDT doesn't exist. Please",
         "index-tickers:NEAR-USDT", "NEAR-USDT"),
        ("Subscribe failed, wrong URL or channel:bbo-tbt,instId:A-B doesn't exist. ", "bbo-tbt:A-B", "A-B"),
        ('Invalid request: {"args":[{ "channel" : "tickers", "instId" : "LTC-USD"}]}', "tickers:LTC-USD",
         "LTC-USD"),
        ('Invalid request: {"op":"subscribe","args":[{"channel":"tickers","instId":"A-B"},'
         '{"channel":"trades","instId":"A-B"}]}', "tickers:A-B", "A-B"),
        ('Invalid request: {"op":"subscribe","args":[{"channel":"tickers","instId":"A-B"},'
         '{"channel":"tickers","instId":"C-D"}]}', "", None),
        ('Invalid request: {"op":"subscribe","args":[{"channel":"tickers","instId":"A-B"},{"chan', "", None),
        ("Invalid OK-ACCESS-SIGN", "", None),
    ],
)  # fmt: skip
def test_an_error_is_matched_to_what_it_names(text: str, key: str, named: str | None) -> None:
    """Channel and id stand only inside the sentence, in changing words; without them the key is empty."""
    (event,) = read({"event": "error", "msg": text, "code": "60018", "connId": "94d38802"})

    assert event == Refused(key, f"code 60018: {text}", pair(named) if named else None)


def test_pong_is_no_json() -> None:
    """The answer to our text ping is the bare word."""
    assert reading.read(okx, b"pong") == [Pong()]


@pytest.mark.parametrize(
    "frame",
    [
        b"", b"ping", b"{", b"\xff\x00", b"[]", b"{}", b"5", b'"pong"', b"[" * 100_000, b'{"event":5}',
        b'{"arg":{},"data":[]}',
        b'{"arg":{"channel":"tickers","instId":5},"data":[]}',
        b'{"arg":{"channel":"tickers","instId":"A-B"},"data":5}',
        b'{"arg":{"channel":"tickers","instId":"A-B"},"data":[5]}', b'{"event":"subscribe","arg":"tickers"}',
    ],
)  # fmt: skip
def test_shapes_that_are_none_are_malformed(frame: bytes) -> None:
    """What is no message of the venue cannot be read, for a reason."""
    with pytest.raises(UNREADABLE_ERRORS, match=r".+"):
        reading.read(okx, frame)


@pytest.mark.parametrize(
    ("channel", "item", "field", "value"),
    [
        ("tickers", DAY, "last", 9999.99), ("tickers", DAY, "last", None), ("tickers", DAY, "ts", "soon"),
        ("tickers", DAY, "ts", ""), ("tickers", DAY, "vol24h", "NaN"),
        ("tickers", DAY, "ts", "9223372036854775808"),
        ("tickers", DAY, "ts", "9" * 5000), ("tickers", DAY, "bidPx", ["1"]), ("bbo-tbt", TOP, "bids", [[]]),
        ("bbo-tbt", TOP, "bids", [["1"]]), ("bbo-tbt", TOP, "asks", [[1, 2]]), ("bbo-tbt", TOP, "asks", "x"),
        ("bbo-tbt", TOP, "asks", [["one", "2"]]), ("bbo-tbt", TOP, "seqId", -1), ("trades", TRADE, "px", ""),
        ("trades", TRADE, "tradeId", "x1"), ("trades", TRADE, "tradeId", ""), ("trades", TRADE, "sz", 5),
    ],
)  # fmt: skip
def test_wrong_values_are_malformed(channel: str, item: dict[str, object], field: str, value: object) -> None:
    """A field of another type, no number, or out of range makes the frame malformed."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(push(channel, {**item, field: value}))


def test_one_bad_item_costs_its_frame() -> None:
    """A frame is read whole or not at all."""
    with pytest.raises(UNREADABLE_ERRORS):
        read(push("trades", TRADE, {**TRADE, "px": "x"}))


def test_requests_are_batched_and_keyed_per_argument() -> None:
    """70 instruments make two requests below 64 KB, with a key per argument."""
    asked = wanted(okx, *(f"A{number}-USDT" for number in range(70)))
    requests = reading.reader(okx).subscribe(asked)
    first = json.loads(requests[0].text)

    assert [len(request.keys) for request in requests] == [180, 30]
    assert all(len(request.text) < 64 * 1024 for request in requests)
    assert first["op"] == "subscribe"
    assert first["args"][0] == {"channel": "bbo-tbt", "instId": "A0-USDT"}
    assert requests[0].keys[:3] == ("bbo-tbt:A0-USDT", "trades:A0-USDT", "tickers:A0-USDT")
    assert [each for request in requests for each in request.wanted] == asked


def test_a_pair_whose_base_is_unknown_has_no_id() -> None:
    """Nothing can be asked of it."""
    assert okx.venue_id(Instrument("mystery", None, None)) is None


def test_every_request_is_acknowledged_by_its_own_keys() -> None:
    """The answers to a subscription carry exactly the keys we wait for; an unsubscription's carry others."""
    answers = {}
    btc, asker = wanted(okx, "BTC-USDT"), reading.reader(okx)
    for make in (asker.subscribe, asker.unsubscribe):
        request = make(btc)[0]
        sent = json.loads(request.text)
        answers[sent["op"]] = [read({"event": sent["op"], "arg": each})[0] for each in sent["args"]]
    keys = asker.subscribe(btc)[0].keys

    assert answers["subscribe"] == [Acked(key) for key in keys]
    assert not set(map(str, answers["subscribe"])) & set(map(str, answers["unsubscribe"]))
    assert asker.unsubscribe(btc)[0].keys == ()


async def test_no_default_address_uses_the_retired_port() -> None:
    """8443 is switched off: the defaults are on 443."""
    async with httpx.AsyncClient() as http:
        opening = await okx.opening(http, {})

    assert okx.URLS[0] + opening.path == "wss://ws.okx.com/ws/v5/public"
    assert len(okx.URLS) > 1
    assert not any("8443" in url for url in okx.URLS)


@pytest.mark.parametrize("answer", [[], {"code": "50011", "msg": "Too Many Requests", "data": []}])
async def test_a_broken_list_is_malformed(answer: object) -> None:
    """A body of another shape, or an error with HTTP 200, raises MalformedFrame."""

    class Broken(FakeOKX):
        def rest(self, path: str, query: dict[str, str]) -> object:
            return answer

    async with Broken([]) as venue, httpx.AsyncClient(base_url=venue.rest_url) as http:
        with pytest.raises(MalformedFrame, match="okx instruments"):
            await okx.instruments(http)
