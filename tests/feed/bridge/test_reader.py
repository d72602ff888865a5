"""The protocol without sockets: what each line means, and what is wrong with a bad one."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.bridge import messages
from crypto_stream.feed.bridge.reader import BridgeReader, ListBuilder
from crypto_stream.feed.handler import (
    ARRIVAL,
    Acked,
    Ignored,
    InstrumentStatus,
    Listed,
    ListReceived,
    Refused,
    Rules,
    Topic,
    Trade,
    Update,
    VenueStatus,
    Wanted,
)
from crypto_stream.market.instruments import pair

BTC = pair("BTC-USDT")
ETH = pair("ETH-USDT")
IDS = {"BTC/USDT": BTC, "ETH/USDT": ETH}
DAY_FIELDS = {"open": "1", "high": "3", "low": "0.5", "volume": "12.0"}


def line(kind: str, **fields: Any) -> bytes:
    """Write one message."""
    return json.dumps({"type": kind, **fields}).encode()


def entry(venue_id: str, base: str, quote: str = "USDT", **more: Any) -> dict[str, Any]:
    """Write one instrument of a list."""
    return {"id": venue_id, "base": base, "quote": quote, **more}


@pytest.fixture
def reader() -> BridgeReader:
    """Read for two instruments."""
    return BridgeReader(IDS)


@pytest.mark.parametrize(
    ("text", "event"),
    [
        (
            line("quote", instrument="BTC/USDT", bid="1.10", bid_size="2", ask=None, n=7, time=1),
            Update(BTC, "top", 7, 1, bid="1.10", bid_size="2", ask=None),
        ),
        (
            line("trade", instrument="BTC/USDT", price="1.10"),
            Trade(BTC, "trades", ARRIVAL, None, "1.10", None),
        ),
        (
            line("levels", instrument="BTC/USDT", bids=[["1.1", "2"], ["1.0", "9"]], asks=[]),
            Update(BTC, "levels", ARRIVAL, bid="1.1", bid_size="2", ask=None, ask_size=None),
        ),
        (
            line("day", instrument="ETH/USDT", price="2", **DAY_FIELDS),
            Update(
                ETH, "day", ARRIVAL, price="2", open_24h="1", high_24h="3", low_24h="0.5",
                volume_24h="12.0", slow=True,
            ),
        ),
        (line("status", instrument="ETH/USDT", word="halt"), InstrumentStatus(ETH, "halt")),
        (line("status", word="maintenance"), VenueStatus("maintenance")),
        (line("ack", request=3), Acked("3")),
        (
            line("refused", request=3, reason="no", instrument="ETH/USDT", temporary=True),
            Refused("3", "no", ETH, True),
        ),
        (line("refused", request=3, reason="no"), Refused("3", "no")),
        (line("heartbeat"), Ignored("heartbeat")),
        (line("heartbeat", invented="later"), Ignored("heartbeat")),
        (line("novelty", what=1), Ignored("unknown_type")),
        (line("trade", instrument="XRP/USDT", price="1"), Ignored("unknown_instrument")),
    ],
)  # fmt: skip
def test_each_line_is_one_event(reader: BridgeReader, text: bytes, event: object) -> None:
    """Numbers keep their text; what is absent stays unset, what is null is none."""
    assert list(reader.read(text)) == [event]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{", "not a message: "),
        (b"\xff\xfe", "not a message: "),
        (b"[]", "not a message: "),
        (b"{}", "not a message: "),
        (b'{"type":5}', "not a message: "),
        (b"[" * 100_000, "not a message: "),
        (line("quote", instrument="BTC/USDT"), "quote: neither bid nor ask"),
        (line("quote", instrument="BTC/USDT", bid=1.1), "quote: Expected `str | null`, got `float`"),
        (line("quote", bid="1"), "quote: Object missing required field `instrument`"),
        (line("trade", instrument="BTC/USDT", price=None), "trade: Expected `str`"),
        (line("trade", instrument="BTC/USDT", price="1", time=-1), "trade: Expected `int` >= 0"),
        (line("trade", instrument="BTC/USDT", price="1", n=2**63), "trade: "),
        (line("levels", instrument="BTC/USDT", bids=[["1"]], asks=[]), "levels: "),
        (line("levels", instrument="BTC/USDT", bids=[["1", "1"]] * 101, asks=[]), "levels: "),
        (line("day", instrument="BTC/USDT"), "day: no figures"),
        (line("hello", protocol=1, name="a", venue="A"), "hello: it was said already"),
        (line("instruments", instruments=[entry("a", "A"), entry("a", "B")]), "instruments: the id 'a' occ"),
        (line("instruments", instruments=[entry("a", "A"), entry("b", "a")]), "instruments: A-USDT occurs"),
    ],
)
def test_a_bad_line_is_refused_with_a_reason(reader: BridgeReader, text: bytes, reason: str) -> None:
    """The same reason goes to the log and back to the bridge."""
    with pytest.raises(MalformedFrame) as caught:
        reader.read(text)
    errors = reader.take_errors()

    assert str(caught.value).startswith(reason)
    assert errors == [messages.Error("bad_line", str(caught.value), fatal=False)]
    assert reader.take_errors() == []
    assert reader.unreadable == 1


def test_a_good_line_ends_a_row_of_bad_ones(reader: BridgeReader) -> None:
    """Only bad lines in a row are a reason to give up."""
    for text in (b"x", b"y", line("heartbeat"), b"z"):
        if text.startswith(b"{"):
            reader.read(text)
        else:
            with pytest.raises(MalformedFrame):
                reader.read(text)

    assert reader.unreadable == 1


def test_errors_that_wait_are_bounded(reader: BridgeReader) -> None:
    """A batch of nonsense costs no memory."""
    for _ in range(50):
        reader.read(line("trade", instrument="?" * 80, price="1"))
    errors = reader.take_errors()

    assert len(errors) == 20
    assert errors[0].reason == f"'{'?' * 40}' was not requested: its data is ignored"


def test_a_list_in_parts_is_one_list(reader: BridgeReader) -> None:
    """It counts once it is complete."""
    first = list(
        reader.read(line("instruments", instruments=[entry("BTC/USDT", "BTC", tick="0.01")], more=True))
    )
    whole = list(reader.read(line("instruments", instruments=[entry("ETH/USDT", "eth", status="halt")])))
    again = list(reader.read(line("instruments", instruments=[])))

    assert first == [Ignored("instruments")]
    assert whole == [
        ListReceived(
            (
                Listed("BTC/USDT", "BTC", "USDT", "", Rules(tick="0.01")),
                Listed("ETH/USDT", "eth", "USDT", "halt"),
            )
        )
    ]
    assert again == [ListReceived(())]


def test_a_bad_part_discards_the_parts_before() -> None:
    """Otherwise a later list would contain what was never listed."""
    builder = ListBuilder()
    one = messages.Entry("a", "A", "USDT")
    builder.add(messages.Instruments([one], more=True))
    with pytest.raises(MalformedFrame):
        builder.add(messages.Instruments([one], more=True))

    assert builder.add(messages.Instruments([one])) == [Listed("a", "A", "USDT")]


def test_the_list_is_bounded() -> None:
    """No bridge fills our memory with instruments."""
    builder = ListBuilder()
    for part in range(20):
        entries = [messages.Entry(f"{part}-{each}", f"A{part}X{each}", "USDT") for each in range(1_000)]
        assert builder.add(messages.Instruments(entries, more=True)) is None
    with pytest.raises(MalformedFrame, match="more than 20,000"):
        builder.add(messages.Instruments([messages.Entry("one", "TOO", "MANY")]))


def wanted(*topics: Topic) -> list[Wanted]:
    """Want topics of both instruments."""
    return [Wanted(venue_id, instrument, topic) for venue_id, instrument in IDS.items() for topic in topics]


def test_all_that_is_wanted_is_one_request(reader: BridgeReader) -> None:
    """It names instruments and topics once; the next one has the next number."""
    everything = wanted("top", "trades", "day")
    (request,) = reader.subscribe(everything)
    (end,) = reader.unsubscribe(wanted("top"))

    assert json.loads(request.text) == {
        "type": "subscribe", "request": 1, "instruments": ["BTC/USDT", "ETH/USDT"],
        "topics": ["top", "trades", "day"],
    }  # fmt: skip
    assert request.keys == ("1",)
    assert list(request.wanted) == everything
    assert json.loads(end.text)["type"] == "unsubscribe"
    assert end.keys == ()


def test_different_topics_are_different_requests(reader: BridgeReader) -> None:
    """One instrument may need less than another."""
    requests = reader.subscribe([*wanted("top"), Wanted("ETH/USDT", ETH, "trades")])

    assert [json.loads(each.text)["topics"] for each in requests] == [["top"], ["top", "trades"]]
    assert [json.loads(each.text)["instruments"] for each in requests] == [["BTC/USDT"], ["ETH/USDT"]]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=10,
)
FIELDS = sorted({"instrument", "n", "time", "more", "instruments", *messages.Day.__struct_fields__})


@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_an_event_or_a_malformed_line(data: bytes) -> None:
    """Nothing else may be raised, and the reader goes on."""
    reader = BridgeReader(IDS)
    try:
        events = list(reader.read(data))
    except MalformedFrame:
        events = []

    assert len(events) <= 1
    assert list(reader.read(line("heartbeat"))) == [Ignored("heartbeat")]


@given(
    st.sampled_from(["quote", "trade", "day", "levels", "status", "instruments", "ack", "refused", "hello"]),
    st.dictionaries(st.sampled_from(FIELDS), JSON | st.just("BTC/USDT")),
)
def test_messages_of_any_content_are_an_event_or_a_malformed_line(kind: str, fields: dict[str, Any]) -> None:
    """Whatever the fields contain."""
    reader = BridgeReader(IDS)
    try:
        events = list(reader.read(line(kind, **fields)))
    except MalformedFrame:
        assert len(reader.take_errors()) == 1
        return

    assert len(events) == 1


TEXT = st.none() | st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.just(UNSET)


@given(
    bid=TEXT, ask=TEXT, n=st.none() | st.integers(0, 2**63 - 1), time=st.none() | st.integers(0, 2**63 - 1)
)
def test_a_quote_arrives_as_it_was_written(bid: Any, ask: Any, n: int | None, time: int | None) -> None:
    """Every text, null and absence is kept."""
    given_fields = {"bid": bid, "ask": ask, "n": n, "time": time}
    said = {name: value for name, value in given_fields.items() if value is not UNSET}
    if bid is UNSET and ask is UNSET:
        return
    (event,) = BridgeReader(IDS).read(line("quote", instrument="ETH/USDT", **said))

    assert isinstance(event, Update)
    assert (event.bid, event.ask, event.time) == (bid, ask, time)
    assert event.key == (ARRIVAL if n is None else n)


def test_what_concerns_many_instruments_is_counted(reader: BridgeReader) -> None:
    """Complete lists and statuses, whether or not they say anything new; prices are not."""
    for text in (
        line("instruments", instruments=[entry("ETH/USDT", "ETH")]),
        line("instruments", instruments=[entry("BTC/USDT", "BTC")], more=True),
        line("status", word="halted"),
        line("status", word="halted", instrument="nobody's"),
        line("quote", instrument="BTC/USDT", bid="1"),
        line("heartbeat"),
    ):
        reader.read(text)

    assert reader.announcements == 3
