"""Asking a venue's REST interface: through the proxy of the environment, and bounded in bytes and time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from crypto_stream.errors import ProxyError
from crypto_stream.proxies import proxy_for, redacted

# Room for some thousand instruments with several kB said of each.
MOST_BYTES = 32 * 1024 * 1024
_TIMEOUT_S = 20.0
_UNPACK = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_PIECE = 1024 * 1024  # bytes unpacked before others have their turn


@asynccontextmanager
async def rest_client(
    base_url: str, *, timeout_s: float = _TIMEOUT_S, most_bytes: int = MOST_BYTES
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client for one venue (none: ""); everything that goes wrong is an httpx.HTTPError.

    An answer that takes longer than `timeout_s` in all, or has more than `most_bytes` (unpacked), is one.
    Redirects are not followed: a venue's address is a setting.
    """
    try:
        proxy = proxy_for(base_url) if base_url else None
    except ProxyError as error:
        raise httpx.ProxyError(str(error)) from None
    transport = _Bounded(proxy, timeout_s, most_bytes)
    headers = {"Accept-Encoding": ", ".join(_UNPACK)}
    async with httpx.AsyncClient(
        base_url=base_url, transport=transport, timeout=timeout_s, headers=headers
    ) as http:
        yield http


class _Bounded(httpx.AsyncBaseTransport):
    """Read every answer whole before it is handed on, as far as it is allowed to be long."""

    def __init__(self, proxy: str | None, timeout_s: float, most_bytes: int) -> None:
        self._inner = httpx.AsyncHTTPTransport(proxy=proxy)
        self._proxy = proxy
        self._timeout_s = timeout_s
        self._most_bytes = most_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._inner.handle_async_request(request)
                try:
                    return await self._whole(answer, request)
                finally:
                    await answer.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout(f"no whole answer within {self._timeout_s:g} s") from None
        except httpx.TransportError as error:
            if self._proxy is None:
                raise
            why = str(error) or repr(error)
            raise httpx.ProxyError(f"through the proxy {redacted(self._proxy)}: {why}") from None

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _whole(self, answer: httpx.Response, request: httpx.Request) -> httpx.Response:
        encoding = answer.headers.get("Content-Encoding", "identity").strip().lower()
        unpacker = zlib.decompressobj(_UNPACK[encoding]) if encoding in _UNPACK else None
        if unpacker is None and encoding != "identity":
            raise httpx.DecodingError(f"an answer in the encoding {encoding!r}, which was not asked for")
        body = bytearray()
        assert isinstance(answer.stream, httpx.AsyncByteStream)
        async for chunk in answer.stream:
            if unpacker is None:
                self._take(body, chunk)
                continue
            try:
                await self._unpack(unpacker, chunk, body)
            except zlib.error as error:
                raise httpx.DecodingError(f"a damaged answer: {error}") from None
        kept = [
            (name, value)
            for name, value in answer.headers.multi_items()
            if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx.Response(answer.status_code, headers=kept, content=bytes(body), request=request)

    async def _unpack(self, unpacker: zlib._Decompress, chunk: bytes, body: bytearray) -> None:
        """Unpack in pieces: a small chunk may hold a thousand times its size."""
        while chunk and not unpacker.eof:
            self._take(body, unpacker.decompress(chunk, _PIECE))
            chunk = unpacker.unconsumed_tail
            await asyncio.sleep(0)

    def _take(self, body: bytearray, piece: bytes) -> None:
        if len(body) + len(piece) > self._most_bytes:
            raise httpx.ReadError(f"an answer of more than {self._most_bytes:,} bytes")
        body += piece
