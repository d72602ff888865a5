"""One time zone per page, named, chosen in one place."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Visitor
from tests.browser.system import until

pytestmark = pytest.mark.browser

# Half an hour off the full hour, and never on summer time.
KOLKATA = {"timezone_id": "Asia/Kolkata"}


def minutes(text: str) -> int:
    """Read the minute of the day out of a text that has a time in it."""
    hour, minute = re.search(r"(\d\d):(\d\d):\d\d", text).groups()  # type: ignore[union-attr]
    return int(hour) * 60 + int(minute)


def off(text: str) -> int:
    """Tell by how many minutes a time differs from now in UTC, to a quarter of an hour."""
    now = datetime.now(UTC)
    return round((minutes(text) - now.hour * 60 - now.minute) / 15) * 15 % 1440


def times(page: Page) -> list[int]:
    """Read every kind of time that the instrument's page shows, each against now in UTC."""
    for place in ("#received", "#changes time", "#bar-time"):
        until(lambda place=place: ":" in page.locator(place).first.inner_text(), place)  # type: ignore[misc]
    return [off(page.locator(one).first.inner_text()) for one in ("#received", "#changes time", "#bar-time")]


def test_all_times_of_a_page_are_of_the_zone_that_it_names(live: Callable[..., Page]) -> None:
    """UTC at first wherever the viewer is; one click in the footer makes all of them the viewer's own."""
    page = live("/ticker_00", **KOLKATA)
    assert set(times(page)) == {0}
    assert set(page.locator("[data-zone]").all_inner_texts()) == {"UTC"}
    expect(page.locator("#bar-time")).to_contain_text("UTC")
    page.get_by_role("contentinfo").get_by_role("button").click()
    expect(page.locator("[data-zone]").first).to_have_text("UTC+5:30")

    assert set(times(page)) == {330}
    assert set(page.locator("[data-zone]").all_inner_texts()) == {"UTC+5:30"}
    expect(page.locator("#bar-time")).to_contain_text("UTC+5:30")


def test_the_choice_holds_on_the_other_pages(visit: Callable[..., Visitor]) -> None:
    """The timeline of /status has the zone that was chosen on another page."""
    page = visit("/", **KOLKATA).page
    page.get_by_role("contentinfo").get_by_role("button").click()
    expect(page.locator("[data-zone]")).to_have_text("UTC+5:30")
    page.goto("/status")

    expect(page.locator("#switches-since")).to_contain_text("UTC+5:30")
    assert off(page.locator("#switches time").first.inner_text()) == 330
