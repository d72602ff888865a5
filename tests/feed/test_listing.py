"""A venue's list of instruments: unlisted symbols, and rules for orders."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Set
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.errors import MalformedFrame
from crypto_stream.feed.handler import Listed, Rules
from crypto_stream.feed.listing import Listing
from crypto_stream.feed.names import Names
from crypto_stream.feed.sources import Rest, Source
from crypto_stream.market.instruments import pair
from handlers import synthetic
from tests.fakes import FakeBinance, FakeOKX
from tests.feed.rig import running
from tests.waiting import until

RULES = Rules("0.01", "0.00001", "0.00001", "5")


def names(source: Source) -> Names:
    """Name btcusdt as the source does."""
    return Names(source.name, source.venue_id, [pair("BTC-USDT")], {})


def listing(**given: Any) -> Listing:
    """Create the listing of a source that carries btcusdt."""
    source = Source(name="acme", location="here", **given)
    return Listing(source, names(source))


def listed_as(symbol: str, state: str | None = "", rules: Rules = RULES) -> Listed:
    """Create an entry of a venue's list."""
    return Listed(symbol.upper(), symbol[:-4].upper(), symbol[-4:].upper(), state, rules)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            Rules("0.01000000", "0.00001000", "0.00010000", "5.00000000"),
            Rules("0.01", "0.00001", "0.0001", "5"),
        ),
        (Rules("1e-8", "100", "1.0", "10"), Rules("0.00000001", "100", "1", "10")),
        (Rules("0.00000000", "", "0", None), Rules()),
        (Rules("0.01", "a lot", "", "5"), Rules()),
        (Rules("0.01", "-1", "", "5"), Rules()),
        (Rules("NaN", "1", "", "5"), Rules()),
    ],
)
def test_rules_are_canonical_numbers_above_zero_or_none(given: Rules, kept: Rules) -> None:
    """Empty or 0 means no rule; if one number is invalid, the instrument has no rules."""
    listed = listing()
    listed.update({"btcusdt": listed_as("btcusdt", "", given), "ethusdt": listed_as("ethusdt", "", RULES)})

    assert listed.rules == {"btcusdt": kept}
    assert listed.unlisted == {}


def test_rules_are_a_new_object_only_if_they_changed() -> None:
    """Readers compare objects, so an unchanged list costs nothing."""
    listed = listing()
    listed.update({"btcusdt": listed_as("btcusdt", "", RULES)})
    first = listed.rules
    listed.update({"btcusdt": listed_as("btcusdt", "HALT", RULES)})
    same = listed.rules
    listed.update({"btcusdt": listed_as("btcusdt", "", Rules(tick="0.1"))})

    assert same is first
    assert listed.rules == {"btcusdt": Rules(tick="0.1")}
    assert listed.rules is not first


def test_synthetic_rules_are_known_at_once() -> None:
    """A source without a REST interface has its own rules."""
    source = Source(name="synthetic", location="here", rules=synthetic.RULES)
    listed = Listing(source, names(source))

    assert listed.rules["eurrub"] == Rules(tick="0.01")
    assert listed.rules["eurusd"] == Rules(tick="0.0001")
    assert listed.rules["ticker_07"] == Rules(tick="0.5")
    assert len(listed.rules) == 103


async def test_the_list_is_fetched_once() -> None:
    """One request returns listed pairs and rules, separately for each source."""
    asked: list[str] = []

    class Counting(FakeBinance):
        def rest(self, path: str, query: dict[str, str]) -> object:
            asked.append(path)
            return super().rest(path, query)

    async with Counting(["btcusdt"]) as binance, FakeOKX(["btcusdt"]) as okx:
        okx.rules["btcusdt"] = Rules("0.1", "0.00000001", "0.00001")
        async with running(binance, okx, pairs="btcusdt") as feed:
            lines = feed.composition.loop.sources
            await until(lambda: all(line.listing.rules for line in lines.values()))

            assert lines["binance"].listing.rules == {"btcusdt": Rules("0.01", "0.00001", "0.00001", "1")}
            assert lines["okx"].listing.rules == {"btcusdt": Rules("0.1", "0.00000001", "0.00001")}
            assert asked == ["/api/v3/exchangeInfo"]


@pytest.mark.parametrize("error", [MalformedFrame("odd"), KeyError("bug"), httpx.ConnectError("refused")])
async def test_a_failed_list_does_not_change_the_rules(
    error: Exception,
) -> None:
    """A refusal or invalid data after a good list changes nothing; the next good one counts."""
    answers: list[Exception | list[Listed]] = [
        error,
        [listed_as("btcusdt")],
        error,
        [listed_as("btcusdt", "", Rules(tick="0.5"))],
    ]
    seen: list[dict[str, Rules]] = []

    async def instruments(_http: Any) -> list[Listed]:
        seen.append(dict(listed.rules))
        answer = answers[min(len(seen), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = Source(name="acme", location="here", rest=Rest("http://127.0.0.1:9", instruments))
    listed = Listing(source, names(source), every_s=0.01, retry_s=0.01)
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(listed.run())
        await until(lambda: len(seen) > len(answers))
        following.cancel()

    assert seen[:5] == [{}, {}, {"btcusdt": RULES}, {"btcusdt": RULES}, {"btcusdt": Rules(tick="0.5")}]


def test_a_list_without_states_changes_none() -> None:
    """What a frame said about an instrument holds; whether it is listed is known from the list."""
    listed = listing()
    listed.update({"btcusdt": listed_as("btcusdt", None)})
    listed.set_status(["btcusdt"], "HALT")
    listed.update({"btcusdt": listed_as("btcusdt", None)})
    halted = dict(listed.halted)
    listed.update({})
    listed.update({"btcusdt": listed_as("btcusdt", None)})

    assert halted == {"btcusdt": "HALT"}
    assert (listed.unlisted, listed.halted) == ({}, {})


def test_statuses_of_many_are_one_change(caplog: pytest.LogCaptureFixture) -> None:
    """What is not new changes nothing; all that trade again are reported together."""
    pairs = [pair(f"A{number}-USDT") for number in range(500)]
    symbols = [each.symbol for each in pairs]
    source = Source(name="acme", location="here")
    listed = Listing(source, Names("acme", source.venue_id, pairs, {}))
    reported: list[list[str]] = []
    listed.relisted.append(reported.append)
    with caplog.at_level("INFO"):
        taken = [
            listed.set_status([*symbols, "btcusdt"], "maintenance"),
            listed.set_status(symbols, "maintenance"),
            listed.set_status(symbols[:2], "HALT"),
            listed.set_status(symbols, ""),
            listed.set_status(symbols, ""),
        ]

    assert taken == [True, False, True, True, False]
    assert (listed.unlisted, listed.halted) == ({}, {})
    assert reported == [symbols]
    assert caplog.messages == ["listing changed"] * 3


@pytest.mark.parametrize(("state", "why"), [("cancel_only", "listed, but cancel_only"), (None, "not listed")])
def test_the_status_of_the_venue_does_not_change_what_its_list_says(state: str | None, why: str) -> None:
    """Some say at the beginning of each connection that they are online; a pair may be halted even so."""
    listed = listing()
    reported: list[list[str]] = []
    listed.relisted.append(reported.append)
    listed.update({} if state is None else {"btcusdt": listed_as("btcusdt", state)})
    changed = [listed.set_status(["btcusdt"], word, whole=True) for word in ("", "maintenance", "")]

    assert changed == [False] * 3
    assert (listed.unlisted, reported) == ({"btcusdt": why}, [])
    assert listed.set_status(["btcusdt"], "")  # of this one alone
    assert (listed.unlisted, reported) == ({}, [["btcusdt"]])


def test_a_status_that_never_stops_changing_fills_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """A few lines a second say it; the newest status counts all the same."""
    listed = listing()
    with caplog.at_level("INFO"):
        for number in range(5_001):
            listed.set_status(["btcusdt"], f"word {number}" if number % 2 else "")

    assert listed.halted == {}
    assert 0 < len(caplog.messages) < 1_000


@pytest.mark.parametrize("error", [MalformedFrame("odd"), KeyError("bug"), httpx.ConnectError("refused")])
async def test_ids_that_only_the_list_tells_are_reported_once(
    error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one is unknown the list is soon fetched again after a failure, and not every few minutes."""
    monkeypatch.setattr("crypto_stream.feed.listing._UNNAMED_RETRY_S", 0.01)
    reported: list[list[str]] = []
    answers: list[Exception | list[Listed]] = [error, [listed_as("btcusdt")], [listed_as("btcusdt")]]
    seen: list[str | None] = []

    async def instruments(_http: Any) -> list[Listed]:
        seen.append(named.id_of("btcusdt"))
        answer = answers[min(len(seen), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        return answer

    source = Source(name="acme", location="here", rest=Rest("http://127.0.0.1:9", instruments))
    named = Names("acme", lambda _: None, [pair("BTC-USDT")], {})
    listed = Listing(source, named, every_s=0.01)
    listed.relisted.append(reported.append)
    unnamed = named.unnamed
    async with asyncio.TaskGroup() as tasks:
        following = tasks.create_task(listed.run())
        await until(lambda: len(seen) > len(answers))
        following.cancel()

    assert unnamed == {"btcusdt"}
    assert named.unnamed == frozenset()
    assert seen[:3] == [None, None, "BTCUSDT"]
    assert reported == [["btcusdt"]]


def test_who_waits_for_lists_hears_of_each() -> None:
    """Whether it was fetched, or came over the connection; by then it is applied."""
    listed = listing()
    told: list[dict[tuple[str, str], Listed]] = []
    listed.fetched.append(lambda: told.append(dict(listed.markets or {})))
    entries = [listed_as("btcusdt"), listed_as("ethusdt", "HALT")]
    listed.learn(entries)
    listed.learn(entries[:1])

    assert [list(each) for each in told] == [[("BTC", "USDT"), ("ETH", "USDT")], [("BTC", "USDT")]]
    assert listed.unlisted == {}
    assert listed.rules == {"btcusdt": RULES}


def test_the_newest_list_holds_for_what_is_added() -> None:
    """Its id, its rules and its state are known at once; after a removal nothing is."""
    source = Source(name="acme", location="here")
    named = Names("acme", lambda _: None, [pair("BTC-USDT")], {})
    listed = Listing(source, named)
    listed.learn([listed_as("btcusdt"), listed_as("ethusdt", "HALT")])
    for one in (pair("ETH-USDT"), pair("XRP-USDT")):
        named.add(one)
        listed.added([one])
    found = (named.id_of("ethusdt"), dict(listed.halted), dict(listed.unlisted), set(listed.rules))
    named.remove("ethusdt")
    listed.removed({"ethusdt"})

    halted = {"ethusdt": "listed, but HALT"}
    assert found == ("ETHUSDT", halted, {**halted, "xrpusdt": "not listed"}, {"btcusdt", "ethusdt"})
    assert (listed.halted, listed.unlisted, set(listed.rules)) == ({}, {"xrpusdt": "not listed"}, {"btcusdt"})


SOME = st.frozensets(st.sampled_from("abcdef"))


class NeverListed(Set[str]):
    """Symbols, of which there may be thousands: one may ask whether it contains one."""

    def __init__(self, symbols: Set[str]) -> None:
        self._symbols = symbols

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._symbols

    def __iter__(self) -> Iterator[str]:
        raise AssertionError("every symbol of a connection was looked at")

    def __len__(self) -> int:
        return len(self._symbols)


@given(SOME, SOME, SOME, SOME)
def test_which_have_no_market_costs_what_is_unlisted(
    unlisted: Set[str], halted: Set[str], carried: Set[str], delivered: Set[str]
) -> None:
    """Failover asks ten times a second: those that are carried, unless they deliver and are not halted."""
    listed = listing()
    listed.unlisted = {symbol: f"no {symbol}" for symbol in unlisted}
    listed.halted = {symbol: listed.unlisted[symbol] for symbol in unlisted & halted}
    found = listed.unavailable(NeverListed(carried), NeverListed(delivered))

    expected = (unlisted & carried) - (delivered - halted)
    assert found == {symbol: f"no {symbol}" for symbol in expected}
