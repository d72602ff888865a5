"""Behind a real nginx: on another port, under a path that it cuts off, under one that it hands on."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import httpx
import pytest
import socketio

from crypto_stream.client import Client
from tests.process.nginx import UPGRADING, located, nginx
from tests.process.programs import ROOT, address, program
from tests.waiting import DEADLINE_S, SCALE

pytestmark = pytest.mark.timeout(180 * SCALE)
# Where the pages are, what nginx hands on, and what the program is told.
PLACES = {
    "at the root": ("/", "", []),
    "cut off": ("/crypto/", "/", []),
    "cut off, and told": ("/crypto/", "/", ["--root-path", "/crypto"]),
    "handed on": ("/crypto/", "", ["--root-path", "/crypto/"]),
    "deep": ("/a/b.c/crypto/", "/", []),
}
PAGES = ("", "ticker_00", "orders", "status", "docs", "nothing", "nothing/at/all", "courses/nothing")


@pytest.mark.parametrize("server", ["eventlet", "gevent"])
@pytest.mark.parametrize("place", PLACES)
async def test_all_is_found_behind_nginx(
    tmp_path: Path, require_program: Callable[[str], str], place: str, server: str
) -> None:
    """Every link and file of every page, redirects, events and orders, wherever the pages are served."""
    at, handed_on, options = PLACES[place]
    own = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--log-file", str(tmp_path / "app.log")]
    run = ["-m", "crypto_stream", "run", "--sources", "synthetic", "--server", server, *own, *options]
    with program(run, tmp_path) as running:
        gateway = await address(running)
        with nginx(require_program("nginx"), located(at, f"{gateway}{handed_on}"), UPGRADING) as outside:
            base = outside.url + at
            async with httpx.AsyncClient(base_url=base, timeout=DEADLINE_S) as http:
                (await http.get("courses")).raise_for_status()  # the pages list what the engine told
                await _crawl(http, base)
                await _redirected(http, base)
            await _viewed(outside.url, at)
            client = Client(base)
            assert client.course("ticker_00").symbol == "ticker_00"
            assert next(view for view in client.watch(["ticker_00"]) if view.quotes).connected
            page = {"Origin": outside.url}
            asked = httpx.Request("GET", f"{base}connect", params={"origin": outside.url}, headers=page)
            async with httpx.AsyncClient() as http:
                assert (await http.send(asked)).status_code == 200


async def _crawl(http: httpx.AsyncClient, base: str) -> None:
    seen: dict[str, int] = {}
    for path in PAGES:
        page = await http.get(base + path, headers={"Accept": "text/html"})
        for link in re.findall(r'(?:href|src)="([^"#][^"]*)"', page.text):
            target = urljoin(base + path, link)
            assert target.startswith(base), (path, link)
            if target not in seen:
                seen[target] = (await http.get(target)).status_code
    modules = [target for target in seen if target.endswith(".js")]
    for module in modules:
        text = (await http.get(module)).text
        for name in re.findall(r"from '([^']+)'", text):
            target = urljoin(module, name)
            if target not in seen:
                seen[target] = (await http.get(target)).status_code
                modules.append(target)

    assert {target: status for target, status in seen.items() if status != 200} == {}
    assert len(seen) > 60


async def _redirected(http: httpx.AsyncClient, base: str) -> None:
    places = {
        "TICKER-00": "ticker_00",
        "ticker/00": "ticker_00",
        "TICKER_00?x=1": "ticker_00?x=1",
        "docs/": "docs",
        "status/?y": "status?y",
    }
    for path, page in places.items():
        answer = await http.get(base + path, headers={"Accept": "text/html"})
        assert (answer.status_code, urljoin(base + path, answer.headers["Location"])) == (308, base + page)
    bare = await http.get(base.rstrip("/"))
    while bare.is_redirect:
        target = urljoin(str(bare.request.url), bare.headers["Location"])
        bare = await http.get(base if urlsplit(target).path == urlsplit(base).path else target)
    assert bare.status_code == 200


async def _viewed(url: str, at: str) -> None:
    """A viewer with a page's own address polls first, upgrades, and gets quotes."""
    async with socketio.AsyncSimpleClient() as viewer:
        await viewer.connect(url, headers={"Origin": url}, socketio_path=f"{at}socket.io")
        answer = await viewer.call("subscribe", {"symbols": ["ticker_00"]}, timeout=DEADLINE_S)
        events: set[str] = set()
        while "quotes" not in events:
            events.add((await viewer.receive(timeout=DEADLINE_S))[0])

    assert answer["ok"] is True


def test_the_documented_block_limits_each_address(require_program: Callable[[str], str]) -> None:
    """The block of the document works as it stands; beyond a page's burst one address gets 429."""
    document = (ROOT / "docs" / "operations.md").read_text()
    block = document.split("```nginx\n")[1].split("```")[0].replace("127.0.0.1:8000", "127.0.0.1:1")
    outside, server = block.split("server {\n")
    inside = server.split("server_name stream.example.org;")[1].rstrip().removesuffix("}")
    asked = 600
    with nginx(require_program("nginx"), inside, outside) as proxy:
        where = urlsplit(proxy.url)
        with socket.create_connection((where.hostname, where.port), DEADLINE_S) as client:
            request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
            last = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
            client.sendall(request * (asked - 1) + last)
            answer = b"".join(iter(lambda: client.recv(65_536), b""))

    statuses = [int(status) for status in re.findall(rb"HTTP/1.1 (\d+)", answer)]
    assert set(statuses) == {502, 429}  # nobody listens behind it
    assert statuses[:150] == [502] * 150
    assert len(statuses) == asked
