"""An order is acknowledged only after the disk has it: seen from the kernel, in the whole program."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from websockets.asyncio.client import connect

from tests.process.charts import run
from tests.process.programs import address, program
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)

ORDERS = 5
_CALLS = "pwrite64,fsync,fdatasync,sendto,sendmsg,write,writev"
_SYNC = re.compile(r"f(?:data)?sync\(\d+<.*/orders\.db-wal>")


class Seen(NamedTuple):
    """One system call, in the order of their ends; those that send or write, in that of their beginnings."""

    what: str
    text: str


def seen(trace: str) -> Iterator[Seen]:
    """Read what strace wrote: writes to the orders' log, its syncs once they are done, what was sent."""
    syncing = set()
    for line in trace.splitlines():
        pid, _, call = line.partition(" ")
        call = call.lstrip()
        if _SYNC.match(call):
            if "<unfinished" in call:
                syncing.add(pid)
            elif call.endswith("= 0"):
                yield Seen("synced", call)
        elif pid in syncing and "sync resumed>" in call:
            syncing.remove(pid)
            if call.endswith("= 0"):
                yield Seen("synced", call)
        elif call.startswith("pwrite64(") and "/orders.db-wal>" in call:
            yield Seen("written", call)
        elif call.startswith(("send", "write")) and "<TCP" in call:
            yield Seen("sent", call)


async def placed(url: str) -> list[str]:
    """Place orders one after the other; return the ids of the acknowledged ones."""
    orders: list[str] = []
    async with connect(f"{url}/ws", compression=None) as connection:
        while len(orders) < ORDERS:
            ticket = {"instrument": "EUR/RUB", "side": 1, "amount": "10", "price": "1"}
            await connection.send(json.dumps({"messageType": 3, "message": ticket}))
            async with asyncio.timeout(10 * SCALE):
                told = json.loads(await connection.recv())
            if told["messageType"] == 3:
                orders.append(told["message"]["order_id"])
            else:  # no quote has come yet
                await asyncio.sleep(0.1)
    return orders


async def test_a_commit_is_on_the_disk_before_its_acknowledgement_is_sent(
    tmp_path: Path, require_program: Callable[[str], str]
) -> None:
    """Each order is written to the log, that is synced, and only then its id goes to the client's socket."""
    trace = tmp_path / "trace"
    strace = [require_program("strace"), "-f", "--seccomp-bpf", "-yy", "-s", "8192", "-e", f"trace={_CALLS}"]
    with program(run(tmp_path), tmp_path, under=[*strace, "-o", str(trace)]) as running:
        orders = await placed((await address(running)).replace("http", "ws"))
    calls = list(seen(trace.read_text("utf-8", "replace")))

    for order_id in orders:
        written = next(
            at for at, call in enumerate(calls) if call.what == "written" and order_id in call.text
        )
        sent = next(at for at, call in enumerate(calls) if call.what == "sent" and order_id in call.text)
        assert [call.what for call in calls[written:sent]].count("synced") >= 1
