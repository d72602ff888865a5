"""The pages on the other green server: one walk through all of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import Visitor
from tests.browser.system import System, until

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run the system on gevent."""
    folder = tmp_path_factory.mktemp("gevent")
    with System(folder, "--server", "gevent", "--failback-after", "1", "--stale-after", "2") as running:
        yield running


def test_every_page_lives_on_gevent(browser: Browser, other: System) -> None:
    """The board moves, the chart draws, a pin makes a pair stale with its reason, and all comes back."""
    visitor = Visitor(browser, other.url)
    page = visitor.page
    page.goto("/")
    price = page.locator("tr[data-symbol=btcusdt]:not([data-stale]) .price .value")
    first = price.inner_text()
    until(lambda: price.inner_text() != first, "a change on the board")

    page.goto("/ticker_00?interval=1s")
    expect(page.locator(".plot canvas").first).to_be_visible()
    until(lambda: "bars of 1s" in page.locator("main").inner_text(), "bars in the chart")

    page.goto("/btcusdt")
    expect(page.locator("#link")).to_have_attribute("data-link", "live")
    other.pin("synthetic")
    expect(page.locator("#banner")).to_contain_text("not carried by the pinned source")
    other.pin("auto")
    expect(page.locator("#banner")).to_be_hidden()

    page.goto("/status")
    expect(page.locator("main")).to_contain_text("not carried by the pinned source")
    visitor.close()
    assert visitor.complaints == []
