"""Run one gateway by hand or for tests: `python -m tests.gateway.serve '{"server": "eventlet", "bus": "…"}'`.

The JSON holds `bus` (the engine's socket), perhaps `name` and `files` (how many it may open), and any
settings. First it prints the port; at each SIGUSR1, how many green threads it has.
"""

import gc
import importlib
import json
import resource
import signal
import sys


def serve(told: dict[str, object]) -> int:
    """Serve until a signal."""
    importlib.import_module("crypto_stream.descriptors")  # before eventlet removes `select.poll`
    importlib.import_module(f"crypto_stream.gateway.servers.{told.get('server', 'eventlet')}")
    import logging
    from pathlib import Path

    from crypto_stream.addresses import listen
    from crypto_stream.gateway import run
    from crypto_stream.settings import Settings

    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    if files := told.pop("files", None):
        most = int(str(files))
        resource.setrlimit(resource.RLIMIT_NOFILE, (most // 2, most))
    bus = Path(str(told.pop("bus")))
    name = str(told.pop("name", "gateway-1"))
    settings = Settings(**{"port": 0, **told})
    listener = listen(settings.host, settings.port)
    signal.signal(signal.SIGUSR1, _count_green_threads)
    sys.stdout.write(f"{listener.getsockname()[1]}\n")
    sys.stdout.flush()
    return run.main(settings, bus, listener, lambda: None, name)


def _count_green_threads(*_: object) -> None:
    greenlet = importlib.import_module("greenlet").greenlet  # installed with either server

    number = sum(isinstance(one, greenlet) and not one.dead for one in gc.get_objects())
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(serve(json.loads(sys.argv[1])))
