"""Locust's HTML report as pictures, taken by a real browser."""

from __future__ import annotations

import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

_WIDE = {"width": 1280, "height": 900}
_DRAWN_MS = 1500  # the charts are animated


def shoot(report: Path, folder: Path) -> None:
    """Write `loadtest-report.png`, the whole report with its tables and charts, into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport=_WIDE)  # type: ignore[arg-type]
        page.goto(report.resolve().as_uri())
        page.wait_for_selector("canvas, svg")
        page.wait_for_timeout(_DRAWN_MS)
        path = folder / "loadtest-report.png"
        page.screenshot(path=path, full_page=True)
        browser.close()
    print(f"written: {path}")
