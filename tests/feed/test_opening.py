"""Opening a venue's WebSocket against misbehaving servers and networks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator

import pytest
from websockets.asyncio.server import serve

from crypto_stream.errors import RetryLaterError, VenueError
from crypto_stream.feed.opening import open_socket
from tests.feed.raw import conversing, heard, upgrade
from tests.waiting import SCALE

_WAIT_S = 5.0 * SCALE


@contextlib.asynccontextmanager
async def answering(*answers: bytes) -> AsyncIterator[str]:
    """Serve fixed bytes, one answer per connection, repeating the last one; yields the address."""
    left = list(answers)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(left.pop(0) if len(left) > 1 else left[0])
        await writer.drain()

    async with conversing(answer) as port:
        yield f"ws://127.0.0.1:{port}/stream"


def _redirect(*places: str, status: str = "302 Found") -> bytes:
    lines = "".join(f"Location: {place}\r\n" for place in places)
    return f"HTTP/1.1 {status}\r\n{lines}Content-Length: 0\r\n\r\n".encode("latin-1")


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (
            _redirect("wss://other.example/stream"),
            "HTTP 302: not followed to another host: wss://other.example/stream",
        ),
        (_redirect("http://127.0.0.1:1/"), "HTTP 302: not followed to another host"),
        (_redirect("/a", "/b"), "HTTP 302 instead of a WebSocket"),
        (_redirect(), "HTTP 302 instead of a WebSocket"),
        (_redirect("http://[::1"), "no connection: "),
        (_redirect("/again"), "more than 3 redirects"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "HTTP 200 instead of a WebSocket"),
        (b"HTTP/1.1 500 Oops\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nhi", "no connection: "),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "no connection: "),
        (b"", "no connection: "),
    ],
)
async def test_an_unexpected_answer_is_a_venue_error(answer: bytes, says: str) -> None:
    """Any answer to the handshake is a VenueError with a reason, never another exception."""
    async with answering(answer) as url:
        with pytest.raises(VenueError) as caught:
            await open_socket(url, connect_s=_WAIT_S)

    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


async def test_a_redirect_on_the_same_host_is_followed() -> None:
    """A venue may move its path."""
    async with answering(_redirect("/new"), b"HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n") as url:
        with pytest.raises(RetryLaterError, match="HTTP 429"):
            await open_socket(url, connect_s=_WAIT_S)


@pytest.mark.parametrize("host", ["a..example", "x" * 64 + ".example", "xn--\u00e4\u00e4.example"])
async def test_an_invalid_dns_name_is_one_line(host: str) -> None:
    """The codec's error is the reason."""
    with pytest.raises(VenueError, match="no connection: "):
        await open_socket(f"ws://{host}:1/", connect_s=_WAIT_S)


@contextlib.contextmanager
def dead_ipv6(port: int) -> Iterator[None]:
    """Let [::1]:`port` ignore every attempt to connect, with a full queue."""
    with contextlib.ExitStack() as kept:
        dead = kept.enter_context(socket.socket(socket.AF_INET6))
        dead.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        dead.bind(("::1", port))
        dead.listen(0)
        for _ in range(3):
            filling = kept.enter_context(socket.socket(socket.AF_INET6))
            filling.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filling.connect(("::1", port))
        yield


async def test_a_dead_ipv6_address_is_no_obstacle() -> None:
    """A host whose IPv6 address does not answer is reached at its IPv4 address."""
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        with dead_ipv6(port):
            connected = await open_socket(f"ws://localhost:{port}/", connect_s=_WAIT_S)
            peer = connected.remote_address
            await connected.close()

    assert peer[0] == "127.0.0.1"


async def test_a_dead_proxy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The reason distinguishes a proxy's failure from the venue's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("all_proxy", f"http://user:secret@127.0.0.1:{port}")
        with pytest.raises(VenueError) as caught:
            await open_socket("ws://venue.example/", connect_s=_WAIT_S)

    assert str(caught.value) == f"connection through the proxy http://127.0.0.1:{port} refused"


async def test_a_venue_is_reached_through_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy is asked for the venue's host and port, and relays both directions."""
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await upgrade(reader, writer, b"\x81\x02hi\x88\x02\x03\xe8")
        await heard(reader)

    read: list[bytes] = []
    async with conversing(proxy) as port:
        monkeypatch.setenv("all_proxy", f"http://127.0.0.1:{port}")
        connected = await open_socket("ws://venue.example/stream", connect_s=_WAIT_S)
        await connected.deliver(read.extend)

    assert asked[0].startswith(b"CONNECT venue.example:80 HTTP/1.1\r\n")
    assert read == [b"hi"]


async def test_unrequested_compression_is_refused() -> None:
    """A venue that compresses anyway is refused: nothing is decompressed."""
    extension = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"

    async def compress(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer, fields=extension)
        await reader.read()

    async with conversing(compress) as port:
        with pytest.raises(VenueError, match=r"no connection: .*extension"):
            await open_socket(f"ws://127.0.0.1:{port}/", connect_s=_WAIT_S)


async def test_a_flood_of_pings_ends_the_connection() -> None:
    """A venue that pings without reading our pongs costs bounded memory, and loses the connection."""
    flood = b"\x89\x7d" + b"p" * 125

    async def ping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await upgrade(reader, writer)
        while True:
            writer.write(flood * 1000)
            await writer.drain()

    async with conversing(ping) as port, asyncio.timeout(60 * SCALE):
        connected = await open_socket(f"ws://127.0.0.1:{port}/", connect_s=_WAIT_S)
        await connected.wait_closed()

    assert "pings without reading" in (connected.fault or "")
