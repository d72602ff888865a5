"""HTTP clients for venues' REST interfaces: through the configured proxy, limited in size and time."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from crypto_stream.errors import ProxyError
from crypto_stream.proxies import proxy_for, redacted
from crypto_stream.tls import tls_context

# Enough for a few thousand instruments with several kB each.
MAX_BYTES = 32 * 1024 * 1024
_TIMEOUT_S = 20.0
_WINDOW_BITS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
_CHUNK = 1024 * 1024  # bytes decompressed before yielding to other tasks


@asynccontextmanager
async def rest_client(
    base_url: str, *, timeout_s: float = _TIMEOUT_S, max_bytes: int = MAX_BYTES
) -> AsyncIterator[httpx.AsyncClient]:
    """Open a client for one venue (none: ""); all failures raise httpx.HTTPError.

    A response must arrive completely within `timeout_s` and have at most `max_bytes` (decompressed).
    Redirects are not followed: a venue's address is a setting.
    """
    try:
        proxy = proxy_for(base_url) if base_url else None
    except ProxyError as error:
        raise httpx.ProxyError(str(error)) from None
    transport = _BoundedTransport(proxy, timeout_s, max_bytes)
    headers = {"Accept-Encoding": ", ".join(_WINDOW_BITS)}
    async with httpx.AsyncClient(
        base_url=base_url, transport=transport, timeout=timeout_s, headers=headers
    ) as http:
        yield http


class _BoundedTransport(httpx.AsyncBaseTransport):
    """Read each response completely, within the limits, before returning it."""

    def __init__(self, proxy: str | None, timeout_s: float, max_bytes: int) -> None:
        self._inner = httpx.AsyncHTTPTransport(verify=tls_context(), proxy=proxy)
        self._proxy = proxy
        self._timeout_s = timeout_s
        self._max_bytes = max_bytes

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        try:
            async with asyncio.timeout(self._timeout_s):
                response = await self._inner.handle_async_request(request)
                try:
                    return await self._read_body(response, request)
                finally:
                    await response.aclose()
        except TimeoutError:
            raise httpx.ReadTimeout(f"no complete response within {self._timeout_s:g} s") from None
        except httpx.TransportError as error:
            if self._proxy is None:
                raise
            why = str(error) or repr(error)
            raise httpx.ProxyError(f"through the proxy {redacted(self._proxy)}: {why}") from None

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def _read_body(self, response: httpx.Response, request: httpx.Request) -> httpx.Response:
        encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
        decompressor = zlib.decompressobj(_WINDOW_BITS[encoding]) if encoding in _WINDOW_BITS else None
        if decompressor is None and encoding != "identity":
            raise httpx.DecodingError(f"unsupported encoding {encoding!r}")
        body = bytearray()
        assert isinstance(response.stream, httpx.AsyncByteStream)
        async for chunk in response.stream:
            if decompressor is None:
                self._append(body, chunk)
                continue
            try:
                await self._decompress(decompressor, chunk, body)
            except zlib.error as error:
                raise httpx.DecodingError(f"a damaged response: {error}") from None
        headers = [
            (name, value)
            for name, value in response.headers.multi_items()
            if name.lower() not in ("content-encoding", "content-length", "transfer-encoding")
        ]
        return httpx.Response(response.status_code, headers=headers, content=bytes(body), request=request)

    async def _decompress(self, decompressor: zlib._Decompress, chunk: bytes, body: bytearray) -> None:
        """Decompress in pieces: a small chunk may contain a thousand times its size."""
        while chunk and not decompressor.eof:
            self._append(body, decompressor.decompress(chunk, _CHUNK))
            chunk = decompressor.unconsumed_tail
            await asyncio.sleep(0)

    def _append(self, body: bytearray, data: bytes) -> None:
        if len(body) + len(data) > self._max_bytes:
            raise httpx.ReadError(f"a response of more than {self._max_bytes:,} bytes")
        body += data
