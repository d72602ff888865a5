"""Debian's Chromium under Playwright, and pages that record every error of the browser."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, ConsoleMessage, Page, sync_playwright

# Without the background-networking ones Chromium looks up hosts of its own.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A lost connection is what some tests are about; Chromium notes each attempt to come back.
_EXPECTED = re.compile(r"WebSocket connection to .* failed|net::ERR_(CONNECTION|INTERNET|NETWORK)")
# A gateway that has not met its engine yet says so with 503; the page asks again.
_ASKED_AGAIN = re.compile(r"/(history|readyz|venues)\b")

# Counts what a screen reader is told in three seconds.
CHATTER = """() => new Promise((done) => {
    let said = 0;
    const watch = new MutationObserver(() => (said += 1));
    for (const region of document.querySelectorAll('[role=status], [aria-live]'))
        watch.observe(region, { subtree: true, childList: true, characterData: true });
    setTimeout(() => done(said), 3000);
})"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Run the machine's Chromium."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


class Visitor:
    """One page in its own browser profile, and the errors of the browser."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        """Open an empty page for the site at `url`; `context` are Playwright's context options."""
        self.complaints: list[str] = []
        self._status = "status of 200 "
        self.context = browser.new_context(**{"base_url": url, **context})
        self.page: Page = self.context.new_page()
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(f"page error: {error}"))

    def expect(self, status: int) -> None:
        """Expect a response with this HTTP status, which is not reported as an error."""
        self._status = f"status of {status} "

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type not in ("error", "warning") or _EXPECTED.search(message.text):
            return
        if "status of 503 " in message.text and _ASKED_AGAIN.search(message.location.get("url", "")):
            return
        if self._status not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    def close(self) -> None:
        """Close the page; fail if the browser reported errors."""
        self.context.close()
        assert self.complaints == []
