"""The page that adds and removes instruments."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from urllib.request import urlopen

import pytest
from playwright.sync_api import Locator, Page, Route, expect

from tests.browser.chromium import CHATTER, Visitor
from tests.browser.contrast import contrasts
from tests.browser.system import System, until
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]
GUEST = "xrpusdt"
PHONES = [{"width": 360, "height": 700}, {"width": 390, "height": 844}]
_FORGET = "sessionStorage.removeItem('admin-token')"


@pytest.fixture
def changing(system: System) -> Iterator[System]:
    """Let a test change the instruments; they are as before afterwards."""
    yield system
    system.change(add=["btcusdt", "ethusdt", GUEST])


@pytest.fixture
def instruments(visit: Visit, changing: System) -> Callable[..., Page]:
    """Return a function that opens the page and waits until it knows who serves each pair."""

    def open_page(status: int = 200, **context: object) -> Page:
        visitor = visit("/instruments", **context)
        visitor.expect(status)
        expect(visitor.page.locator("#link")).to_have_attribute("data-link", "live")
        expect(row(visitor.page, "btcusdt").locator(".source")).to_have_text(
            "binance", timeout=30_000 * SCALE
        )
        return visitor.page

    return open_page


def row(page: Page, symbol: str) -> Locator:
    """Find the row of a pair."""
    return page.locator(f"#pairs [data-symbol={symbol}]")


def carried(system: System) -> list[str]:
    """Ask the server which real pairs there are."""
    with urlopen(f"{system.url}/instruments", timeout=5 * SCALE) as answer:
        listed = json.load(answer)["instruments"]
    return [one["symbol"] for one in listed if not one["synthetic"]]


def add(page: Page, words: str) -> None:
    """Type words and press Enter."""
    page.get_by_label("Pairs by name").fill(words)
    page.keyboard.press("Enter")


@pytest.mark.parametrize("word", ["XRP-USDT", "xrp-*"])
def test_a_pair_is_added_once_the_server_says_so(
    instruments: Callable[..., Page], changing: System, word: str
) -> None:
    """By its name or a pattern: until the answer nothing is shown as done, then its row with its source."""
    changing.change(remove=[GUEST])
    page = instruments()
    expect(row(page, GUEST)).to_have_count(0)
    meanwhile: list[tuple[int, str]] = []

    def answered_late(route: Route) -> None:
        meanwhile.append((row(page, GUEST).count(), page.locator("#changed").inner_text()))
        route.continue_()

    page.route("**/instruments", lambda route: _only_posts(route, answered_late))
    add(page, word)

    expect(page.locator("#changed")).to_have_text(
        "Added 1: xrpusdt. The board shows prices as soon as a source sends them."
    )
    assert meanwhile == [(0, f"Adding {word} …")]
    expect(row(page, GUEST).get_by_role("link")).to_have_text("XRP/USDT")
    expect(row(page, GUEST).locator(".source")).to_have_text("binance", timeout=15_000 * SCALE)
    expect(page.locator("#found")).to_have_text("3 real pairs")
    expect(page.get_by_label("Pairs by name")).to_have_value("")
    assert GUEST in carried(changing)


def _only_posts(route: Route, handle: Callable[[Route], None]) -> None:
    if route.request.method == "POST":
        handle(route)
    else:
        route.continue_()


def test_what_is_typed_while_a_change_is_made_stays(
    instruments: Callable[..., Page], changing: System
) -> None:
    """The field is emptied only of what was sent."""
    changing.change(remove=[GUEST])
    page = instruments()

    def typed_meanwhile(route: Route) -> None:
        page.get_by_label("Pairs by name").fill("top:5-usdt")
        route.continue_()

    page.route("**/instruments", lambda route: _only_posts(route, typed_meanwhile))
    add(page, "XRP-USDT")
    expect(page.locator("#changed[data-kind=done]")).to_have_text(re.compile("^Added 1: xrpusdt"))

    expect(page.get_by_label("Pairs by name")).to_have_value("top:5-usdt")


def test_what_is_there_already_is_no_error(instruments: Callable[..., Page]) -> None:
    """Several words are separated by spaces or commas."""
    page = instruments()
    add(page, "btcusdt, ETH-USDT")

    expect(page.locator("#changed")).to_have_text("All of them were there already.")


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        ("NO-SUCH", 400, "No venue lists NO-SUCH. Write it as the exchanges do, as in SOL-USDT."),
        ("*-zzz", 400, "No venue lists a pair like '*-zzz'. Write it as the exchanges do, as in SOL-USDT."),
        ("top:zero", 400, "'top:zero' is not allowed: write top:20 or top:20-usdt, at most top:5000."),
        ("top:2-usdt", 503, "No venue tells the volumes of its pairs now; try again, or name them."),
        ("<b>x</b>", 400, re.compile("'<b>x</b>' .+")),
    ],
)
def test_what_is_refused_is_said_in_the_servers_words(
    instruments: Callable[..., Page], words: str, status: int, sentence: str | re.Pattern[str]
) -> None:
    """With what to do; the word stays in its field, to be corrected."""
    page = instruments(status)
    add(page, words)
    told = page.locator("#changed[data-kind=refused]")
    if isinstance(sentence, str):
        expect(told).to_have_text(f"Refused, nothing was changed. {sentence}")
    else:
        expect(told).to_have_text(sentence)

    expect(page.get_by_label("Pairs by name")).to_have_value(words)
    expect(page.get_by_label("Pairs by name")).to_be_focused()
    assert page.locator("#changed *").count() == 0  # it is text, whatever it contains
    expect(page.locator("#found")).to_have_text("3 real pairs")


def test_an_example_fills_the_field(instruments: Callable[..., Page]) -> None:
    """It is sent only when somebody does so."""
    page = instruments()
    page.get_by_role("button", name="*-eur").click()

    expect(page.get_by_label("Pairs by name")).to_have_value("*-eur")
    expect(page.get_by_label("Pairs by name")).to_be_focused()
    expect(page.locator("#changed")).to_have_text(re.compile("^Changes apply to all viewers"))


def test_a_pair_is_removed_by_the_keyboard_once_that_is_confirmed(
    instruments: Callable[..., Page], changing: System
) -> None:
    """Escape and Cancel keep it; afterwards the next pair has the focus."""
    page = instruments()
    remove = page.get_by_role("button", name="Remove ETH/USDT")
    sure = page.get_by_role("group", name="Remove it?")
    remove.focus()
    page.keyboard.press("Enter")
    expect(sure).to_contain_text("Remove ETH/USDT for all viewers?")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(sure).to_have_count(0)
    expect(remove).to_be_focused()
    assert "ethusdt" in carried(changing)
    page.keyboard.press("Enter")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")

    expect(page.locator("#changed")).to_have_text("Removed 1: ethusdt.")
    expect(row(page, "ethusdt")).to_have_count(0)
    expect(page.get_by_role("button", name="Remove XRP/USDT")).to_be_focused()
    expect(page.locator("#found")).to_have_text("2 real pairs")
    assert carried(changing) == ["btcusdt", GUEST]


def test_the_last_pair_may_go_and_come_back(instruments: Callable[..., Page]) -> None:
    """Without any pair the page says how to get one."""
    page = instruments()
    for name in ("BTC/USDT", "ETH/USDT", "XRP/USDT"):
        page.get_by_role("button", name=f"Remove {name}").click()
        page.get_by_role("button", name="Yes, remove it").click()
        expect(page.locator("#changed")).to_have_text(f"Removed 1: {name.replace('/', '').lower()}.")
    expect(page.locator("#empty")).to_be_visible()
    add(page, "btcusdt ethusdt xrpusdt")

    expect(page.locator("#empty")).to_be_hidden()
    expect(page.locator("#pairs li")).to_have_count(3)


def test_without_the_token_it_is_asked_for(instruments: Callable[..., Page], changing: System) -> None:
    """A wrong one is called wrong; with the right one the change that was asked for is made."""
    page = instruments(401)
    page.evaluate(_FORGET)
    page.get_by_role("button", name="Remove XRP/USDT").click()
    page.get_by_role("button", name="Yes, remove it").click()
    told = page.locator("#changed")
    expect(told).to_have_text("Refused, nothing was changed. This needs the admin token. Enter it below.")
    expect(page.get_by_label("Admin token")).to_be_focused()
    for wrong in ("a wrong one", "ключ"):
        page.keyboard.type(wrong)
        page.keyboard.press("Enter")
        expect(told).to_have_text(
            "Refused, nothing was changed. This is not the admin token of the server. Enter it below."
        )
        expect(page.get_by_label("Admin token")).to_be_focused()
    expect(row(page, GUEST)).to_have_count(1)
    page.keyboard.type(changing.token)
    page.keyboard.press("Enter")

    expect(told).to_have_text("Removed 1: xrpusdt.")
    expect(page.locator("#token-form")).to_be_hidden()
    expect(row(page, GUEST)).to_have_count(0)


def test_the_engine_is_away(instruments: Callable[..., Page], changing: System) -> None:
    """Whatever was asked for, it is not shown as done; the list goes on by itself afterwards."""
    page = instruments(503)
    pid = changing.freeze("engine")
    try:
        add(page, "SOL-USDT")
        expect(page.locator("#changed[data-kind=refused]")).to_have_text(
            re.compile(r"^The engine .+\. It may have been done: see the list below before you try again\.$"),
            timeout=80_000 * SCALE,
        )
        expect(page.locator("#link-word")).to_have_text("Nothing live", timeout=20_000 * SCALE)
        expect(row(page, "solusdt")).to_have_count(0)
    finally:
        changing.thaw(pid)

    expect(row(page, "btcusdt").locator(".source")).to_have_text("binance", timeout=40_000 * SCALE)
    until(lambda: set(carried(changing)) >= {"btcusdt", "ethusdt", GUEST}, "the pairs of before", 40)
    # It may have reached the engine.
    if "solusdt" in carried(changing):
        changing.change(remove=["solusdt"])


def test_the_server_is_away(instruments: Callable[..., Page]) -> None:
    """It is said, and a second attempt is possible."""
    page = instruments()
    page.route(
        "**/instruments", lambda route: _only_posts(route, lambda each: each.abort("connectionfailed"))
    )
    page.get_by_role("button", name="Remove ETH/USDT").click()
    page.get_by_role("button", name="Yes, remove it").click()

    expect(page.locator("#changed")).to_have_text(
        "The server cannot be reached. It may have been done: see the list below before you try again."
    )
    expect(row(page, "ethusdt")).to_have_count(1)
    page.unroute("**/instruments")
    page.get_by_role("button", name="Remove ETH/USDT").click()
    page.get_by_role("button", name="Yes, remove it").click()
    expect(page.locator("#changed")).to_have_text("Removed 1: ethusdt.")


def test_changes_by_others_are_shown_without_a_reload(
    instruments: Callable[..., Page], changing: System
) -> None:
    """A row that is gone takes its question with it; what was typed stays."""
    page = instruments()
    page.get_by_role("button", name="Remove XRP/USDT").click()
    page.get_by_label("Pairs by name").fill("half a wo")
    changing.change(remove=[GUEST])
    expect(row(page, GUEST)).to_have_count(0)
    expect(page.get_by_role("group", name="Remove it?")).to_have_count(0)
    changing.change(add=[GUEST])

    expect(row(page, GUEST)).to_have_count(1)
    expect(page.get_by_label("Pairs by name")).to_have_value("half a wo")


def test_a_pair_without_a_live_price_says_so(instruments: Callable[..., Page], changing: System) -> None:
    """While no source delivers it."""
    page = instruments()
    for venue in changing.ports:
        changing.fault(venue, "freeze")

    expect(row(page, GUEST).locator(".source")).to_have_text("no live price", timeout=20_000 * SCALE)


def test_a_pair_is_found(instruments: Callable[..., Page]) -> None:
    """In any spelling, and by the name of its coin."""
    page = instruments()
    page.keyboard.press("/")
    page.keyboard.type("ether")
    expect(page.locator("#pairs li:visible")).to_have_count(1)
    expect(page.locator("#found")).to_have_text("1 of 3 real pairs")
    page.get_by_role("button", name="Remove ETH/USDT").click()
    page.get_by_role("button", name="Yes, remove it").click()
    expect(page.locator("#changed")).to_have_text("Removed 1: ethusdt.")
    expect(page.locator("#none")).to_be_visible()
    page.get_by_role("button", name="Show all").click()

    expect(page.locator("#pairs li:visible")).to_have_count(2)


def test_an_added_pair_is_found_by_its_coin(instruments: Callable[..., Page], changing: System) -> None:
    """As those are that the page came with."""
    changing.change(remove=[GUEST])
    page = instruments()
    changing.change(add=[GUEST])
    expect(row(page, GUEST)).to_have_count(1)
    page.keyboard.press("/")
    page.keyboard.type("ripple")

    expect(page.locator("#pairs li:visible")).to_have_count(1)
    expect(row(page, GUEST)).to_be_visible()


def test_synthetic_instruments_are_not_offered(instruments: Callable[..., Page]) -> None:
    """They cannot be removed, which the page says."""
    page = instruments()

    expect(page.locator("#pairs li")).to_have_count(3)
    expect(page.locator("#others")).to_have_text(re.compile("^The 103 synthetic instruments "))


@pytest.mark.parametrize("size", PHONES, ids=["360", "390"])
def test_it_fits_a_phone_and_what_was_said_stays_in_sight(
    instruments: Callable[..., Page], size: dict[str, int]
) -> None:
    """Nothing is wider than the page, with the question and the form for the token neither."""
    page = instruments(401, viewport=size)
    page.evaluate(_FORGET)
    add(page, "A" * 300)
    expect(page.get_by_label("Admin token")).to_be_focused()
    page.get_by_role("button", name="Remove XRP/USDT").click()
    expect(page.get_by_role("button", name="Yes, remove it")).to_be_in_viewport()

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    expect(page.locator("#changed")).to_be_in_viewport()
    page.evaluate("scrollTo(0, document.documentElement.scrollHeight)")
    expect(page.locator("#changed")).to_be_in_viewport()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(instruments: Callable[..., Page], scheme: str) -> None:
    """Every text has the contrast of WCAG AA, with a refusal, the form and the question, too."""
    page = instruments(401, color_scheme=scheme)
    assert {text: found for text, found in contrasts(page).items() if found < 4.5} == {}
    page.evaluate(_FORGET)
    add(page, "SOL-USDT")
    expect(page.get_by_label("Admin token")).to_be_visible()
    page.get_by_role("button", name="Remove XRP/USDT").click()

    assert {text: found for text, found in contrasts(page).items() if found < 4.5} == {}


def test_the_board_and_every_footer_lead_there(visit: Visit) -> None:
    """Beside the choice of columns; the page is quiet for a screen reader while prices move."""
    page = visit("/").page
    page.get_by_role("link", name="Instruments…").click()
    expect(page).to_have_url(re.compile("/instruments$"))
    expect(page.get_by_role("heading", level=1)).to_have_text("Instruments")
    expect(page.locator("#announce")).to_have_text("Prices are live.")
    assert page.evaluate(CHATTER) == 0
    page.get_by_role("link", name="Status").click()
    page.get_by_role("contentinfo").get_by_role("link", name="Instruments").click()

    expect(page).to_have_url(re.compile("/instruments$"))
