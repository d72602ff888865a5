"""Numbers on the pages: thousands apart, no flicker of digits, exact on hover and copy, on one line."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import until

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]


def run(visit: Visit, module: str, call: str, given: Any) -> Any:
    """Run a function of one of the pages' modules."""
    script = f"async (given) => {{ const m = await import('/static/js/{module}.js'); return {call}; }}"
    return visit("/docs").page.evaluate(script, given)


@pytest.mark.parametrize(
    ("text", "digits", "expected"),
    [
        ("67123.55000000", 2, "67,123.55"),
        ("67123.5", 2, "67,123.50"),
        ("67123", 2, "67,123.00"),
        ("67123.00000000", 0, "67,123"),
        ("0.00001234", 2, "0.00001234"),
        ("-1234567.5", 0, "-1,234,567.5"),
        ("999", 0, "999"),
        ("1000", 0, "1,000"),
        ("market", 2, "market"),
        ("1e-7", 2, "0.0000001"),
        ("9.121E-7", 2, "0.0000009121"),
        ("1.16538E8", 0, "116,538,000"),
        ("-1.5e3", 2, "-1,500.00"),
        ("1e", 2, "1e"),
    ],
)
def test_shown(visit: Visit, text: str, digits: int, expected: str) -> None:
    """Digits that say something are never cut off."""
    assert run(visit, "text/numbers", "m.shown(...given)", [text, digits]) == expected


def test_an_axis_has_the_digits_of_the_prices(visit: Visit) -> None:
    """Some venues write small prices with an exponent; zeros at the end count for nothing."""
    bars = [{"close": close} for close in ("9.121E-7", "0.00000100", "1.16538E8")]

    assert run(visit, "instrument/axis", "m.digitsOf(given)", bars) == 10
    assert run(visit, "instrument/axis", "m.digitsOf(given)", bars[1:]) == 6


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("0,5", "0.5"),
        ("0.5", "0.5"),
        (" 12,50 ", "12.50"),
        (",5", ".5"),
        ("0,125", "0.125"),
        ("1234,567", "1234.567"),
        ("1,2345", "1.2345"),
        ("1,234", None),
        ("12,345", None),
        ("1,234.5", "1234.5"),
        ("1.234,5", "1234.5"),
        ("1,234,567", "1234567"),
        ("1.234.567", "1234567"),
        ("67\u00a0123,55", "67123.55"),
        ("1 234", "1234"),
        ("1.234", "1.234"),
        ("1,2,3", "1,2,3"),
        ("1.2.3", "1.2.3"),
        ("abc", "abc"),
        ("", ""),
    ],
)
def test_a_comma_is_understood_where_it_can_mean_one_thing_only(
    visit: Visit, typed: str, meant: str | None
) -> None:
    """Null where the number could be two; what is no number stays as typed."""
    assert run(visit, "orders/numberinput", "m.canonical(given)", typed) == meant


def test_digits_do_not_flicker(live: Callable[..., Page]) -> None:
    """Every price of an instrument has the digits of its tick, whatever zeros the venue leaves out."""
    page = live("/btcusdt")
    seen = page.evaluate("""() => new Promise((done) => {
        const seen = new Set();
        const note = () => ['price', 'bid', 'ask'].forEach(
            (id) => seen.add(document.getElementById(id).textContent.split('.')[1]?.length ?? 0));
        const watch = new MutationObserver(note);
        const hero = document.querySelector('.hero');
        watch.observe(hero, { subtree: true, characterData: true, childList: true });
        note();
        setTimeout(() => done([...seen]), 4000);
    })""")

    assert len(seen) == 1
    expect(page.locator("#price")).to_have_text(re.compile(r"^\d{1,3}(,\d{3})+\.\d+$"))


def test_the_exact_text_on_hover_and_copy(live: Callable[..., Page]) -> None:
    """Pointing at a price and copying it give the venue's own text, without separators."""
    page = live("/btcusdt")
    page.locator("#bid").hover()
    exact = page.locator("#bid").get_attribute("title") or ""
    assert re.fullmatch(r"\d+\.\d+", exact)
    page.evaluate("getSelection().selectAllChildren(document.querySelector('.top-of-book'))")
    copy = """() => {
        const data = new DataTransfer();
        dispatchEvent(new ClipboardEvent('copy', { clipboardData: data, cancelable: true }));
        return data.getData('text/plain');
    }"""
    until(lambda: page.evaluate(copy), "a copy")
    copied = page.evaluate(copy)

    assert re.search(r"Bid\s+\d{4,}\.\d+", copied)
    assert "," not in copied


@pytest.mark.parametrize("width", [320, 360, 390])
@pytest.mark.parametrize("path", ["/", "/btcusdt", "/orders?instrument=btcusdt", "/?view=venues"])
def test_no_number_breaks_across_lines(live: Callable[..., Page], width: int, path: str) -> None:
    """On a phone every number is on one line, and the page does not scroll sideways for it."""
    page = live("/", viewport={"width": width, "height": 780})
    page.goto(path)
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    until(lambda: page.locator("[data-number]").count() > 2, "numbers")
    broken = page.evaluate("""() => {
        const lines = (one) => {
            const range = document.createRange();
            range.selectNodeContents(one);
            return new Set([...range.getClientRects()].map(({ top }) => Math.round(top))).size;
        };
        const cut = (one) => one.id === 'price' && one.getBoundingClientRect().right > innerWidth;
        const all = [...document.querySelectorAll('[data-number]')].filter((one) => one.checkVisibility());
        return all.filter((one) => lines(one) > 1 || cut(one)).map((one) => one.outerHTML);
    }""")

    assert broken == []
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


def test_the_ticket_takes_a_comma(live: Callable[..., Page]) -> None:
    """A keypad without a point can place an order; what could be two numbers is asked about."""
    page = live("/orders?instrument=eurrub")
    page.get_by_label("Amount").fill("1,234")
    page.locator("#place").click()
    expect(page.locator("#amount-fault")).to_contain_text(
        "1,234 could mean two numbers: write 1234 or 1.234."
    )
    page.get_by_label("Amount").fill("0,5")
    page.locator("#place").click()

    expect(page.locator("#answer")).to_contain_text("Placed: buy 0.5 EUR/RUB")


def test_a_typed_price_far_from_the_market_is_pointed_out(live: Callable[..., Page]) -> None:
    """It stays as typed, with a warning, until a person goes back to the market's."""
    page = live("/orders?instrument=btcusdt")
    page.get_by_label("Amount").fill("1")
    page.locator("#price").fill("1")
    page.locator("#amount").focus()
    expect(page.locator("#outlook")).to_contain_text("% below the ask")
    page.get_by_role("button", name="use market").click()

    expect(page.locator("#follow")).to_be_hidden()
    page.locator("#amount").focus()
    expect(page.locator("#price")).not_to_have_value("1")
    expect(page.locator("#outlook")).not_to_contain_text("% below")


@pytest.mark.parametrize(
    ("quote", "text", "way"),
    [
        ({"change_24h": "1.50", "change_abs_24h": "3.75"}, "▲ +1.50 %", "up"),
        ({"change_24h": None, "change_abs_24h": "-1234.50"}, "▼ -1234.50", "down"),
        ({"change_24h": None, "change_abs_24h": "0.00"}, "0.00", "same"),
        ({"change_24h": None, "change_abs_24h": None}, "—", None),
        (
            {"synthetic": True, "base": None, "change_24h": "-605.88", "change_abs_24h": "-103"},
            "▼ -103",
            "down",
        ),
        ({"synthetic": True, "base": None, "change_24h": None, "change_abs_24h": "-69"}, "▼ -69", "down"),
    ],
)
def test_fall_of_the_day_is_never_shown_as_a_rise(
    visit: Visit, quote: dict[str, Any], text: str, way: str | None
) -> None:
    """Where a percentage says nothing the board shows the change itself, with the arrow of its own sign."""
    page = visit("/").page
    shown = page.evaluate(
        """async (quote) => {
            const { Row } = await import('/static/js/board/row.js');
            const place = document.createElement('tbody');
            place.append(document.querySelector('tr[data-symbol=btcusdt]').cloneNode(true));
            const row = new Row(place.firstChild, 0);
            row.paint({ symbol: 'btcusdt', base: 'BTC', ...quote }, true);
            const change = place.querySelector('.change');
            return [change.textContent, change.getAttribute('data-way')];
        }""",
        quote,
    )

    assert shown == [text, way]
