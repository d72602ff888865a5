"""Where every process begins: a half that was told what it is, or a command of a person.

A half is this program started anew with CRYPTO_STREAM_INHERITED in its environment, JSON of: `half`,
`name`, `settings`, `bus` (path of the socket between the halves), for a gateway `listener` and `family` (a
descriptor and its address family), and, where a supervisor started it, `log` (descriptor of its pipe) and
`hang_s`. A half that runs alone writes its own log.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crypto_stream.settings import Settings


def main() -> None:
    """Run what this process was started for and exit with its status."""
    told = os.environ.pop("CRYPTO_STREAM_INHERITED", None)
    if told is None:
        from crypto_stream import secret_options

        secret_options.hide()
        from crypto_stream.cli import main as command

        sys.exit(command())
    import json

    sys.exit(_half(json.loads(told)))


def _half(told: dict[str, Any]) -> int:
    import gc
    import importlib

    importlib.import_module("crypto_stream.descriptors")  # before its `poll` is patched away
    if told["half"] == "gateway":  # its first statement patches: nothing else may be imported before it
        importlib.import_module(f"crypto_stream.gateway.servers.{told['settings']['server']}")
    import logging
    import socket
    from pathlib import Path

    from crypto_stream.errors import UsageError
    from crypto_stream.settings import take_over

    settings = take_over(told["settings"])
    beat = _start_log(told, settings)
    try:
        half = importlib.import_module(f"crypto_stream.{told['half']}.run")
        # The garbage collector need not look through the code again and again: everybody waits for it, 50 ms.
        gc.collect()
        gc.freeze()
        if told["half"] == "engine":
            return int(half.main(settings, Path(told["bus"]), beat))
        # The family must be said: a green socket takes any descriptor for IPv4 and would misread addresses.
        listener = socket.socket(told["family"], socket.SOCK_STREAM, fileno=told["listener"])
        return int(half.main(settings, Path(told["bus"]), listener, beat, told["name"]))
    except UsageError as error:
        logging.getLogger(__package__).error("%s", error)
        return 2


def _start_log(told: dict[str, Any], settings: Settings) -> Callable[[], None]:
    """Log to the supervisor or, alone, to a file beside its; return the function that says "I live"."""
    from crypto_stream import logs
    from crypto_stream.errors import UsageError

    name = told["name"]
    if "log" in told:
        pipe = logs.PipeHandler(told["log"], name, told["hang_s"])
        logs.configure(settings.log_level, pipe)
        return pipe.beat
    path = settings.log_file.with_suffix(f".{name}{settings.log_file.suffix}")
    try:
        file = logs.LogFile(path, settings.log_size, settings.log_count, name)
    except UsageError as error:
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(2)
    logs.configure(settings.log_level, file, logs.Terminal(name))
    return lambda: None


if __name__ == "__main__":
    main()
