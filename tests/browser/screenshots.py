"""Take the pictures in `screenshots/`, on purpose: `python -m tests.browser.screenshots [NAME…]`."""

from __future__ import annotations

import logging
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import expect

from tests.browser.chromium import Visitor, chromium
from tests.browser.system import ROOT, System

log = logging.getLogger(__name__)

DESKTOP = {"width": 1440, "height": 900}
TALL = {"width": 1440, "height": 1000}
PHONE = {"width": 390, "height": 844}
# Enough for an index; their prices lie a little apart, in bps.
VENUES = {"binance": "0", "okx": "-0.4", "kraken": "0.9", "bybit": "0.3", "coinbase": "-0.9"}
NARROW = {"width": 360, "height": 780}
# File name, path, theme, size, pinned source.
PICTURES = [
    ("board-light", "/", "light", DESKTOP, "auto"),
    ("board-dark", "/", "dark", DESKTOP, "auto"),
    ("board-phone", "/", "light", PHONE, "auto"),
    ("board-venues", "/?view=venues", "dark", DESKTOP, "auto"),
    ("instrument-light", "/btcusdt?interval=5s&type=line", "light", TALL, "auto"),
    ("instrument-dark", "/btcusdt?interval=1s&type=candles", "dark", TALL, "auto"),
    ("instrument-phone", "/btcusdt?interval=5s&type=candles", "dark", PHONE, "auto"),
    ("instrument-index", "/btcusdt?interval=1s&type=line&of=index", "light", TALL, "auto"),
    ("instrument-synthetic", "/ticker_00", "light", TALL, "auto"),
    ("ladder-light", "/btcusdt#ladder", "light", DESKTOP, "auto"),
    ("ladder-dark", "/btcusdt#ladder", "dark", DESKTOP, "auto"),
    ("ladder-phone", "/btcusdt#ladder", "dark", PHONE, "auto"),
    ("orders-light", "/orders?instrument=eurrub", "light", TALL, "auto"),
    ("orders-dark", "/orders?instrument=btcusdt", "dark", TALL, "auto"),
    ("orders-phone", "/orders?instrument=eurrub", "light", PHONE, "auto"),
    ("markets-light", "/markets", "light", DESKTOP, "auto"),
    ("markets-dark", "/markets", "dark", DESKTOP, "auto"),
    ("markets-phone", "/markets", "dark", PHONE, "auto"),
    ("instruments-light", "/instruments", "light", DESKTOP, "auto"),
    ("instruments-dark", "/instruments", "dark", DESKTOP, "auto"),
    ("instruments-phone", "/instruments", "dark", PHONE, "auto"),
    ("status", "/status", "light", TALL, "auto"),
    ("instrument-stale", "/btcusdt?interval=1s&type=candles", "light", TALL, "synthetic"),
    ("board-narrow", "/", "dark", NARROW, "auto"),
    ("instrument-narrow", "/btcusdt?interval=1m&type=candles", "light", NARROW, "auto"),
    ("orders-narrow", "/orders?instrument=btcusdt", "light", NARROW, "auto"),
    ("status-phone", "/status", "dark", PHONE, "auto"),
    ("board-stale", "/", "light", DESKTOP, "synthetic"),
]
# Some orders of each kind for the page's account, and one in the ticket.
ORDERS = """() => new Promise((done) => {
    const account = document.getElementById('account').value;
    const socket = new WebSocket(`${origin.replace('http', 'ws')}/ws?mode=extended&client_id=${account}`);
    const ticket = (instrument, side, amount, price, more) =>
        ({ instrument, side, amount, ...(price ? { price } : { type: 'market' }), ...more });
    const tickets = [
        ticket('eurrub', 1, '10'), ticket('eurrub', 2, '4'), ticket('btcusdt', 1, '0.25'),
        ticket('ethusdt', 1, '1.5'),
        ticket('eurrub', 1, '150000', '95', { time_in_force: 'ioc' }), ticket('usdrub', 2, '250'),
        ticket('eurrub', 1, '10', '86.5'), ticket('btcusdt', 2, '0.1', '75000'),
        ticket('eurusd', 2, '1000', '1.4'),
        ticket('ethusdt', 1, '2', '1500', { time_in_force: 'fok' }), ticket('eurrub', 1, '5', '85'),
    ];
    let cancelled = false;
    socket.onopen = () => {
        for (const message of tickets) socket.send(JSON.stringify({ messageType: 3, message }));
        setTimeout(done, 2000);
    };
    socket.onmessage = ({ data }) => {
        const { message } = JSON.parse(data);
        if (cancelled || message.price !== '85') return;
        cancelled = true;
        socket.send(JSON.stringify({ messageType: 4, message: { order_id: message.order_id } }));
    };
    document.getElementById('amount').value = '12.5';
})"""
# Bars worth looking at, and a gap among them: for this long a pin keeps the venues from serving.
BARS_S = 120
GAP_S = 8
# Long enough for a list of changes worth looking at.
SETTLE_MS = 12_000


def main() -> None:
    """Start the system on fake venues and take every picture, or those that are named."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = ROOT / "screenshots"
    folder.mkdir(exist_ok=True)
    what = ("--sources", ",".join((*VENUES, "synthetic")), "--standby", "all")
    named = sys.argv[1:]
    with (
        tempfile.TemporaryDirectory() as data,
        System(Path(data), *what, venues=tuple(VENUES), near=tuple(VENUES.values())) as system,
        chromium() as browser,
    ):
        log.info("waiting %d s for bars", BARS_S)
        time.sleep(BARS_S - 20)
        system.pin("synthetic")
        time.sleep(GAP_S)
        system.pin("auto")
        time.sleep(20 - GAP_S)
        for name, path, theme, size, source in PICTURES:
            if named and name not in named:
                continue
            system.pin("auto")
            visitor = Visitor(browser, system.url, viewport=size, color_scheme=theme)
            visitor.page.goto(path)
            expect(visitor.page.locator("#link")).to_have_attribute("data-link", "live")
            if path.startswith("/orders"):
                visitor.page.evaluate(ORDERS)
            visitor.page.wait_for_timeout(SETTLE_MS)
            if source != "auto":
                system.pin(source)
                expect(visitor.page.locator("#banner")).to_be_visible()
                visitor.page.wait_for_timeout(2_000)
                visitor.page.evaluate("scrollTo(0, 0)")
            visitor.page.screenshot(path=folder / f"{name}.png")
            visitor.close()
            log.info("screenshots/%s.png", name)


if __name__ == "__main__":
    main()
