"""Limits of REST responses: bytes, decompressed bytes and time."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import zlib
from collections.abc import AsyncIterator

import httpx
import pytest

from crypto_stream.feed.rest import rest_client
from tests.feed.raw import conversing
from tests.waiting import SCALE

_MOST = 100_000


@contextlib.asynccontextmanager
async def answering(head: str, body: bytes, *, endless: bool = False) -> AsyncIterator[str]:
    """Serve one fixed response, repeating its body if `endless`; yields the base address."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        while endless:
            writer.write(body)
            await writer.drain()
            await asyncio.sleep(0)

    async with conversing(answer) as port:
        yield f"http://127.0.0.1:{port}"


async def _get(url: str, timeout_s: float = 5.0 * SCALE) -> httpx.Response:
    async with rest_client(url, timeout_s=timeout_s, max_bytes=_MOST) as http:
        return await http.get("/list")


async def test_an_endless_response_is_refused() -> None:
    """The number of bytes is limited, whatever the venue announces."""
    async with answering("200 OK", b"x" * 10_000, endless=True) as url:
        with pytest.raises(httpx.HTTPError, match="more than 100,000 bytes"):
            await _get(url)


@pytest.mark.parametrize("nested", [False, True])
async def test_a_compression_bomb_is_refused(nested: bool) -> None:
    """The decompressed size counts."""
    bomb = gzip.compress(b"\0" * 50_000_000)
    body = b"\0" * 200_000 if nested else bomb
    packed = gzip.compress(body) if nested else bomb
    async with answering(f"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(packed)}", packed) as url:
        with pytest.raises(httpx.HTTPError, match="more than 100,000 bytes"):
            await _get(url)


async def test_a_slow_response_times_out() -> None:
    """The time limit is for the complete response, not for each byte."""

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async with conversing(drip) as port:
        with pytest.raises(httpx.HTTPError, match="no complete response within"):
            await _get(f"http://127.0.0.1:{port}", timeout_s=0.3)


@pytest.mark.parametrize(
    ("encoding", "packed"),
    [
        ("gzip", gzip.compress(b'{"a":1}', mtime=0)),
        ("deflate", zlib.compress(b'{"a":1}')),
        ("identity", b'{"a":1}'),
        ("GZIP", gzip.compress(b'{"a":1}', mtime=0)),
    ],
)
async def test_compressed_responses_are_decompressed(encoding: str, packed: bytes) -> None:
    """They read like uncompressed ones."""
    head = (
        f"200 OK\r\nContent-Type: application/json\r\nContent-Encoding: {encoding}\r\nX-Seen: 1\r\nX-Seen: 2"
    )
    async with answering(head, packed) as url:
        answer = await _get(url)

    assert answer.json() == {"a": 1}
    assert answer.headers.get_list("X-Seen") == ["1", "2"]


@pytest.mark.parametrize(
    ("encoding", "body", "says"),
    [("gzip", b"no gzip at all", "damaged"), ("br", b"abc", "unsupported encoding 'br'")],
)
async def test_damaged_compression_is_an_http_error(encoding: str, body: bytes, says: str) -> None:
    """It fails that response, like any other HTTP error."""
    async with answering(f"200 OK\r\nContent-Encoding: {encoding}", body) as url:
        with pytest.raises(httpx.HTTPError, match=says):
            await _get(url)


async def test_an_unusable_proxy_is_an_http_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """No ImportError: one line that says what to do."""
    monkeypatch.setenv("all_proxy", "socks5://127.0.0.1:1080")
    with pytest.raises(httpx.HTTPError, match="packages are missing"):
        await _get("http://venue.example")
