"""Open a venue's WebSocket: proxy, IPv6 and IPv4, handshake, redirects. Failures raise VenueError."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Mapping
from urllib.parse import urljoin, urlsplit

from aiohappyeyeballs import start_connection
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus, WebSocketException
from websockets.http11 import Response

from crypto_stream.errors import ProxyError, VenueError
from crypto_stream.feed.refusals import refusal
from crypto_stream.feed.venue_socket import VenueSocket
from crypto_stream.proxies import proxy_for, redacted
from crypto_stream.tls import websocket_tls

_CLOSE_S = 1.0  # for the close handshake; then the transport is aborted
_MAX_REDIRECTS = 3
_NEXT_ADDRESS_S = 0.25  # RFC 8305: then the next address is tried as well


class _Once(connect):
    """A single handshake: the library would follow redirects to any host."""

    def process_redirect(self, exc: Exception) -> Exception:
        """Raise every refusal."""
        return exc


async def open_socket(
    url: str, *, connect_s: float, headers: Mapping[str, str] | None = None, max_bytes: int = 1024 * 1024
) -> VenueSocket:
    """Connect to `url` within `connect_s` in total; raise VenueError if that fails.

    A frame of more than `max_bytes` ends the connection with 1009.
    """
    proxy = None
    try:
        proxy = proxy_for(url)
        async with asyncio.timeout(connect_s):
            for _ in range(_MAX_REDIRECTS):
                try:
                    return await _handshake(url, headers, proxy, max_bytes)
                except InvalidStatus as error:
                    url = _redirected(url, error.response)
            raise VenueError(f"more than {_MAX_REDIRECTS} redirects")
    except ProxyError as error:
        raise VenueError(str(error)) from None
    except TimeoutError:
        raise VenueError(f"no connection{_through(proxy)} within {connect_s:g} s") from None
    except (OSError, ValueError, WebSocketException) as error:  # ValueError: not a valid DNS name
        raise VenueError(_why_failed(error, proxy)) from None


async def _handshake(
    url: str, headers: Mapping[str, str] | None, proxy: str | None, max_bytes: int
) -> VenueSocket:
    connected = await _Once(
        url,
        sock=None if proxy else await _first_to_answer(url),
        proxy=proxy,
        ssl=websocket_tls(url),
        create_connection=VenueSocket,
        compression=None,  # 14 instead of 64 KiB a connection, and no CPU for inflating
        open_timeout=None,
        ping_interval=None,  # `Connection` pings in the venue's own way
        close_timeout=_CLOSE_S,
        max_size=max_bytes,
        additional_headers=headers,
    )
    assert isinstance(connected, VenueSocket)
    return connected


async def _first_to_answer(url: str) -> socket.socket:
    """Connect to the host's address that answers first (RFC 8305), in case IPv6 does not work."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "wss" else 80)
    found = await asyncio.get_running_loop().getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    return await start_connection(found, happy_eyeballs_delay=_NEXT_ADDRESS_S, interleave=1)


def _redirected(url: str, response: Response) -> str:
    """Return the target of a redirect within the host; raise VenueError for every other refusal."""
    places = response.headers.get_all("Location")
    if response.status_code not in (301, 302, 303, 307, 308) or len(places) != 1:
        raise refusal(response.status_code, response.headers, time.time())
    target = urljoin(url, places[0])
    before, after = urlsplit(url), urlsplit(target)
    if (before.scheme, before.netloc) != (after.scheme, after.netloc):
        raise VenueError(f"HTTP {response.status_code}: not followed to another host: {target[:200]}")
    return target


def _why_failed(error: Exception, proxy: str | None) -> str:
    if isinstance(error, ConnectionRefusedError):
        return f"connection{_through(proxy)} refused"
    cause = error.__cause__ or error
    text = (isinstance(cause, OSError) and cause.strerror) or str(cause) or type(cause).__name__
    return f"no connection{_through(proxy)}: {text}"


def _through(proxy: str | None) -> str:
    return f" through the proxy {redacted(proxy)}" if proxy else ""
