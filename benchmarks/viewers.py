"""Many minimal Socket.IO viewers in one process: `python -m benchmarks.viewers URL COUNT SUBSCRIPTION`.

Prints {"ready": COUNT} when every viewer has its snapshot, then answers each line on standard input with one
line of JSON: `mark` begins a measurement, `report SOURCE` says what the viewers saw since.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import msgspec
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

_EVENT = msgspec.json.Decoder(tuple[str, msgspec.Raw])
_CONNECTED_TOGETHER = 50  # concurrent handshakes
_READY_S = 60.0
_SHOWN = 3  # errors reported in full


class Seen(msgspec.Struct, frozen=True):
    """The fields of a quote that a viewer checks."""

    symbol: str
    source: str | None
    stale: bool
    seq: int


class Change(msgspec.Struct, frozen=True):
    """A `source` event."""

    symbols: list[str]
    to: str | None


_QUOTES = msgspec.json.Decoder(list[Seen])
_CHANGE = msgspec.json.Decoder(Change)
_HELLO = msgspec.json.Decoder(dict[str, Any])


class Sight:
    """One viewer's state, and what it has seen since the last mark."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self.errors: list[str] = []
        self.now: dict[str, str | None] = {}  # symbol → its live source, None while stale
        self._epoch = ""
        self._seq: dict[str, int] = {}
        self._served: dict[str, str] = {}  # symbol → the last source a `source` event named
        self._newest_s: dict[str, float] = {}
        self.mark(time.monotonic())

    def mark(self, now_s: float) -> None:
        """Begin a measurement."""
        self.arrived: dict[tuple[str, str], float] = {}
        self.switches: Counter[str] = Counter()
        self.outages: Counter[str] = Counter()
        self.gaps: dict[str, float] = {}
        self.frames = 0
        self._newest_s = dict.fromkeys(self._newest_s, now_s)

    def take(self, message: bytes, now_s: float) -> None:
        """Look at one event of the server: ["name", payload]."""
        self.frames += 1
        try:
            name, payload = _EVENT.decode(message)
            if name in ("quotes", "snapshot"):
                self._quotes(_QUOTES.decode(payload), now_s)
            elif name == "source":
                self._switched(_CHANGE.decode(payload))
            elif name == "hello":
                self._hello(_HELLO.decode(payload)["epoch"])
        except msgspec.MsgspecError as error:
            self.errors.append(f"{error}: {message[:200]!r}")

    def finish(self, now_s: float) -> None:
        """Count the time since the newest quotes as a gap that is still open."""
        for symbol, newest_s in self._newest_s.items():
            self.gaps[symbol] = max(self.gaps.get(symbol, 0.0), now_s - newest_s)

    def _quotes(self, quotes: list[Seen], now_s: float) -> None:
        for quote in quotes:
            symbol = quote.symbol
            if quote.seq < self._seq.get(symbol, -1):
                self.errors.append(f"seq of {symbol} went back from {self._seq[symbol]} to {quote.seq}")
            self._seq[symbol] = quote.seq
            source = None if quote.stale else quote.source
            if source and source != self.now.get(symbol):
                self.arrived.setdefault((symbol, source), now_s)
            self.now[symbol] = source
            if source:
                gap = now_s - self._newest_s.get(symbol, now_s)
                self.gaps[symbol] = max(self.gaps.get(symbol, 0.0), gap)
                self._newest_s[symbol] = now_s

    def _switched(self, change: Change) -> None:
        """Count a switch per symbol; one that returns to its source was an outage, not a switch."""
        for symbol in change.symbols:
            if change.to is None:
                self.outages[symbol] += 1
                continue
            if change.to != self._served.get(symbol, change.to):
                self.switches[f"{symbol} to {change.to}"] += 1
            self._served[symbol] = change.to

    def _hello(self, epoch: str) -> None:
        if epoch != self._epoch:
            self._epoch = epoch
            self._seq.clear()

    def settle(self) -> None:
        """Remember the serving source, with which the next `source` event is compared."""
        self._served.update({symbol: source for symbol, source in self.now.items() if source})


class Viewer(asyncio.Protocol):
    """One connection: Engine.IO 4 over an uncompressed WebSocket, without its own task."""

    def __init__(self, url: str, subscription: str) -> None:
        """Prepare; `ready` is done at the first snapshot, `lost` is set when the connection has ended."""
        parts = urlsplit(url)
        self.sight = Sight()
        self.ready = asyncio.get_running_loop().create_future()
        self.lost = False
        self._subscription = subscription
        self._wire = ClientProtocol(parse_uri(f"ws://{parts.netloc}/socket.io/?EIO=4&transport=websocket"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the WebSocket handshake."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._wire.send_request(self._wire.connect())
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Read frames; the time of arrival is when this process gets to them."""
        now_s = time.monotonic()
        self._wire.receive_data(data)
        for event in self._wire.events_received():
            if isinstance(event, Frame) and event.opcode is Opcode.TEXT:
                self._take(bytes(event.data), now_s)
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Note that the connection has ended."""
        self.lost = True
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(f"connection ended before a snapshot: {error}"))

    def _take(self, text: bytes, now_s: float) -> None:
        kind = text[:2]
        if text[:1] == b"0":  # Engine.IO open: join the default namespace
            self._send("40")
        elif text == b"2":  # ping
            self._send("3")
        elif kind == b"40":
            self._send(f'420["subscribe",{self._subscription}]')
        elif kind == b"42":
            self.sight.take(text[2:], now_s)
            if not self.ready.done() and text.startswith(b'42["snapshot"'):
                self.ready.set_result(None)
        elif not text.startswith(b'430[{"ok":true'):
            self.sight.errors.append(f"not understood: {text[:200]!r}")

    def _send(self, text: str) -> None:
        self._wire.send_text(text.encode())

    def _flush(self) -> None:
        for data in self._wire.data_to_send():
            if data:
                self._transport.write(data)


async def connect(url: str, count: int, subscription: str) -> list[Viewer]:
    """Connect all viewers, some at a time, and wait for their snapshots."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    loop = asyncio.get_running_loop()
    viewers: list[Viewer] = []
    while len(viewers) < count:
        some = min(_CONNECTED_TOGETHER, count - len(viewers))
        fresh = [Viewer(url, subscription) for _ in range(some)]
        for viewer in fresh:
            await loop.create_connection(lambda made=viewer: made, host, port)  # type: ignore[misc]
        async with asyncio.timeout(_READY_S):
            for viewer in fresh:
                await viewer.ready
        viewers.extend(fresh)
    return viewers


def mark(viewers: list[Viewer]) -> dict[str, Any]:
    """Begin a measurement in all viewers."""
    now_s = time.monotonic()
    for viewer in viewers:
        viewer.sight.settle()
        viewer.sight.mark(now_s)
    return {"marked": len(viewers)}


def report(viewers: list[Viewer]) -> dict[str, Any]:
    """Report what the viewers have seen since the mark: events with counts, times per viewer."""
    now_s = time.monotonic()
    for viewer in viewers:
        viewer.sight.finish(now_s)
    sights = [viewer.sight for viewer in viewers]
    errors = [error for sight in sights for error in sight.errors]
    errors += ["connection lost" for viewer in viewers if viewer.lost]
    return {
        "arrived": [{f"{symbol} {source}": at for (symbol, source), at in s.arrived.items()} for s in sights],
        "now": _tally([s.now for s in sights]),
        "switches": _tally([s.switches for s in sights]),
        "outages": _tally([s.outages for s in sights]),
        "gaps": {symbol: max(s.gaps.get(symbol, 0.0) for s in sights) for symbol in sights[0].gaps},
        "frames": sum(s.frames for s in sights),
        "errors": len(errors),
        "first_errors": errors[:_SHOWN],
    }


def _tally(seen: list[Any]) -> dict[str, int]:
    return dict(Counter(json.dumps(each, sort_keys=True) for each in seen))


async def main(url: str, count: int, subscription: str) -> None:
    """Connect, then answer the commands on standard input."""
    viewers = await connect(url, count, subscription)
    _say({"ready": len(viewers)})
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        _say(mark(viewers) if line == b"mark\n" else report(viewers))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
