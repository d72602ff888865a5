"""The ends of a bus under measurement: `python -m benchmarks.bus_ends engine|gateways BUS PATH [COUNT]`.

The engine publishes as `benchmarks.feeder` does, on uvloop like the real one. `gateways` are COUNT ends,
each with a mirror, in one green process. A line is printed when all have the state; SIGUSR1 begins a
measurement, SIGUSR2 prints what was received since: {"messages", "p50_ms", "p99_ms", "resets"}.
"""

import importlib
import json
import signal
import sys
from pathlib import Path


def engine(bus: str, path: Path) -> None:
    """Publish one quote at the rate that standard input says."""
    import asyncio

    import uvloop

    from benchmarks.feeder import main

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(path, ["btcusdt"], bus))


def gateways(bus: str, path: Path, count: int) -> None:
    """Follow the engine with several ends, until terminated."""
    importlib.import_module("crypto_stream.descriptors")
    importlib.import_module("crypto_stream.gateway.servers.eventlet")  # patches: nothing may precede it
    import time

    from benchmarks.bus_readers import Readers

    readers = Readers(bus, path, count)
    asked: list[int] = []
    for number in (signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, lambda number, _: asked.append(number))
    readers.start()
    while not readers.ready():
        time.sleep(0.01)
    _say({"ready": count})
    while True:
        time.sleep(0.05)
        while asked:
            if asked.pop(0) == signal.SIGUSR1:
                readers.begin()
            else:
                _say(readers.report())


def _say(answer: object) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "engine":
        engine(sys.argv[2], Path(sys.argv[3]))
    else:
        gateways(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
