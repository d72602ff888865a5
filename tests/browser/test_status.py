"""The status page, and pinning a source on it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

import crypto_stream
from tests.browser.chromium import Visitor
from tests.browser.contrast import contrasts
from tests.browser.system import System, until
from tests.waiting import SCALE

pytestmark = pytest.mark.browser

Visit = Callable[..., Visitor]
SWITCHES_WITHIN = 15_000 * SCALE


@pytest.fixture
def status(visit: Visit) -> Callable[..., Page]:
    """Return a function that opens the page and waits until all is well."""

    def open_status(**context: Any) -> Page:
        page = visit("/status", **context).page
        expect(page.locator("#verdict")).to_have_text(
            "All is well: every source is live.", timeout=30_000 * SCALE
        )
        expect(page.locator("#gateways th")).to_have_count(1)
        return page

    return open_status


def test_every_source_has_its_card(status: Callable[..., Page]) -> None:
    """State, what it serves, age, frames and address of each source; the figures go on."""
    page = status()
    cards = page.locator(".source")

    expect(cards.locator("h3")).to_have_text(["binance", "okx", "synthetic"])
    expect(cards.locator(".state")).to_have_text(["live"] * 3)
    expect(page.locator("[data-source=binance] .figures")).to_contain_text("3 of 3")
    expect(page.locator("[data-source=binance] code")).to_contain_text("ws://127.0.0.1")
    expect(page.locator("[data-source=synthetic] dd").nth(4)).to_have_text("—")  # it receives none
    frames = page.locator("[data-source=binance] dd").nth(4)
    before = int(frames.inner_text().replace(",", ""))
    until(lambda: int(frames.inner_text().replace(",", "")) > before, "more frames")
    expect(page.locator("[data-source=binance] dd").nth(5)).to_have_text(re.compile(r"^[1-9]\d*$"))


def test_a_failover_is_in_the_timeline(status: Callable[..., Page], system: System) -> None:
    """A venue that falls silent is named with its state; the switch is noted on top, with its reason."""
    page = status()
    system.fault("binance", "freeze")

    away, back = (  # on a busy machine one pair may fall silent a moment before the others
        page.locator("#switches li", has_text=way).filter(has_text="btcusdt").first
        for way in ("binance → okx", "okx → binance")
    )
    expect(away).to_be_visible(timeout=SWITCHES_WITHIN)
    assert len(away.locator(".reason").inner_text()) > 5
    expect(page.locator("#verdict")).to_have_text(re.compile("binance is "))
    system.fault("binance", "none")
    expect(back).to_be_visible(timeout=30_000 * SCALE)
    expect(back).to_contain_text(" s ago")
    expect(page.locator("#switches li").first).to_contain_text("→ binance")


def test_what_happened_before_the_page_was_opened_is_there(visit: Visit, system: System) -> None:
    """A page opened later shows earlier events, and a reload loses none."""
    system.pin("okx")
    page = visit("/status").page

    newest = page.locator("#switches li").first
    expect(newest).to_contain_text("→ okx", timeout=SWITCHES_WITHIN)
    said = newest.locator(".reason").inner_text()
    page.reload()

    expect(newest.locator(".reason")).to_have_text(said)
    expect(page.locator("#switches-since")).to_contain_text("Newest first, since ")


def test_pin_and_unpin(status: Callable[..., Page]) -> None:
    """A button pins a source once that is confirmed; card and first line say so; Automatic undoes it."""
    page = status()

    page.get_by_role("button", name="okx").click()
    expect(page.locator("#sure-what")).to_have_text("Serve only okx to all viewers, even if it fails?")
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#sure")).to_be_hidden()
    expect(page.get_by_role("button", name="Automatic")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="okx").click()
    page.get_by_role("button", name="Yes, pin it").click()
    expect(page.get_by_role("button", name="okx")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("[data-source=okx] .pinned")).to_be_visible()
    expect(page.locator("#verdict")).to_contain_text("okx is pinned")
    expect(page.locator("[data-source=okx] .figures")).to_contain_text("3 of 3")
    page.get_by_role("button", name="Automatic").click()

    expect(page.locator("#verdict")).to_have_text("All is well: every source is live.")
    expect(page.get_by_role("button", name="Automatic")).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".pinned:visible")).to_have_count(0)


def test_only_sources_with_real_pairs_can_be_pinned(status: Callable[..., Page]) -> None:
    """The synthetic source is not offered: pinned, it would leave every real pair without a price."""
    page = status()

    expect(page.locator("#switch button")).to_have_text(["Automatic", "binance", "okx"])


@pytest.mark.parametrize(
    "path", ["/", "/?view=venues", "/btcusdt", "/instruments", "/markets", "/ticker_00", "/orders", "/status"]
)
def test_a_pin_is_seen_on_every_page(visit: Visit, system: System, path: str) -> None:
    """A badge names the pinned source and links to /status, the only page that pins."""
    page = visit(path).page
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    expect(page.locator("#pinned")).to_be_hidden()
    system.pin("okx")
    expect(page.locator("#pinned")).to_have_text("Pinned: okx")
    assert page.locator("#pinned").get_attribute("href").endswith("status")  # type: ignore[union-attr]
    assert page.locator("#switch").count() == (path == "/status")
    system.pin("auto")

    expect(page.locator("#pinned")).to_be_hidden()


def test_restarts_are_in_the_timeline(status: Callable[..., Page], system: System) -> None:
    """An engine's restart is listed, and the switches before it are kept."""
    page = status()
    restarts = page.locator("#switches li", has_text="Engine restarted")
    before, restarts_before = page.locator("#switches li").count(), restarts.count()
    system.kill("engine")

    expect(restarts).to_have_count(restarts_before + 1, timeout=30_000 * SCALE)
    expect(page.locator("#verdict")).to_contain_text("All is well", timeout=40_000 * SCALE)
    assert page.locator("#switches li").count() > before
    expect(page.locator("#switches li").last).to_contain_text("Engine started")


def test_pin_of_another_is_seen(status: Callable[..., Page], system: System) -> None:
    """A pin set by somebody else is shown by the buttons too."""
    page = status()
    system.pin("okx")

    expect(page.get_by_role("button", name="okx")).to_have_attribute("aria-pressed", "true")


def test_viewers_versions_and_history(status: Callable[..., Page], visit: Visit) -> None:
    """Each gateway's viewers, the version, the engine and whether history is stored."""
    page = status()

    assert int(page.locator("#gateways td").first.inner_text()) >= 1
    expect(page.locator("#version")).to_have_text(crypto_stream.__version__)
    expect(page.locator("#page-version")).to_have_text(crypto_stream.__version__)
    expect(page.locator("#engine")).to_have_text("reachable")
    expect(page.locator("#quotes")).to_have_text("106 of 106")
    expect(page.locator("#history")).to_have_text("being stored")


def test_two_gateways_are_told_apart(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With two workers each has its row."""
    with System(tmp_path_factory.mktemp("two"), "--workers", "2") as two:
        visitor = Visitor(browser, two.url)
        visitor.page.goto("/status")
        rows = visitor.page.locator("#gateways tr")

        expect(rows).to_have_count(2, timeout=30_000 * SCALE)
        assert len(set(rows.locator("th").all_inner_texts())) == 2
        visitor.close()


def test_engine_away(visit: Visit, system: System) -> None:
    """While the engine hangs the page says what does not work, and recovers by itself."""
    visitor = visit("/status")
    visitor.expect(503)
    page = visitor.page
    expect(page.locator("#verdict")).to_contain_text("All is well")
    pid = system.freeze("engine")
    try:
        expect(page.locator("#link-word")).to_have_text("Nothing live", timeout=20_000 * SCALE)
        expect(page.locator("#banner")).to_be_visible()
        expect(page.locator("#engine")).to_have_text("not reachable", timeout=500 * SCALE)
        for figure in ("lag", "quotes", "seq", "history"):
            expect(page.locator(f"#{figure}")).to_have_text("—")
        expect(page.locator("[data-source=binance] dd")).to_have_text(["—"] * 8)
        expect(page.locator("#verdict")).to_have_text("The engine cannot be reached.")
    finally:
        system.thaw(pid)

    expect(page.locator("#verdict")).to_contain_text("All is well", timeout=40_000 * SCALE)


def test_a_hidden_tab_asks_for_nothing(status: Callable[..., Page]) -> None:
    """A hidden tab sends no requests; once visible again it shows the newest state immediately."""
    page = status()
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => window.away, configurable: true })")
    asked: list[str] = []
    page.evaluate("window.away = true")
    page.wait_for_load_state("networkidle")
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(5_000)  # not for something to happen: nothing may
    while_away = list(asked)
    page.evaluate("window.away = false; dispatchEvent(new Event('visibilitychange'))")

    until(lambda: any(url.endswith("/sources") for url in asked), "a look at the sources")
    assert while_away == []


def test_links_to_the_page(visit: Visit) -> None:
    """The footer of every page and the board's source badges link to it."""
    page = visit("/").page
    page.locator("#sources a").first.click()
    page.wait_for_url("**/status")
    page.get_by_role("link", name="API").click()
    page.get_by_role("contentinfo").get_by_role("link", name="Status").click()

    page.wait_for_url("**/status")


def test_it_does_not_chatter(status: Callable[..., Page]) -> None:
    """While nothing happens no live region changes."""
    page = status()
    expect(page.locator("#announce")).to_have_text("All is well: every source is live.")
    script = """() => new Promise((done) => {
        let said = 0;
        const watch = new MutationObserver(() => (said += 1));
        for (const region of document.querySelectorAll('[role=status], [aria-live]'))
            watch.observe(region, { subtree: true, childList: true, characterData: true });
        setTimeout(() => done(said), 5000);
    })"""

    assert page.evaluate(script) == 0


@pytest.mark.parametrize("width", [360, 390, 1024, 3840])
def test_it_fits(status: Callable[..., Page], width: int) -> None:
    """No width from a phone's to 4K needs scrolling sideways."""
    page = status(viewport={"width": width, "height": 800})

    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast(status: Callable[..., Page], system: System, scheme: str) -> None:
    """Every text has the contrast of WCAG AA, also while something is wrong."""
    page = status(color_scheme=scheme)
    system.pin("okx")
    expect(page.locator(".pinned:visible")).to_have_count(2)  # at the headline and on the source's card

    assert {text: found for text, found in contrasts(page).items() if found < 4.5} == {}


@pytest.mark.parametrize("width", [360, 500, 768, 900, 1280, 1440])
def test_room_is_kept_for_the_sources(visit: Callable[..., Visitor], width: int) -> None:
    """Loading the cards hardly moves anything; the engine's id is on one line."""
    script = """document.addEventListener('DOMContentLoaded', () => {
        window.room = document.getElementById('sources').offsetHeight;
    });"""
    page = visit("/status", script=script, viewport={"width": width, "height": 900}).page
    expect(page.locator("#sources .source")).to_have_count(3)
    expect(page.locator("#epoch")).not_to_have_text("—")

    assert abs(page.evaluate("document.getElementById('sources').offsetHeight - window.room")) < 60
    assert page.locator("#epoch").evaluate("one => one.getClientRects().length") == 1
