"""The bridge's end of the protocol, for bridges in Python; needs the standard library only.

A bridge implements `Feed`, puts messages into `Outlet`, and awaits `serve`, which connects, and again after
each failure.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

PROTOCOL = 1
Message = Mapping[str, Any]

_RETRY_S = 1.0
_LONGEST_RETRY_S = 60.0  # while the venue has no list for us: it may be busy, or ban who asks too often
_HEARTBEAT_S = 5.0
_LIST_EVERY_S = 300.0  # a halt is noticed within this time
_LIST_PART = 500  # instruments in one line
_MOST_TRADES = 10_000  # unsent; beyond that the oldest are dropped
_AT_ONCE = 1_000  # messages, after which others have their turn
_MESSAGES_PER_S = 8_000  # the server allows 10,000 lines in a second
_LONGEST_LINE = 1024 * 1024
_WATCHDOG_S = 60  # a program that is blocked for so long is killed by the kernel, and then restarted


class NoListError(OSError):
    """The venue's list could not be had."""


class Target(NamedTuple):
    """Where to connect, a path or host:port, and how to introduce itself."""

    address: str
    name: str
    venue: str
    token: str = ""


class Feed(Protocol):
    """What a bridge does."""

    async def instruments(self) -> list[Message]:
        """Return the venue's list: id, base, quote, and optionally status, tick, lot, min_amount …

        The first one is awaited for ten seconds; raise OSError if there is none.
        """

    async def subscribe(self, instruments: Sequence[str], topics: Sequence[str]) -> Mapping[str, str]:
        """Send data of these instruments from now on; return why some of them are refused."""

    async def unsubscribe(self, instruments: Sequence[str], topics: Sequence[str]) -> None:
        """Stop sending data of these instruments."""

    async def reset(self) -> None:
        """Forget all subscriptions: the connection has ended."""


class Outlet:
    """What waits to be sent: every trade, and of each instrument the newest of everything else.

    So a server that reads slowly gets new values late, but never old ones.
    """

    def __init__(self) -> None:
        self._trades: deque[Message] = deque(maxlen=_MOST_TRADES)
        self._newest: dict[tuple[str, str], Message] = {}
        self._more = asyncio.Event()

    def put(self, message: Message) -> None:
        """Add a message of the protocol: quote, levels, trade, day or status."""
        if message["type"] == "trade":
            self._trades.append(message)
        else:
            self._newest[message["type"], message.get("instrument", "")] = message
        self._more.set()

    async def take(self, most: int) -> list[Message]:
        """Wait for messages, and return at most so many of them, those first that have waited longest.

        At most half of them are trades if there is something else.
        """
        await self._more.wait()
        others = min(len(self._newest), max(most // 2, most - len(self._trades)))
        messages = [self._trades.popleft() for _ in range(min(len(self._trades), most - others))]
        messages += [self._newest.pop(key) for key in list(self._newest)[:others]]
        if not (self._trades or self._newest):
            self._more.clear()
        return messages

    def clear(self) -> None:
        """Discard what waits."""
        self._trades.clear()
        self._newest.clear()


def target_from_environment(venue: str) -> Target:
    """Return what the supervisor of Crypto Stream tells a program that it starts."""
    environment = os.environ
    return Target(
        address=environment.get("BRIDGE_ADDRESS", ""),
        name=environment.get("BRIDGE_NAME", ""),
        venue=venue,
        token=environment.get("BRIDGE_TOKEN", ""),
    )


def say(text: str) -> None:
    """Write a line for people, which the supervisor puts into the log."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def is_supervised() -> bool:
    """Return whether the supervisor of Crypto Stream started this program."""
    return bool(os.environ.get("BRIDGE_ADDRESS")) and stat.S_ISFIFO(os.fstat(0).st_mode)


async def serve(target: Target, feed: Feed, outlet: Outlet, *, supervised: bool = False) -> None:
    """Keep connected until cancelled; if `supervised`, end with the supervisor, or when blocked."""
    async with asyncio.TaskGroup() as tasks:
        connecting = tasks.create_task(_keep_connected(target, feed, outlet))
        if supervised:
            watching = tasks.create_task(_watchdog())
            await _end_of_input()
            connecting.cancel()
            watching.cancel()


async def _keep_connected(target: Target, feed: Feed, outlet: Outlet) -> None:
    last, delay_s = "", _RETRY_S
    while True:
        try:
            await _converse(target, feed, outlet)
        except* (OSError, EOFError, ValueError) as group:
            error = _first(group)
            if str(error) != last:  # while nobody listens, once is enough
                say(f"{target.address}: {error}; trying again")
            last = str(error)
            delay_s = min(2 * delay_s, _LONGEST_RETRY_S) if isinstance(error, NoListError) else _RETRY_S
        finally:
            await feed.reset()
            outlet.clear()
        await asyncio.sleep(delay_s)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _converse(target: Target, feed: Feed, outlet: Outlet) -> None:
    """Run one connection until it ends with an error."""
    reader, writer = await _connect(target.address)
    try:
        hello = {"protocol": PROTOCOL, "name": target.name, "venue": target.venue, "token": target.token}
        _write(writer, {"type": "hello", **hello})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_list(writer, feed))
            tasks.create_task(_send(writer, outlet))
            tasks.create_task(_heartbeat(writer))
            tasks.create_task(_receive(reader, writer, feed))
    finally:
        writer.transport.abort()


async def _connect(address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, _, port = address.rpartition(":")
    if "/" in address or not port.isdecimal():
        return await asyncio.open_unix_connection(address, limit=_LONGEST_LINE)
    return await asyncio.open_connection(host.strip("[]"), int(port), limit=_LONGEST_LINE)


def _write(writer: asyncio.StreamWriter, message: Message) -> None:
    writer.write(json.dumps(message, separators=(",", ":")).encode() + b"\n")


async def _list(writer: asyncio.StreamWriter, feed: Feed) -> None:
    """Send the venue's list, and again whenever it has changed."""
    sent: list[Message] | None = None
    while True:
        try:
            listed = await feed.instruments()
        except OSError as error:
            raise NoListError(str(error)) from None
        if listed != sent:
            for start in range(0, max(1, len(listed)), _LIST_PART):
                more = start + _LIST_PART < len(listed)
                part = listed[start : start + _LIST_PART]
                _write(writer, {"type": "instruments", "instruments": part, "more": more})
            sent = listed
        await asyncio.sleep(_LIST_EVERY_S)


async def _send(writer: asyncio.StreamWriter, outlet: Outlet) -> None:
    while True:
        messages = await outlet.take(_AT_ONCE)
        for message in messages:
            _write(writer, message)
        await writer.drain()  # meanwhile newer values replace those that wait
        await asyncio.sleep(len(messages) / _MESSAGES_PER_S)


async def _heartbeat(writer: asyncio.StreamWriter) -> None:
    while True:
        await asyncio.sleep(_HEARTBEAT_S)
        _write(writer, {"type": "heartbeat"})


async def _receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, feed: Feed) -> None:
    """Do what the server asks; raise EOFError when it ends the connection."""
    while line := await reader.readline():
        said = json.loads(line)
        kind = said.get("type")
        if kind == "subscribe":
            refused = await feed.subscribe(said["instruments"], said["topics"])
            for instrument, reason in refused.items():
                answer = {"request": said["request"], "instrument": instrument, "reason": reason[:300]}
                _write(writer, {"type": "refused", **answer})
            _write(writer, {"type": "ack", "request": said["request"]})
        elif kind == "unsubscribe":
            await feed.unsubscribe(said["instruments"], said["topics"])
        elif kind == "error":
            if said["fatal"]:
                raise EOFError(f"the server ended the connection: {said['reason']}")
            say(f"the server says: {said['reason']}")
    raise EOFError("the server closed the connection")


async def _end_of_input() -> None:
    """Wait for the end of standard input, which the supervisor keeps open as long as it lives."""
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def readable() -> None:
        if not os.read(sys.stdin.fileno(), 4096):
            loop.remove_reader(sys.stdin.fileno())
            ended.set()

    loop.add_reader(sys.stdin.fileno(), readable)
    await ended.wait()


async def _watchdog() -> None:
    """Let the kernel end this process if its event loop is blocked."""
    while hasattr(signal, "alarm"):
        signal.alarm(_WATCHDOG_S)
        await asyncio.sleep(_WATCHDOG_S / 10)
