"""The cost of one viewer joining: `python -m benchmarks.joins` (about 3 minutes; --quick to check).

2,000 clients connect and join as fast as one process can make them: TCP, WebSocket handshake, the
namespace's connect, and the server's first messages. CPU of the server (children included) per client,
and clients a second. Ours send `hello` and `status`, and a snapshot of one quote where they subscribe.
"""

from __future__ import annotations

import tempfile
import time
from functools import partial
from pathlib import Path

import click

from benchmarks.delivery import SYMBOL, available, wish
from benchmarks.rounds import Row, chosen, finish, interleaved, medians, options, ratio
from benchmarks.servers import OURS, described, feeder, served
from benchmarks.viewing import viewing

_NODE = "Node socket.io"
_STOCK = "Flask-SocketIO, eventlet"
_SUBSCRIBED = " and a subscription"
_HEADINGS = ("server", "µs/join", "x Node", "x stock", "joins/s", "runs")


@click.command(help=__doc__)
@options("joins")
@click.option("--clients", default=2000, show_default=True)
def main(runs: int, quick: bool, only: str, output: Path, clients: int) -> None:
    """Measure every server in turn, print the table, write the results."""
    if quick:
        runs, clients = 1, 20
    members = [name for name in available() if name != "bare send loop"]
    names = chosen([*members, *(f"{name}{_SUBSCRIBED}" for name in OURS)], only)
    rows = interleaved(names, runs, partial(_measure, clients=clients))
    middle = medians(names, rows)
    lines: list[list[object]] = []
    for name in names:
        row = middle.get(name)
        mine = row["us_per_join"] if row else None
        ratios = [ratio(mine, middle.get(other, {}).get("us_per_join")) for other in (_NODE, _STOCK)]
        lines.append([name, mine, *ratios, *((row["joins_s"], row["runs"]) if row else (None, None))])
    known = [name for name in names if not name.endswith(_SUBSCRIBED)]
    result = {"setting": {"clients": clients}, "medians": middle, "runs": rows, "peers": described(known)}
    finish(output, _HEADINGS, lines, result)


def _measure(name: str, clients: int) -> Row:
    server_name = name.removesuffix(_SUBSCRIBED)
    subscription = wish([SYMBOL]) if name != server_name else None
    with (
        tempfile.TemporaryDirectory(prefix="joins-") as place,
        feeder(Path(place), [SYMBOL]) as feed,
        served(server_name, Path(place), feed) as server,
    ):
        with viewing(server, 1, subscription):
            pass  # what the first connection loads is not part of the cost of the others
        time.sleep(0.5)
        used = server.used().cpu_s
        with viewing(server, clients, subscription) as viewers:
            cpu = server.used().cpu_s - used
    return {"us_per_join": cpu / clients * 1e6, "joins_s": clients / viewers.took_s}


if __name__ == "__main__":
    main()
