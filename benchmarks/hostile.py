"""A gateway under hostile clients: its memory before and after, and what an honest client beside them waits.

    python -m benchmarks.hostile --seconds 60

Each row of `KINDS` is one kind of client; four of a kind go on for these seconds. A new kind is a
function that speaks on one connection until it is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import struct
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
from websockets.frames import Frame, Opcode

from tests.gateway.engine import Engine
from tests.gateway.process import Gateway, running
from tests.gateway.raw import Raw, raw, text

_AT_ONCE = 4
# What a gateway may keep of it, and seconds it has to forget.
MOST_KEPT = 20 * 1024 * 1024
_FORGETS_S = 2.0
_PAUSE_S = 0.02

Attack = Callable[[Raw], Awaitable[None]]


def flood(data: bytes) -> Attack:
    """Make a client that joins and sends this again and again."""

    async def attack(wire: Raw) -> None:
        await wire.open(text("40"))
        while True:
            wire.writer.write(data)
            await wire.writer.drain()
            with contextlib.suppress(TimeoutError):
                if not await asyncio.wait_for(wire.reader.read(1 << 16), 0.001):
                    return

    return attack


def unfinished(data: bytes) -> Attack:
    """Make a client that begins a message and keeps the connection."""

    async def attack(wire: Raw) -> None:
        await wire.open(text("40") + data)
        await wire.ended()

    return attack


_WISH = text('427["subscribe",{"symbols":["tickr_0x"]}]')
KINDS: dict[str, Attack] = {
    "attachments announced": flood(
        text('451000000-["subscribe",{"_placeholder":true,"num":0}]')
        + Frame(Opcode.BINARY, bytes(60_000)).serialize(mask=True)
    ),
    "binary frames": flood(Frame(Opcode.BINARY, bytes(60_000)).serialize(mask=True)),
    "unknown symbols": flood(_WISH * 300),
    "all symbols unread": flood(text('427["subscribe",{"symbols":"all","interval_ms":0}]') * 100),
    "large events": flood(text('42["subscribe",{"symbols":["' + "x" * 60_000 + '"]}]')),
    "joining again and again": flood(text("40") * 100),
    "pings": flood(Frame(Opcode.PING, b"x" * 100).serialize(mask=True) * 100),
    "empty fragments": flood(
        Frame(Opcode.TEXT, b"4", fin=False).serialize(mask=True)
        + Frame(Opcode.CONT, b"", fin=False).serialize(mask=True) * 1_000
    ),
    "unfinished fragments": unfinished(Frame(Opcode.TEXT, bytes(60_000), fin=False).serialize(mask=True)),
    "unfinished frames": unfinished(b"\x81\xff" + struct.pack("!Q", 65_000) + b"mask" + bytes(60_000)),
}


async def measure(server: str, name: str, seconds: float) -> tuple[float, float, float]:
    """Return the memory kept in MB, and an honest client's p99 in ms without and with the attack."""
    with tempfile.TemporaryDirectory(prefix="cs") as folder:
        async with Engine(Path(folder) / "bus"), running(Path(folder) / "bus", server=server) as gateway:
            await gateway.ready()
            calm = await _waits(gateway, min(seconds, 5.0))
            process = psutil.Process(gateway.process.pid)
            before = process.memory_info().rss
            async with asyncio.TaskGroup() as tasks:
                attackers = [tasks.create_task(_again(gateway.url, KINDS[name])) for _ in range(_AT_ONCE)]
                waits = await _waits(gateway, seconds)
                kept = process.memory_info().rss - before
                for one in attackers:
                    one.cancel()
            await asyncio.sleep(_FORGETS_S)
            kept = max(kept, process.memory_info().rss - before)
    return kept / 1e6, calm * 1000, waits * 1000


async def _again(url: str, attack: Attack) -> None:
    while True:
        with contextlib.suppress(OSError, EOFError, TimeoutError, asyncio.IncompleteReadError):
            async with raw(url) as wire:
                await attack(wire)
        await asyncio.sleep(_PAUSE_S)


async def _waits(gateway: Gateway, seconds: float) -> float:
    """Ask again and again; return the time in seconds within which 99 % are answered."""
    took = []
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        began = time.monotonic()
        (await gateway.http.get("/courses/btcusdt")).raise_for_status()
        took.append(time.monotonic() - began)
        await asyncio.sleep(_PAUSE_S)
    return sorted(took)[int(len(took) * 0.99) - 1 if len(took) > 1 else 0]


def main() -> int:
    """Measure what was asked for; 1 when a gateway kept more than it may."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="of each kind")
    parser.add_argument("--servers", default="eventlet,gevent")
    parser.add_argument("--kinds", default=",".join(KINDS), help="some of them, separated by commas")
    asked = parser.parse_args()
    failed = False
    for server in asked.servers.split(","):
        for name in asked.kinds.split(","):
            kept, calm, waits = asyncio.run(measure(server, name, asked.seconds))
            failed |= kept * 1e6 > MOST_KEPT
            sys.stdout.write(
                f"{server:9} {name:26} kept {kept:6.1f} MB   "
                f"p99 {calm:6.1f} ms alone, {waits:6.1f} ms beside\n"
            )
            sys.stdout.flush()
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
