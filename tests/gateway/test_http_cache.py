"""Responses are the same with and without the cache: two gateways are sent the same bytes."""

from __future__ import annotations

import asyncio
import errno
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.gateway.engine import Engine
from tests.gateway.process import ROOT, Gateway, running
from tests.gateway.raw import handshake
from tests.gateway.test_cacheable_request import CHROMIUM, NOT_SIMPLE, SIMPLE, with_fields
from tests.waiting import DEADLINE_S

pytestmark = pytest.mark.asyncio(loop_scope="module")
SERVERS = ["eventlet", "gevent"]
COUNTED = "crypto_stream_prebuilt_answers_total"
LAST = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

FILES = [f"/{one.relative_to(ROOT)}" for one in sorted((ROOT / "static").rglob("[!.]*.*")) if one.is_file()]
PATHS = ["/", "/docs", "/btcusdt", "/courses", "/courses/btcusdt", "/courses/ticker_00", "/openapi.json"]
PREBUILT = [*PATHS, *(path for path in FILES if (ROOT / path[1:]).stat().st_size < 64 * 1024)]
OTHERS = [
    *("/courses/", "/courses/BTCUSDT", "/BTCUSDT", "/btcusd", "/courses/btcusd", "/btcusdt/", "//courses"),
    *("/static/nothing.js", "/static", "/static/", "/static/js", "/static/../pyproject.toml", "/nope", "/ws"),
    *("/static/vendor/lightweight-charts.standalone.production.mjs", "/healthz", "/socket.io/"),
]


class Pair:
    """Two gateways of one engine: one with the response cache, one without."""

    def __init__(self, cached: Gateway, uncached: Gateway) -> None:
        self.cached = cached
        self.uncached = uncached

    async def same(self, *pieces: bytes) -> bytes:
        """Send the pieces to both, check that the responses are equal, and return them."""
        cached, cached_reset = await exchange(self.cached, *pieces)
        uncached, uncached_reset = await exchange(self.uncached, *pieces)
        if cached_reset or uncached_reset:  # bytes in transit are lost
            assert cached.startswith(uncached) or uncached.startswith(cached), pieces
        else:
            assert cached == uncached, pieces
        return cached

    async def counted(self) -> float:
        """Count the requests answered from the cache."""
        return await self.cached.metric(COUNTED)


async def exchange(gateway: Gateway, *pieces: bytes) -> tuple[bytes, bool]:
    """Send the pieces and end the stream; return everything received, without dates.

    Also return whether the gateway reset the connection, as it does if it closes one with unread data.
    """
    address = urlsplit(gateway.url)
    came, reset = b"", False
    async with asyncio.timeout(DEADLINE_S):
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.002 if len(pieces) > 1 else 0)  # let the pieces be separate packets
            writer.write_eof()
            while part := await reader.read(65536):
                came += part
        except OSError as error:
            if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}:
                raise
            reset = True
        finally:
            writer.close()
    dated = re.sub(rb"Date: [^\r]*", b"Date: *", came)
    # werkzeug lists the methods of a path in the order of a set, which differs between processes.
    return re.sub(rb"Allow: ([^\r]*)", lambda found: b",".join(sorted(found[1].split(b", "))), dated), reset


@asynccontextmanager
async def running_pair(bus: Path, server: str, **more: Any) -> AsyncIterator[Pair]:
    """Run both gateways until they are connected to the engine."""
    async with (
        running(bus, server=server, **more) as cached,
        running(bus, server=server, prebuilt=False, **more) as uncached,
    ):
        await cached.ready()
        await uncached.ready()
        yield Pair(cached, uncached)


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SERVERS)
async def pair(bus: Path, engine: Engine, request: pytest.FixtureRequest) -> AsyncIterator[Pair]:
    """Run both gateways for the whole module."""
    async with running_pair(bus, request.param) as both:
        yield both


def get(path: str, *fields: str, method: str = "GET") -> bytes:
    """Return a request."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: 127.0.0.1:8000", *fields, "", ""]).encode()


def tag_of(answer: bytes) -> str | None:
    """Return the ETag of an answer."""
    found = re.search(rb"ETag: (\S+)", answer)
    return found[1].decode() if found else None


@pytest.mark.parametrize("path", PREBUILT)
async def test_every_cached_response_equals_flasks_byte_for_byte(pair: Pair, path: str) -> None:
    """Uncompressed and compressed, GET and HEAD, new and known to the client; none enters WSGI."""
    before = await pair.counted()
    asked = 0
    for method, encoding, kind in product(("GET", "HEAD"), ("identity", "gzip"), ("*/*", "application/json")):
        fields = [f"Accept-Encoding: {encoding}", f"Accept: {kind}"]
        first = await pair.same(get(path, *fields, method=method))
        tag = tag_of(first)
        again = await pair.same(get(path, *fields, f"If-None-Match: {tag}", method=method))
        other = await pair.same(get(path, *fields, 'If-None-Match: W/"0"', method=method))
        kept = await pair.same(get(path, *fields, "Connection: keep-alive", method=method))
        asked += 4

        assert first.startswith(b"HTTP/1.1 200 OK\r\n")
        assert first.endswith(b"\r\n\r\n") == (method == "HEAD")
        assert tag is not None
        assert again.startswith(b"HTTP/1.1 304 NOT MODIFIED\r\n")
        assert other == first
        assert kept.endswith(first.partition(b"\r\n\r\n")[2])

    assert await pair.counted() == before + asked
    assert await pair.uncached.metric(COUNTED) == 0


@pytest.mark.parametrize("path", OTHERS)
async def test_other_paths_are_not_served_from_the_cache(pair: Pair, path: str) -> None:
    """Other spellings, unknown names, large files, Socket.IO's responses."""
    before = await pair.counted()
    answer = await pair.same(get(path, "Connection: keep-alive"))

    assert answer.startswith(b"HTTP/1.1 ")
    assert await pair.counted() == before


@pytest.mark.parametrize("head", NOT_SIMPLE.values(), ids=NOT_SIMPLE.keys())
async def test_requests_that_are_not_cacheable_get_the_servers_response(pair: Pair, head: bytes) -> None:
    """Alone, and between cacheable requests on the same connection."""
    await pair.same(head)
    await pair.same(SIMPLE + head + SIMPLE + LAST)


CHUNKED = b"Transfer-Encoding: chunked"
INNER = b"GET /btcusdt HTTP/1.1\r\nHost: inner\r\n\r\n"
LENGTH = b"Content-Length: %d" % len(INNER)
SMUGGLED = {
    "length hides a request": with_fields(LENGTH) + INNER,
    "length is too short": with_fields(b"Content-Length: 5") + INNER,
    "two lengths": with_fields(LENGTH, b"Content-Length: 0") + INNER,
    "two lengths in one": with_fields(b"Content-Length: 0, %d" % len(INNER)) + INNER,
    "length with a sign": with_fields(b"Content-Length: +%d" % len(INNER)) + INNER,
    "length below zero": with_fields(b"Content-Length: -1") + INNER,
    "length in hex": with_fields(b"Content-Length: 0x10") + INNER,
    "length with an underscore": with_fields(b"Content-Length: 1_0") + INNER,
    "length with a space": with_fields(b"Content-Length : %d" % len(INNER)) + INNER,
    "length with a tab": with_fields(b"Content-Length:\t%d" % len(INNER)) + INNER,
    "length with a vertical tab": with_fields(b"\x0b" + LENGTH) + INNER,
    "length folded": with_fields(b"User-Agent: a", b" " + LENGTH) + INNER,
    "length behind a bare CR": with_fields(b"User-Agent: a\r" + LENGTH) + INNER,
    "length behind a bare LF": with_fields(b"User-Agent: a\n" + LENGTH) + INNER,
    "length behind a NUL": with_fields(b"User-Agent: a\0" + LENGTH) + INNER,
    "length behind NEL": with_fields(b"User-Agent: a\x85" + LENGTH) + INNER,
    "length behind a form feed": with_fields(b"User-Agent: a\x0c" + LENGTH) + INNER,
    "underscored length": with_fields(LENGTH.replace(b"-", b"_")) + INNER,
    "chunked": with_fields(CHUNKED) + b"0\r\n\r\n" + INNER,
    "chunked and length": with_fields(CHUNKED, LENGTH) + b"0\r\n\r\n" + INNER,
    "length and chunked": with_fields(LENGTH, CHUNKED) + b"0\r\n\r\n" + INNER,
    "chunked twice": with_fields(CHUNKED, CHUNKED) + b"0\r\n\r\n" + INNER,
    "chunked, identity": with_fields(CHUNKED + b", identity") + b"0\r\n\r\n" + INNER,
    "chunked with a space": with_fields(b"Transfer-Encoding : chunked") + b"0\r\n\r\n" + INNER,
    "chunked with a tab": with_fields(b"Transfer-Encoding:\tchunked") + b"0\r\n\r\n" + INNER,
    "xchunked": with_fields(b"Transfer-Encoding: xchunked") + b"0\r\n\r\n" + INNER,
    "a broken chunk": with_fields(CHUNKED) + b"zz\r\n" + INNER,
    "a chunk without its CR": with_fields(CHUNKED) + b"1\nZ\n0\n\n" + INNER,
    "a trailer": with_fields(CHUNKED) + b"0\r\nHost: b\r\n\r\n" + INNER,
    "Expect and length": with_fields(b"Expect: 100-continue", LENGTH) + INNER,
    "POST with a body": with_fields(LENGTH).replace(b"GET", b"POST") + INNER,
    "HEAD with a body": with_fields(LENGTH).replace(b"GET", b"HEAD") + INNER,
    "body without a length": SIMPLE + b"a=b",
    "line break in the path": SIMPLE.replace(b"/courses", b"/courses\r\nX: "),
    "HTTP/0.9": b"GET /courses\r\n" + INNER,
    "HTTP/1.0 and on": SIMPLE.replace(b"1.1", b"1.0") + INNER,
    "HTTP/1.0 kept": with_fields(b"Connection: keep-alive").replace(b"1.1\r", b"1.0\r") + INNER,
    "close and on": with_fields(b"Connection: close") + INNER,
    "CONNECT": b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n" + INNER,
    "upgrade to HTTP/2": with_fields(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c") + INNER,
    "preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + INNER,
    "a long line": with_fields(b"User-Agent: " + b"a" * 9000) + INNER,
    "a long head": with_fields(*(b"User-Agent: " + b"a" * 4000 for _ in range(20))) + INNER,
    "a long path": SIMPLE.replace(b"/courses", b"/" + b"a" * 9000) + INNER,
    "a path up to the limit": b"GET /".ljust(8192, b"a"),
    "many fields": with_fields(*(b"Sec-%d: a" % at for at in range(150))) + INNER,
    "a pair of Hosts": with_fields(b"Host: other") + INNER,
}


@pytest.mark.parametrize("sent", SMUGGLED.values(), ids=SMUGGLED.keys())
async def test_nothing_can_be_smuggled_past_the_servers_parser(pair: Pair, sent: bytes) -> None:
    """Both gateways see the same requests in the same bytes, first on a connection and later."""
    await pair.same(sent)
    await pair.same(sent + LAST)
    await pair.same(SIMPLE + sent + LAST)


async def test_pipelined_requests_are_answered_in_order(pair: Pair) -> None:
    """Cacheable ones and others mixed, more than fills one buffer, until one says `close`."""
    mixed = (SIMPLE + get("/healthz") + CHROMIUM + get("/courses", "Accept-Encoding: gzip")) * 30

    answer = await pair.same(mixed + LAST + SIMPLE)

    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 121
    assert answer.endswith(b'{"status":"ok"}')


@pytest.mark.parametrize("cut", [1, 5, 20, 23, len(SIMPLE) - 3, len(SIMPLE) - 1])
async def test_a_head_may_come_in_pieces(pair: Pair, cut: int) -> None:
    """Wherever it is split, also after a complete one."""
    alone = await pair.same(SIMPLE[:cut], SIMPLE[cut:])
    behind = await pair.same(SIMPLE + SIMPLE[:cut], SIMPLE[cut:] + CHROMIUM[:cut], CHROMIUM[cut:])

    assert alone.count(b"HTTP/1.1 200 OK\r\n") == 1
    assert behind.count(b"HTTP/1.1 200 OK\r\n") == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([SIMPLE, CHROMIUM, with_fields(LENGTH) + INNER]),
    st.lists(
        st.tuples(
            st.integers(0, 600),
            st.integers(0, 12),
            st.one_of(
                st.sampled_from([b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b"\0", b"HEAD", b"/", b"?", b'"']),
                st.sampled_from(
                    [b"\r\nContent-Length: 3", b"\r\nOrigin: http://a", b"\r\nConnection: close"]
                ),
                st.binary(max_size=8),
            ),
        ),
        min_size=1,
        max_size=3,
    ),
)
async def test_both_respond_equally_to_any_change_of_a_request(
    pair: Pair, request_: bytes, changes: list[tuple[int, int, bytes]]
) -> None:
    """Bytes inserted, removed and replaced anywhere, with a cacheable request behind."""
    for where, cut, new in changes:
        at = where % (len(request_) + 1)
        request_ = request_[:at] + new + request_[at + cut :]
    await pair.same(request_ + SIMPLE + LAST)


@pytest.mark.parametrize("server", SERVERS)
async def test_both_respond_equally_to_other_origins(bus: Path, engine: Engine, server: str) -> None:
    """Where other origins are allowed, every response varies by `Origin`."""
    async with running_pair(bus, server, origins=["http://friend.example"]) as pair:
        plain = await pair.same(SIMPLE)
        before = await pair.counted()
        friend = await pair.same(with_fields(b"Origin: http://friend.example"))

        assert b"Vary: Origin\r\n" in plain
        assert b"Access-Control-Allow-Origin: http://friend.example\r\n" in friend
        assert before == await pair.counted() == 1


async def test_a_change_is_in_the_next_response_of_both(pair: Pair, engine: Engine) -> None:
    """The cache never returns what the mirror no longer shows, and `Stream-Seq` is current."""
    for price in ("1.5", "2.5"):
        changed = engine.change(price=price)
        header = f"Stream-Seq: {changed.seq}\r\n".encode()
        for gateway in (pair.cached, pair.uncached):
            while header not in (await exchange(gateway, SIMPLE))[0]:
                pass  # until pytest's timeout
        answers = [await pair.same(get(path)) for path in ("/courses", "/courses/btcusdt")]

        assert all(b'"price":"%s"' % price.encode() in answer for answer in answers)


@pytest.mark.parametrize("server", SERVERS)
async def test_both_respond_with_503_without_the_engine(
    tmp_path_factory: object, bus: Path, server: str
) -> None:
    """Before it has connected: no instruments. Once it is lost: the last quotes, stale; pages as before."""
    own = bus.with_name(f"own-{server}")
    async with running(own, server=server) as cached, running(own, server=server, prebuilt=False) as uncached:
        pair = Pair(cached, uncached)
        paths = ("/courses", "/courses/btcusdt", "/btcusdt", "/")
        before = [await pair.same(get(path)) for path in paths]
        async with Engine(own):
            await cached.ready()
            await uncached.ready()
            present = [await pair.same(get(path)) for path in paths]
        for gateway in (cached, uncached):
            await gateway.answers("/courses", 503)
        gone = [await pair.same(get(path)) for path in paths]

    assert [answer[9:12] for answer in before] == [b"503", b"503", b"503", b"200"]
    assert [answer[9:12] for answer in present] == [b"200"] * 4
    assert [answer[9:12] for answer in gone] == [b"503", b"200", b"200", b"200"]
    assert gone[2:] == present[2:]
    assert before[3] != present[3]


async def test_a_connection_may_become_a_websocket(pair: Pair) -> None:
    """Cacheable requests first, then a handshake right behind them: no byte is lost."""
    address = urlsplit(pair.cached.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    async with asyncio.timeout(DEADLINE_S):
        writer.write(SIMPLE + SIMPLE + handshake())
        came = await reader.readuntil(b"Sec-WebSocket-Accept")
        await reader.readuntil(b'"sid"')
        writer.close()

    assert came.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert came.count(b"HTTP/1.1 101 ") == 1


async def test_a_client_that_sends_requests_but_does_not_read_delays_no_other(pair: Pair) -> None:
    """The gateway stops reading from it; other clients are served meanwhile."""
    address = urlsplit(pair.cached.url)
    _reader, writer = await asyncio.open_connection(address.hostname, address.port)
    before = await pair.counted()
    writer.write(get("/", "Accept-Encoding: identity") * 100_000)
    counted, now = before, before + 1
    while counted != now or now < before + 10:  # until pytest's timeout
        answer = await pair.same(SIMPLE)
        counted, now = now + 1, await pair.counted()
    writer.transport.abort()
    await asyncio.sleep(0)

    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert now - before < 50_000
