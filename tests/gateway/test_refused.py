"""Which pages and clients are refused, with a reason and counted, and which are fully accepted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from tests.gateway.engine import Engine
from tests.gateway.process import ADMIN, Gateway, running
from tests.gateway.raw import handshake, raw

FRIEND = "https://friend.example"
STRANGER = "https://stranger.example"
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["eventlet", "gevent"])
async def gateway(bus: Path, engine: Engine, request: pytest.FixtureRequest) -> AsyncIterator[Gateway]:
    """Run a gateway that lists one other origin."""
    async with running(bus, server=request.param, origins=[FRIEND], max_viewers=1) as gateway:
        await gateway.ready()
        yield gateway


async def _counted(gateway: Gateway, reason: str) -> float:
    name = f'crypto_stream_refused_connections_total{{reason="{reason}"}} '
    text = (await gateway.http.get("/metrics")).text
    return sum(float(line.removeprefix(name)) for line in text.splitlines() if line.startswith(name))


@pytest.mark.parametrize("path", ["/socket.io/?EIO=4&transport=websocket", "/ws"])
async def test_a_page_behind_a_proxy_that_changes_the_host_can_learn_why(gateway: Gateway, path: str) -> None:
    """The handshake fails as usual; /connect says what is refused and which setting to change."""
    page = "https://stream.example.org:8443"
    before = await _counted(gateway, "origin_not_allowed")
    async with raw(gateway.url) as client:
        await client.send(handshake(path, Host="stream.example.org", Origin=page))
        status = int((await client.head()).split()[1])
    why = await gateway.http.get(f"/connect?origin={page}", headers={"Host": "stream.example.org"})
    proxied = {"Host": "stream.example.org:8443", "X-Forwarded-For": "192.0.2.1"}
    well = await gateway.http.get(f"/connect?origin={page}", headers=proxied)

    assert status in {400, 403}
    assert (why.status_code, why.json()["code"]) == (403, "origin_not_allowed")
    for word in (page, "'stream.example.org'", "$http_host", "origins"):
        assert word in why.json()["detail"]
    assert well.status_code == 200
    assert await _counted(gateway, "origin_not_allowed") == before + 1


@pytest.mark.parametrize(
    "query", ["EIO=3&transport=polling", "transport=polling", "EIO=3&transport=websocket"]
)
async def test_an_old_client_is_refused_and_counted(gateway: Gateway, query: str) -> None:
    """Engine.IO 3 cannot work; the response says which clients do."""
    before = await _counted(gateway, "old_client")
    answer = await gateway.http.get(f"/socket.io/?{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "old_client")
    assert "socket.io-client 3 and 4" in answer.json()["detail"]
    assert await _counted(gateway, "old_client") == before + 1


@pytest.mark.parametrize("query", ["", "&sid=x", "&transport=websocket"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_polling_by_script_is_refused(gateway: Gateway, method: str, query: str) -> None:
    """It has no Origin, and any page can read a script."""
    before = await _counted(gateway, "jsonp_not_served")
    answer = await gateway.http.request(method, f"/socket.io/?EIO=4&transport=polling&j=0{query}")

    assert (answer.status_code, answer.json()["code"]) == (400, "jsonp_not_served")
    assert "JSONP" in answer.json()["detail"]
    assert await _counted(gateway, "jsonp_not_served") == before + 1


@pytest.mark.parametrize(
    ("path", "method", "headers"),
    [
        ("/courses", "GET", "if-none-match"),
        ("/courses/btcusdt", "HEAD", "accept, if-none-match"),
        ("/history/btcusdt?interval=1s", "GET", "authorization"),
        ("/sources/active", "POST", "authorization,content-type"),
        ("/nothing/here", "GET", "cache-control"),
    ],
)
async def test_a_preflight_of_a_listed_origin_succeeds(
    gateway: Gateway, path: str, method: str, headers: str
) -> None:
    """With everything the API accepts, credentials included; others get nothing that lets them read."""
    asked = {"Access-Control-Request-Method": method, "Access-Control-Request-Headers": headers}
    friend = await gateway.http.options(path, headers={"Origin": FRIEND, **asked})
    stranger = await gateway.http.options(path, headers={"Origin": STRANGER, **asked})
    taken = {one.strip().lower() for one in friend.headers["Access-Control-Allow-Headers"].split(",")}

    assert friend.status_code == 204
    assert friend.headers["Access-Control-Allow-Origin"] == FRIEND
    assert friend.headers["Access-Control-Allow-Credentials"] == "true"
    assert method in friend.headers["Access-Control-Allow-Methods"].split(", ")
    assert {one.strip() for one in headers.split(",")} <= taken
    assert "Origin" in friend.headers["Vary"]
    assert not [name for name in stranger.headers if name.startswith("access-control-")]


async def test_a_listed_page_reads_with_credentials_and_revalidates(gateway: Gateway) -> None:
    """200, then 304, both readable; errors, too, and Socket.IO's polling."""
    origin = {"Origin": FRIEND}
    first = await gateway.http.get("/courses/btcusdt", headers=origin)
    again = await gateway.http.get(
        "/courses/btcusdt", headers={**origin, "If-None-Match": first.headers["ETag"]}
    )
    missing = await gateway.http.get("/courses/nothing", headers=origin)
    pinned = await gateway.http.post("/sources/active", json={"source": "auto"}, headers={**origin, **ADMIN})
    polling = await gateway.http.get("/socket.io/?EIO=4&transport=polling", headers=origin)

    assert [one.status_code for one in (first, again, missing, pinned, polling)] == [200, 304, 404, 200, 200]
    for answer in (first, again, missing, pinned, polling):
        assert answer.headers.get_list("Access-Control-Allow-Origin") == [FRIEND]
        assert answer.headers.get_list("Access-Control-Allow-Credentials") == ["true"]


async def test_with_a_star_every_page_may_read_but_without_credentials(bus: Path, engine: Engine) -> None:
    """A login that a browser remembers for a proxy is not exposed to every page."""
    async with running(bus, origins=["*"]) as gateway:
        asked = {"Origin": STRANGER, "Access-Control-Request-Method": "GET"}
        answers: list[httpx.Response] = [
            await gateway.http.options("/courses", headers=asked),
            await gateway.http.get("/courses", headers=asked),
        ]

    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == STRANGER
        assert "Access-Control-Allow-Credentials" not in answer.headers
