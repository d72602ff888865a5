"""Entry point of every process: a command typed by a user, or the engine or a gateway.

An engine or gateway finds CRYPTO_STREAM_INHERITED in its environment, a JSON object: `role` ("engine" or
"gateway"), `name`, `settings`, `bus` (path of the socket between engine and gateways), for a gateway
`listener` and `family` (a file descriptor and its address family), and, when a supervisor started it, `log`
(file descriptor of its log pipe) and `hang_s`. Without a supervisor the process writes its own log file.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crypto_stream.settings import Settings

# A gateway's full garbage collections: one after so many partial ones; Python's default is 10.
_FULL_COLLECTIONS = 100


def main() -> None:
    """Run a command, an engine or a gateway, and exit with its status."""
    inherited = os.environ.pop("CRYPTO_STREAM_INHERITED", None)
    if inherited is None:
        from crypto_stream import secret_options

        secret_options.move_to_environment()
        from crypto_stream.cli import main as command

        sys.exit(command())
    import json

    sys.exit(_run_role(json.loads(inherited)))


def _run_role(inherited: dict[str, Any]) -> int:
    import gc
    import importlib

    importlib.import_module("crypto_stream.descriptors")  # must import `poll` before it is monkey-patched
    if inherited["role"] == "gateway":  # this module monkey-patches first, so nothing else may precede it
        importlib.import_module(f"crypto_stream.gateway.servers.{inherited['settings']['server']}")
    import logging
    import socket
    from pathlib import Path

    from crypto_stream.errors import UsageError
    from crypto_stream.settings import deserialize

    settings = deserialize(inherited["settings"])
    beat = _start_log(inherited, settings)
    try:
        module = importlib.import_module(f"crypto_stream.{inherited['role']}.run")
        # Exclude the loaded modules from garbage collection: scanning them pauses everything for 50 ms.
        gc.collect()
        gc.freeze()
        if inherited["role"] == "engine":
            return int(module.main(settings, Path(inherited["bus"]), beat, lambda: beat(waits=True)))
        # With 20,000 viewers a full collection stops the gateway for more than 100 ms. It is seldom needed:
        # those that leave are freed without it.
        gc.set_threshold(*gc.get_threshold()[:2], _FULL_COLLECTIONS)
        # Pass the family explicitly: a green socket assumes IPv4 and would misread IPv6 addresses.
        listener = socket.socket(inherited["family"], socket.SOCK_STREAM, fileno=inherited["listener"])
        return int(module.main(settings, Path(inherited["bus"]), listener, beat, inherited["name"]))
    except UsageError as error:
        logging.getLogger(__package__).error("%s", error)
        return 2


def _start_log(inherited: dict[str, Any], settings: Settings) -> Callable[..., None]:
    """Log to the supervisor's pipe or, without one, to a file of our own; return the heartbeat function."""
    from crypto_stream import logs
    from crypto_stream.errors import UsageError

    name = inherited["name"]
    if "log" in inherited:
        pipe = logs.PipeHandler(inherited["log"], name, inherited["hang_s"])
        logs.configure(settings.log_level, pipe)
        return pipe.beat
    path = settings.log_file.with_suffix(f".{name}{settings.log_file.suffix}")
    try:
        file = logs.LogFile(path, settings.log_size, settings.log_count, name)
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(2)
    logs.configure(settings.log_level, file, logs.Terminal(name))
    return lambda **_: None


if __name__ == "__main__":
    main()
