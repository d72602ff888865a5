"""The table of attacks on best and index: venues that lie to the real program, and what its page then shows.

Five fake venues and the whole program; each row begins with all five in the index, and ends with them there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
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
_WRONG = "not in the index: its price "
_SILENT = "not in the index: "
_INVERTED = "not in the index: its bid is above its ask"
_IN = "^$"


class Attack(NamedTuple):
    """What venues do, and what the page says of each of them: a pattern of its remark.

    `best`: they may have a best price all the same. `indexed`: there is an index, it has not moved.
    """

    faults: Mapping[str, str]
    remarks: Mapping[str, str]
    best: bool = False
    indexed: bool = True


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
    "2 % off": one("times:1.02", _WRONG, best=True),
    "frozen": one("freeze", _SILENT),
    "the same frame for ever": one("repeat", _SILENT),
    "crossed by itself": one("crossed", _INVERTED),
    "sides swapped": one("swapped", _INVERTED),
    "zero": one("zero", "in the index with its last trade|not in the index: neither"),
    "no bid, a tenth of the ask": one("one-sided", _WRONG),
    "another symbol's prices": one("another", _WRONG),
    "its prices under another symbol": one("misnamed", _SILENT),
    "its clock an hour behind": one("clock:-3600", _IN, best=True),
    "its clock an hour ahead": one("clock:3600", f"{_SILENT}|{_IN}", best=True),
    "a book with holes": one(
        "lossy:10", f"not in the index: |with its last trade|{_IN}", "bitfinex", best=True
    ),
    "gone": one("http:503", "not in the index: .+"),
    "two of five x 2": two("times:2", _WRONG),
    "two of five gone": two("http:503", "not in the index: .+"),
    "three of five, each its own lie": Attack(
        {"okx": "times:2", "kraken": "times:0.5", "bybit": "times:3"},
        dict.fromkeys(("okx", "kraken", "bybit"), "not in the index: "),
        indexed=False,
    ),
    "two against two": Attack(
        {"okx": "times:2", "kraken": "times:2", "bitfinex": "http:503"},
        dict.fromkeys(VENUES, "not in the index: "),
        indexed=False,
    ),
    "all gone": Attack(
        dict.fromkeys(VENUES, "http:503"), dict.fromkeys(VENUES, "not in the index: .+"), indexed=False
    ),
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


def _number(text: str) -> Decimal:
    return Decimal(text.replace(",", ""))


def _shown_index(page: Page) -> Decimal:
    return _number(page.locator("#markets .index > span").inner_text())


@pytest.mark.parametrize("name", ATTACKS)
def test_attack(of_five: System, page: Page, name: str) -> None:
    """Whoever lies is named with the reason; index and best are those of the others, or stale."""
    attack = ATTACKS[name]
    before = _shown_index(page)
    for venue, fault in attack.faults.items():
        of_five.fault(venue, fault)
    for venue, remark in attack.remarks.items():
        note = page.locator(f"#premiums tr:has(.venue:text-is('{venue}')) .note")
        expect(note).to_have_text(re.compile(remark), timeout=_WAIT_MS)

    _judge_index(page, attack, before)
    if not attack.best:
        _judge_best(page, set(attack.faults))


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
        out = {
            venue
            for venue, remark in attack.remarks.items()
            if remark.startswith("not") and "|" not in remark
        }
        if out:
            expect(note).to_have_text(", ".join(venue for venue in VENUES if venue not in out))


def _judge_best(page: Page, liars: set[str]) -> None:
    """None of the liars has the best price on either side."""
    for side in ("bid", "ask"):
        names = page.locator(f"#markets .{side} small")
        expect(names).not_to_have_text(re.compile("|".join(liars)), timeout=_WAIT_MS)


def test_a_book_with_holes_is_right_again(of_five: System, page: Page) -> None:
    """Frames are lost for a while; afterwards the venue's price is what it has, letter by letter."""
    of_five.fault("bitfinex", "lossy:5")
    page.wait_for_timeout(3_000)
    of_five.fault("bitfinex", "none")
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
