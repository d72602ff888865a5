"""Run one fake venue as a process: prints its port on one line, then serves until it is ended."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from tests.fakes import FAKES


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m tests.fakes", description=__doc__)
    parser.add_argument("venue", choices=FAKES)
    parser.add_argument("--port", type=int, default=0, help="port; 0 takes any free one")
    parser.add_argument("--symbols", default="btcusdt,ethusdt,xrpusdt", help="symbols, separated by commas")
    parser.add_argument("--rate", type=float, default=20.0, help="top-of-book changes per second and symbol")
    parser.add_argument("--price", help="start price of every symbol")
    parser.add_argument("--near", help="so many bps above the common start, instead of a distance of its own")
    parser.add_argument("--seed", type=int, default=1, help="seed of the random walks")
    parser.add_argument("--fault", default="none", help="fault to begin with")
    parser.add_argument("--fault-symbol", default="", help="symbol the fault is limited to")
    asyncio.run(_serve(parser.parse_args()))


async def _serve(given: argparse.Namespace) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    symbols = given.symbols.split(",")
    start = {"price": given.price, "near": given.near, "seed": given.seed}
    made = FAKES[given.venue](symbols, rate=given.rate, port=given.port, **start)
    async with made as fake:
        await fake.fault(given.fault, given.fault_symbol)
        sys.stdout.write(f"{fake.port}\n")
        sys.stdout.flush()
        await ended.wait()


if __name__ == "__main__":
    main()
