"""How the halves are started: one road, whether a person starts one or the supervisor both."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from crypto_stream import __version__, addresses, leftovers, logs, proof, systemd
from crypto_stream.errors import UsageError
from crypto_stream.feed.loading import load_sources
from crypto_stream.settings import Settings, hand_over
from crypto_stream.supervisor import INHERITED, Program, Supervisor

_log = logging.getLogger(__name__)
_VENDOR = Path(__file__).parent.parent / "static" / "vendor"
_SCRIPTS = ("socket.io.esm.min.js", "lightweight-charts.standalone.production.mjs")


def run_all(settings: Settings, say: Callable[[str], None]) -> int:
    """Run engine, gateways and supervisor until a signal; `say` tells a person that all of it serves.

    Returns the exit status; raises UsageError in one line for what cannot be started as the settings say.
    """
    load_sources(settings)
    check_gateway(settings)
    left = leftovers.end_leftovers(settings.data_dir)
    listeners = addresses.listen_together(settings.host, settings.port, settings.workers)
    web = addresses.web_address(listeners[0])
    programs = [
        Program("engine", _command("engine"), _told("engine", settings, None)),
        *(
            Program(
                f"gateway-{number}", _command("gateway"), _told("gateway", settings, each), [each.fileno()]
            )
            for number, each in enumerate(listeners, 1)
        ),
    ]
    file = logs.LogFile(settings.log_file, settings.log_size, settings.log_count, "supervisor")
    terminal = logs.Terminal("supervisor")
    notifier = systemd.Notifier()
    logs.configure(settings.log_level, file, terminal)

    def take(line: str) -> None:
        file.line(line)
        terminal.line(line)

    def serving() -> None:
        gateways = f"; {settings.workers} gateways" if settings.workers > 1 else ""
        about = f"sources {', '.join(settings.sources)}{gateways}; log {settings.log_file}; Ctrl-C ends it"
        say(f"Crypto Stream {__version__} serves {web} ({about})")
        _log.info("serving", extra={"address": web})
        notifier.ready(f"serves {web}")

    _log.info("start", extra={"version": __version__, "pid": os.getpid(), "data_dir": settings.data_dir})
    for pid in left:
        _log.warning("ended a process that a killed run had left behind", extra={"pid": pid})
    leftovers.announce(settings.data_dir, web)
    roster = leftovers.Roster(settings.data_dir)
    status = Supervisor(programs, take, serving, note=roster.note, beat=notifier.beat).run()
    if settings.runtime_dir is None:
        with suppress(OSError):  # a socket in it belongs to somebody who lives
            Path(programs[0].told["bus"]).parent.rmdir()
    _log.info("stop", extra={"status": status})
    return status


def become_engine(settings: Settings, say: Callable[[str], None]) -> None:
    """Replace this process by the engine."""
    load_sources(settings)
    told = _told("engine", settings, None)
    say(f"Crypto Stream {__version__} engine (sources {', '.join(settings.sources)}); Ctrl-C ends it")
    _become("engine", told)


def become_gateway(settings: Settings, say: Callable[[str], None]) -> None:
    """Replace this process by a gateway on a port of its own, whatever `workers` says of `run`."""
    check_gateway(settings)
    listener = addresses.listen(settings.host, settings.port)
    told = _told("gateway", settings.model_copy(update={"workers": 1}), listener)
    web = addresses.web_address(listener)
    leftovers.announce(settings.data_dir, web)
    say(f"Crypto Stream {__version__} gateway at {web}; Ctrl-C ends it")
    _become("gateway", told)


def check_gateway(settings: Settings, vendor: Path = _VENDOR) -> None:
    """Raise UsageError when the green server, or the scripts of the pages in `vendor`, are not installed."""
    if importlib.util.find_spec(settings.server) is None:
        install = f"{sys.executable} -m pip install {settings.server}"
        raise UsageError(f"server: {settings.server!r} is not installed; run: {install}")
    if not all((vendor / script).is_file() for script in _SCRIPTS):
        raise UsageError("the scripts of the pages are not installed yet; run: make setup")


def _command(half: str) -> list[str]:
    return [sys.executable, "-m", "crypto_stream", half]


def _told(half: str, settings: Settings, listener: socket.socket | None) -> dict[str, Any]:
    token = settings.admin_token or SecretStr(proof.make_token(settings.data_dir))
    settings = settings.model_copy(update={"admin_token": token})
    return {
        "half": half,
        "name": half,
        "settings": hand_over(settings),
        "bus": str(addresses.bus_path(settings.data_dir, settings.runtime_dir)),
        "listener": None if listener is None else listener.fileno(),
        "family": None if listener is None else int(listener.family),
    }


def _become(half: str, told: dict[str, Any]) -> None:
    os.execve(sys.executable, _command(half), {**os.environ, INHERITED: json.dumps(told)})
