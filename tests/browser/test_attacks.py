"""The table of attacks on best and index: venues that lie to the real program, and what its page then shows.

Five fake venues and the whole program; each row begins with all five in the index, and ends with them there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import partial
from typing import Any, NamedTuple

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System, until
from tests.waiting import SCALE

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240 * SCALE)]

VENUES = ("binance", "okx", "kraken", "bybit", "bitfinex")
PAIR = "btcusdt"
_WAIT_MS = 30_000 * SCALE
_LEFT_OUT = "not in the index: "
_WRONG = rf"^{_LEFT_OUT}its price [\d.]+ is [\d.]+ % (from the median|away from \w+'s last price) [\d.]+"
_OUTVOTED = rf"{_WRONG} \(jump_guard allows 5 %\)$"
_INVERTED = f"^{_LEFT_OUT}its bid is above its ask$"
_NO_DATA = f"^{_LEFT_OUT}no data for 2 s$"
_SILENT = f"^{_LEFT_OUT}(no data for 2 s|silent for too long)$"
_NO_PRICE = f"^{_LEFT_OUT}neither a top of book nor a recent trade$"
_GONE = f"^{_LEFT_OUT}HTTP 503 instead of a WebSocket$"
_LAST_TRADE = "^in the index with its last trade$"
_IN = "^$"
# Keeps every remark that the page has shown of a venue, however briefly.
_NOTE = """() => {
    window.remarks = {};
    const note = () => {
        for (const row of document.querySelectorAll('#premiums tr')) {
            const venue = row.querySelector('.venue').textContent;
            (window.remarks[venue] ??= new Set()).add(row.querySelector('.note').textContent);
        }
    };
    note();
    new MutationObserver(note).observe(document.getElementById('premiums'),
        { subtree: true, childList: true, characterData: true });
}"""
_NOTED = "(venue) => [...window.remarks[venue]]"
_BEST = """() => ['.bid > span', '.ask > span', '.spread .word'].map((cell) =>
    document.querySelector(`#markets ${cell}`).textContent.replaceAll(',', ''))"""


class Attack(NamedTuple):
    """What venues do, and what the page says of each of them: a pattern of its remark.

    `best`: they may have a best price all the same; `crossed`: theirs is the best bid, above the asks of
    others. `indexed`: there is an index, it has not moved. `out`: they do not count for it any more.
    """

    faults: Mapping[str, str]
    remarks: Mapping[str, str]
    best: bool = False
    crossed: bool = False
    indexed: bool = True
    out: bool = True


def one(fault: str, remark: str, venue: str = "okx", **more: Any) -> Attack:
    """Let one venue lie."""
    return Attack({venue: fault}, {venue: remark}, **more)


def two(fault: str, remark: str) -> Attack:
    """Let two of five lie in the same way."""
    liars = ("okx", "kraken")
    return Attack(dict.fromkeys(liars, fault), dict.fromkeys(liars, remark))


ATTACKS = {
    "x 10": one("times:10", _WRONG),
    "÷ 10": one("times:0.1", _WRONG),
    "the serving one x 10": one("times:10", _WRONG, "binance"),
    "2 % off": one("times:1.02", _WRONG, best=True, crossed=True),
    "frozen": one("freeze", _NO_DATA),
    # These two count again for a moment whenever they are asked for everything anew.
    "the same frame for ever": one("repeat", _NO_DATA, out=False),
    "its prices under another symbol": one("misnamed", _SILENT, out=False),
    "crossed by itself": one("crossed", _INVERTED),
    "sides swapped": one("swapped", _INVERTED),
    "zero": one("zero", _NO_PRICE),
    "no bid, a tenth of the ask": one("one-sided", _WRONG),
    "another symbol's prices": one("another", _WRONG),
    "gone": one("http:503", _GONE),
    "two of five x 2": two("times:2", _OUTVOTED),
    "two of five gone": two("http:503", _GONE),
    "three of five, each its own lie": Attack(
        {"okx": "times:2", "kraken": "times:0.5", "bybit": "times:3"},
        dict.fromkeys(("okx", "kraken", "bybit"), _WRONG),
        indexed=False,
    ),
    "two against two": Attack(
        {"okx": "times:2", "kraken": "times:2", "bitfinex": "http:503"},
        {**dict.fromkeys(VENUES, _OUTVOTED), "bitfinex": _GONE},
        indexed=False,
    ),
    "all gone": Attack(dict.fromkeys(VENUES, "http:503"), dict.fromkeys(VENUES, _GONE), indexed=False),
}


@pytest.fixture(scope="module")
def of_five(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run the program on five venues, all connected."""
    limits = ("--stale-after", "2", "--quiet-after", "8", "--failback-after", "1")
    what = ("--sources", ",".join(VENUES), "--pairs", PAIR, "--standby", "all")
    with System(tmp_path_factory.mktemp("of-five"), *what, *limits, venues=VENUES) as running:
        yield running


@pytest.fixture
def page(browser: Browser, of_five: System) -> Iterator[Page]:
    """Open the page with all five in the index; at the end they are there again."""
    visitor = Visitor(browser, of_five.url)
    visitor.page.set_default_timeout(_WAIT_MS)
    visitor.page.goto("/markets")
    _all_are_in(visitor.page)
    yield visitor.page
    for venue in VENUES:
        of_five.fault(venue, "none")
    _all_are_in(visitor.page)
    visitor.close()


def _all_are_in(page: Page) -> None:
    expect(page.locator("#markets .note")).to_have_text(", ".join(VENUES), timeout=3 * _WAIT_MS)
    expect(page.locator("#premiums .note")).to_have_text([""] * 5, timeout=_WAIT_MS)


def _is_noted(page: Page, venue: str, remark: str) -> bool:
    """Return whether the page has shown this remark of a venue since the attack began."""
    return any(re.search(remark, text) for text in page.evaluate(_NOTED, venue))


def _frames(system: System, venue: str, kind: str) -> int:
    """Return how many frames of a kind a venue has sent."""
    sources = httpx.get(f"{system.url}/sources", trust_env=False).json()["sources"]
    (found,) = [each for each in sources if each["name"] == venue]
    return int(found["frames"].get(kind, 0))


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def _shown_index(page: Page) -> Decimal:
    return _number(page.locator("#markets .index > span").inner_text())


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(of_five: System, page: Page, name: str) -> None:
    """Whoever lies is named with the reason; index and best are those of the others, or stale."""
    attack = ATTACKS[name]
    before = _shown_index(page)
    page.evaluate(_NOTE)
    for venue, fault in attack.faults.items():
        of_five.fault(venue, fault)
    for venue, remark in attack.remarks.items():
        until(partial(_is_noted, page, venue, remark), f"{venue}: {remark}", _WAIT_MS / 1000 / SCALE)

    _judge_index(page, attack, before)
    if not attack.best:
        _judge_best(page, set(attack.faults))
    _judge_crossed(page, attack.faults if attack.crossed else ())


def test_a_clock_behind_changes_nothing(of_five: System, page: Page) -> None:
    """When data was received is what counts, not what the venue says of it."""
    before = _shown_index(page)
    page.evaluate(_NOTE)
    of_five.fault("okx", "clock:-3600")
    _judge_index(page, Attack({}, {}, best=True), before)
    page.wait_for_timeout(4_000)  # not for something to happen: nothing may

    assert page.evaluate(_NOTED, "okx") == [""]
    _judge_crossed(page)


def test_a_clock_ahead_is_believed_once_it_is_always_so(of_five: System, page: Page) -> None:
    """Until then its data is dropped, as if it sent none."""
    before = _shown_index(page)
    page.evaluate(_NOTE)
    of_five.fault("okx", "clock:3600")
    until(partial(_is_noted, page, "okx", _NO_DATA), "it is left out", 30)

    _all_are_in(page)
    _judge_index(page, Attack({}, {}, best=True), before)
    _judge_crossed(page)


def _judge_index(page: Page, attack: Attack, before: Decimal) -> None:
    """The index is live, the lie has not moved it; without enough others it is stale, with its value."""
    word = page.locator("#markets .index .word")
    expect(word).to_have_text("" if attack.indexed else "stale", timeout=_WAIT_MS)
    for _ in range(30 if attack.best else 10):
        assert abs(_shown_index(page) / before - 1) < Decimal("0.005")
        page.wait_for_timeout(100)
    note = page.locator("#markets .note")
    if not attack.indexed:
        expect(note).to_have_text(re.compile(r"needed"))
        expect(page.locator("#premiums .premium")).to_have_text(["—"] * 5)
    else:
        if attack.out:
            expect(note).to_have_text(", ".join(venue for venue in VENUES if venue not in attack.faults))


def _judge_best(page: Page, liars: set[str]) -> None:
    """None of the liars has the best price on either side."""
    for side in ("bid", "ask"):
        names = page.locator(f"#markets .{side} small")
        expect(names).not_to_have_text(re.compile("|".join(liars)), timeout=_WAIT_MS)


def _judge_crossed(page: Page, liars: Iterable[str] = ()) -> None:
    """Whether the best bid is above the best ask is said, whoever they are of.

    With `liars` it must be: their bid is the best one, and the spread says how far it is above the ask.
    """
    if liars:
        expect(page.locator("#markets .bid small")).to_have_text(", ".join(liars), timeout=_WAIT_MS)
        expect(page.locator("#markets .spread .word")).to_have_text("crossed")
        expect(page.locator("#markets .spread > span")).to_have_text(re.compile(r"^-2\d\d\.\d\d$"))
    bid, ask, word = page.evaluate(_BEST)
    assert word == ("crossed" if bid != "—" and Decimal(bid) >= Decimal(ask) else "")


def test_a_book_with_holes_is_right_again(of_five: System, page: Page) -> None:
    """Lost frames are noticed; afterwards the venue's price is what it has, letter by letter.

    Meanwhile its book is requested again and again: it counts with it, with its last trade, or not at all.
    """
    before, requested = _shown_index(page), _frames(of_five, "bitfinex", "resync")
    page.evaluate(_NOTE)
    of_five.fault("bitfinex", "lossy:5")
    _judge_index(page, Attack({}, {}, best=True), before)
    _judge_crossed(page)
    of_five.fault("bitfinex", "none")
    assert _frames(of_five, "bitfinex", "resync") > requested
    allowed = "|".join((_IN, _LAST_TRADE, _NO_PRICE, _SILENT))
    assert [text for text in page.evaluate(_NOTED, "bitfinex") if not re.search(allowed, text)] == []
    of_five.control("bitfinex", calm="1", symbol=PAIR)
    try:
        values = of_five.control("bitfinex")["symbols"][PAIR]

        def is_right() -> bool:
            sources = httpx.get(f"{of_five.url}/venues/{PAIR}", trust_env=False).json()["sources"]
            (found,) = [each for each in sources if each["source"] == "bitfinex"]
            return all(
                found[side] is not None and Decimal(found[side]) == Decimal(values[side])
                for side in ("bid", "ask")
            )

        until(is_right, "the book as the venue has it", 30)
    finally:
        of_five.control("bitfinex", calm="0", symbol=PAIR)
