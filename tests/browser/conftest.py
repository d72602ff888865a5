"""The running system and the browser, shared by all tests here; a fresh visitor for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.chromium import Visitor, chromium
from tests.browser.system import System, until
from tests.waiting import SCALE


@pytest.fixture(scope="session")
def browser(require_program: Callable[[str], str]) -> Iterator[Browser]:
    """Run Chromium."""
    require_program("chromium")
    expect.set_options(timeout=15_000 * SCALE)
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """Run the system on two fake venues; with a short failback delay."""
    with System(tmp_path_factory.mktemp("system"), "--failback-after", "1", "--stale-after", "2") as running:
        yield running


@pytest.fixture
def healed(system: System) -> Iterator[System]:
    """Reset faults and pins after each test."""
    yield system
    for venue in system.ports:
        system.fault(venue, "none")
    system.pin("auto")


@pytest.fixture
def visit(browser: Browser, healed: System) -> Iterator[Callable[..., Visitor]]:
    """Return a function that opens a path; fail at the end if the browser reported an error."""
    visitors: list[Visitor] = []

    def open_path(path: str, *, status: int = 200, script: str = "", **context: Any) -> Visitor:
        visitor = Visitor(browser, healed.url, **context)
        visitors.append(visitor)
        visitor.page.set_default_timeout(15_000 * SCALE)
        visitor.page.add_init_script(f"sessionStorage.setItem('admin-token', '{healed.token}')")
        if script:
            visitor.page.add_init_script(script)
        visitor.expect(status)
        answer = visitor.page.goto(path)
        assert answer
        assert answer.status == status
        return visitor

    yield open_path
    for visitor in visitors:
        visitor.close()


@pytest.fixture
def live(visit: Callable[..., Visitor]) -> Callable[..., Page]:
    """Return a function that opens a path and waits until its prices are live."""

    def open_live(path: str, **context: Any) -> Page:
        page = visit(path, **context).page
        expect(page.locator("#link")).to_have_attribute("data-link", "live")
        fresh = ":not([data-stale])"
        price = (
            f"main[data-symbol]{fresh} #price, tr[data-symbol=btcusdt]{fresh} .price .value, "
            f"#ticket{fresh} #ask"
        )
        page.wait_for_selector(price)
        until(lambda: page.locator(price).first.inner_text() != "—", "a live price")
        return page

    return open_live
