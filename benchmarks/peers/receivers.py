"""What others make of a venue's frames: `python -m benchmarks.peers.receivers NAME PORT`.

A bare loop of `websockets` or `picows` that drops every frame, and cryptofeed and ccxt that keep the newest
top of book. Three pairs of a fake Binance at 127.0.0.1:PORT. Prints how many frames came, for each line of
standard input.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.ingest_venue import PAIRS
from benchmarks.parse import ccxt_market

_STREAMS = "/".join(f"{pair}@bookTicker" for pair in PAIRS)


class Count:
    """How many frames came."""

    def __init__(self) -> None:
        """Begin with none."""
        self.frames = 0

    def tell(self) -> None:
        """Print it, for each line of standard input."""
        for _ in sys.stdin:
            print(self.frames, flush=True)


async def bare_websockets(port: int, count: Count) -> None:
    """Drop every frame."""
    from websockets.asyncio.client import connect

    address = f"ws://127.0.0.1:{port}/stream?streams={_STREAMS}"
    async with connect(address, compression=None, ping_interval=None) as connection:
        while True:
            await connection.recv(decode=False)
            count.frames += 1


async def bare_picows(port: int, count: Count) -> None:
    """Drop every frame, of which the bytes are taken, as whoever reads them must."""
    import picows

    class Listener(picows.WSListener):
        """Counts."""

        def on_ws_frame(self, transport: picows.WSTransport, frame: picows.WSFrame) -> None:
            """Take the bytes."""
            frame.get_payload_as_bytes()
            count.frames += 1

    address = f"ws://127.0.0.1:{port}/stream?streams={_STREAMS}"
    transport, _ = await picows.ws_connect(Listener, address)
    await transport.wait_disconnected()


async def cryptofeed(port: int, count: Count) -> None:
    """Keep the newest ticker of each pair."""
    from cryptofeed.connection import WebsocketEndpoint
    from cryptofeed.defines import TICKER
    from cryptofeed.exchanges import Binance
    from cryptofeed.symbols import Symbols

    known = {f"{pair[:-4]}-{pair[-4:]}".upper(): pair.upper() for pair in PAIRS}
    Symbols.set(Binance.id, known, {"instrument_type": dict.fromkeys(known, "spot")})
    newest: dict[str, Any] = {}

    async def took(ticker: Any, received: float) -> None:
        newest[ticker.symbol] = (ticker.bid, ticker.ask)
        count.frames += 1

    class Here(Binance):
        """The venue at our port."""

        websocket_endpoints = [WebsocketEndpoint(f"wss://127.0.0.1:{port}")]  # noqa: RUF012 - as theirs

        def connect(self) -> Any:
            """Leave out TLS, which its connections insist on."""
            made = super().connect()
            for connection, *_ in made:
                connection.address = connection.address.replace("wss:", "ws:")
            return made

    feed = Here(symbols=list(known), channels=[TICKER], callbacks={TICKER: took})
    feed.start(asyncio.get_running_loop())
    await asyncio.Event().wait()


async def ccxt(port: int, count: Count) -> None:
    """Keep the newest bid and ask of each pair."""
    import ccxt.pro

    class Here(ccxt.pro.binance):
        """Counts what comes."""

        def handle_message(self, client: Any, message: Any) -> None:
            """Take one message."""
            count.frames += 1
            super().handle_message(client, message)

    venue = Here()
    venue.urls["api"]["ws"]["spot"] = f"ws://127.0.0.1:{port}/ws"
    venue.set_markets([ccxt_market(pair.upper()) for pair in PAIRS])
    symbols = list(venue.markets)
    while True:
        await venue.watch_bids_asks(symbols)


RECEIVERS: dict[str, Callable[[int, Count], Awaitable[None]]] = {
    "websockets": bare_websockets,
    "picows": bare_picows,
    "cryptofeed": cryptofeed,
    "ccxt": ccxt,
}


async def main(name: str, port: int) -> None:
    """Receive for ever."""
    count = Count()
    threading.Thread(target=count.tell, daemon=True).start()
    await RECEIVERS[name](port, count)


if __name__ == "__main__":
    if sys.platform == "win32":
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    else:
        import uvloop  # as our engine does

        uvloop.run(main(sys.argv[1], int(sys.argv[2])))
