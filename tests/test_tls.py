"""TLS as a client: a real handshake with each of our clients, and authorities that are read once."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from crypto_stream.client import Client, OrderClient, UnreachableError
from crypto_stream.errors import VenueError
from crypto_stream.feed.opening import open_socket
from crypto_stream.feed.rest import rest_client
from crypto_stream.tls import tls_context
from tests.certificates import Certificates
from tests.waiting import SCALE

_WAIT_S = 5.0 * SCALE


@pytest.fixture
def certificates(tmp_path: Path, require_program: Callable[[str], str]) -> Certificates:
    """Make an authority and a certificate of 127.0.0.1."""
    return Certificates(tmp_path, require_program("openssl"))


@pytest.fixture
def authority(certificates: Certificates, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Trust that authority alone, as in a new process."""
    path = Path(certificates.path("ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(path))
    tls_context.cache_clear()
    yield path
    tls_context.cache_clear()


@contextlib.asynccontextmanager
async def serving(certificates: Certificates) -> AsyncIterator[str]:
    """Serve WebSockets, and an empty list to everything else, by TLS; yields host and port."""

    async def stay(connection: ServerConnection) -> None:
        await connection.wait_closed()

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        return None if "Upgrade" in request.headers else connection.respond(200, "[]")

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificates.path("server.pem"), certificates.path("server.key"))
    async with serve(stay, "127.0.0.1", 0, ssl=context, process_request=answer) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _venue_socket(place: str) -> None:
    connected = await open_socket(f"wss://{place}/stream", connect_s=_WAIT_S)
    await connected.close()


async def _capital_scheme(place: str) -> None:
    connected = await open_socket(f"WSS://{place}/stream", connect_s=_WAIT_S)
    await connected.close()


async def _venue_rest(place: str) -> None:
    async with rest_client(f"https://{place}", timeout_s=_WAIT_S) as http:
        assert (await http.get("/pairs")).json() == []


async def _price_client(place: str) -> None:
    assert await asyncio.to_thread(Client(f"https://{place}", timeout_s=_WAIT_S).courses) == []


async def _order_client(place: str) -> None:
    async with OrderClient(f"https://{place}", client_id=str(uuid.uuid4()), timeout_s=_WAIT_S):
        pass


_ALL = pytest.mark.parametrize(
    "connect", [_venue_socket, _capital_scheme, _venue_rest, _price_client, _order_client]
)


@_ALL
async def test_authorities_are_read_once(
    connect: Callable[[str], Awaitable[None]], certificates: Certificates, authority: Path
) -> None:
    """The second connection reads no file: reading takes 25 ms, in which nobody else gets a price."""
    async with serving(certificates) as place:
        await connect(place)
        await asyncio.to_thread(authority.unlink)
        await connect(place)


@_ALL
async def test_a_server_of_an_unknown_authority_is_not_trusted(
    connect: Callable[[str], Awaitable[None]], certificates: Certificates
) -> None:
    """The reason says what is wrong."""
    async with serving(certificates) as place:
        with pytest.raises((VenueError, httpx.ConnectError, UnreachableError), match="certificate verify"):
            await connect(place)
