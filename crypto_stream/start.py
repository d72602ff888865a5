"""Start engine and gateways: under a supervisor, all or a part of them, or one in place of this process."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import socket
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from crypto_stream import __version__, addresses, admin_token, layout, logs, orphans, systemd
from crypto_stream.bus.backends import describe_bus, is_local
from crypto_stream.child_process import INHERITED, Program
from crypto_stream.errors import UsageError
from crypto_stream.feed.bridge.source import Bridge
from crypto_stream.feed.loading import load_sources
from crypto_stream.feed.sources import Source
from crypto_stream.private_files import make_private
from crypto_stream.settings import Settings, serialize
from crypto_stream.supervisor import Supervisor

_log = logging.getLogger(__name__)
_SCRIPTS = ("socket.io.esm.min.js", "lightweight-charts.standalone.production.mjs")


def run_all(settings: Settings, echo: Callable[[str], None]) -> int:
    """Run this machine's part under a supervisor until a signal; `echo` prints a line once all are serving.

    Returns the exit status; raises UsageError, in one line, if they cannot be started with these settings.
    """
    bus = check_parts(settings)
    if settings.parts == "gateways":
        _make_data_dir(settings.data_dir)
    ended = orphans.end_orphans(settings.data_dir)
    listeners: list[socket.socket] = []
    if settings.parts != "engine":
        listeners = addresses.listen_shared(settings.host, settings.port, settings.workers)
    programs = _programs(settings, listeners)
    served = addresses.describe_address(listeners[0]) if listeners else None
    write = _open_log(settings)
    notifier = systemd.Notifier()

    def on_serving() -> None:
        echo(_serving_line(settings, served, bus))
        _log.info("serving", extra={"address": served, "bus": bus})
        notifier.ready(f"serves {served}" if served else "the engine is running")

    def on_following() -> None:
        echo(_serving_line(settings, served, bus, follows=True))
        _log.info("following", extra={"address": served, "bus": bus})
        notifier.ready("the engine follows")

    _log.info("start", extra={"version": __version__, "pid": os.getpid(), "data_dir": settings.data_dir})
    for pid in ended:
        _log.warning("ended a process that a killed run had left behind", extra={"pid": pid})
    if listeners:
        orphans.publish_address(settings.data_dir, addresses.web_address(listeners[0]))
    status = Supervisor(
        programs,
        write,
        on_serving,
        on_processes=orphans.ProcessList(settings.data_dir).update,
        beat=notifier.beat,
        on_waiting=on_following,
    ).run()
    if settings.runtime_dir is None:
        with suppress(OSError):  # not empty: another process is using a socket in it
            Path(programs[0].inherited["bus"]).parent.rmdir()
    _log.info("stop", extra={"status": status})
    return status


def check_parts(settings: Settings) -> str:
    """Raise UsageError if the chosen parts cannot run with these settings; return the bus without secrets."""
    bus = settings.bus.get_secret_value()
    shown = describe_bus(bus)
    if settings.parts != "all" and is_local(bus):
        raise UsageError(
            f"parts: {settings.parts!r} needs a bus between machines: --bus redis://host:6379/name; "
            "on a single machine use the commands engine and gateway"
        )
    if settings.parts != "gateways":
        load_sources(settings)
    if settings.parts != "engine":
        check_gateway(settings)
    return shown


def _make_data_dir(data_dir: Path) -> None:
    """Make the folder of the process list where no engine does; UsageError if that is impossible."""
    try:
        make_private(data_dir)
    except OSError as error:
        raise UsageError(f"data_dir: {str(data_dir)!r} cannot be used: {error.strerror}") from None


def _programs(settings: Settings, listeners: Sequence[socket.socket]) -> list[Program]:
    programs = _gateways(settings, listeners)
    if settings.parts != "gateways":
        engine = Program("engine", _command("engine"), _inherited("engine", settings), stops_last=True)
        programs = [engine, *programs, *_bridges(load_sources(settings))]
    return programs


def _serving_line(settings: Settings, served: str | None, bus: str, *, follows: bool = False) -> str:
    """Return the one line that says what runs, and whether its engine `follows` another one."""
    details = [f"log {settings.log_file}", "press Ctrl-C to stop"]
    if served and settings.workers > 1:
        details.insert(0, f"{settings.workers} gateways")
    if settings.parts != "gateways":
        details.insert(0, f"sources {', '.join(settings.sources)}")
    if not is_local(settings.bus.get_secret_value()):
        details.insert(-1, f"bus {bus}")
    what = f"serves {served}" if served else "runs the engine"
    if follows:
        # Gateways of this machine reach the engine that leads only over a bus between machines.
        reached = served and not is_local(settings.bus.get_secret_value())
        what = f"serves {served} while its engine follows" if reached else "follows the engine that leads"
    return f"Crypto Stream {__version__} {what} ({'; '.join(details)})"


def _open_log(settings: Settings) -> Callable[[str], None]:
    """Open the log file; return the function that writes a line of another process to file and terminal."""
    file = logs.LogFile(settings.log_file, settings.log_size, settings.log_count, "supervisor")
    terminal = logs.Terminal("supervisor")
    logs.configure(settings.log_level, file, terminal)

    def write(line: str) -> None:
        file.line(line)
        terminal.line(line)

    return write


def become_engine(settings: Settings, echo: Callable[[str], None]) -> None:
    """Replace this process by the engine."""
    describe_bus(settings.bus.get_secret_value())
    load_sources(settings)
    inherited = _inherited("engine", settings)
    echo(f"Crypto Stream {__version__} engine (sources {', '.join(settings.sources)}); press Ctrl-C to stop")
    _become("engine", inherited)


def become_gateway(settings: Settings, echo: Callable[[str], None]) -> None:
    """Replace this process by a single gateway on its own port; `workers` applies to `run` only."""
    describe_bus(settings.bus.get_secret_value())
    check_gateway(settings)
    listener = addresses.listen(settings.host, settings.port)
    inherited = _inherited("gateway", settings.model_copy(update={"workers": 1}), listener)
    orphans.publish_address(settings.data_dir, addresses.web_address(listener))
    served = addresses.describe_address(listener)
    echo(f"Crypto Stream {__version__} gateway at {served}; press Ctrl-C to stop")
    _become("gateway", inherited)


def check_gateway(settings: Settings, vendor: Path = layout.STATIC / "vendor") -> None:
    """Raise UsageError if the green server, or the pages' scripts in `vendor`, are not installed."""
    if importlib.util.find_spec(settings.server) is None:
        install = f"{sys.executable} -m pip install {settings.server}"
        raise UsageError(f"server: {settings.server!r} is not installed; run: {install}")
    if not all((vendor / script).is_file() for script in _SCRIPTS):
        raise UsageError("the scripts of the pages are not installed yet; run: make setup")


def _gateways(settings: Settings, listeners: Sequence[socket.socket]) -> list[Program]:
    return [
        Program(
            name=f"gateway-{number}",
            command=_command("gateway"),
            inherited=_inherited("gateway", settings, listener),
            fds=[listener.fileno()],
        )
        for number, listener in enumerate(listeners, 1)
    ]


def _bridges(sources: Sequence[Source]) -> list[Program]:
    """Return the bridges that are to be started, each told where to connect."""
    return [
        Program(source.name, source.command, source.environment, foreign=True)
        for source in sources
        if isinstance(source, Bridge) and source.command
    ]


def _command(role: str) -> list[str]:
    return [sys.executable, *layout.RUN, role]


def _inherited(role: str, settings: Settings, listener: socket.socket | None = None) -> dict[str, Any]:
    token = settings.admin_token or SecretStr(admin_token.make_token(settings.data_dir))
    settings = settings.model_copy(update={"admin_token": token})
    return {
        "role": role,
        "name": role,
        "settings": serialize(settings),
        "bus": str(addresses.bus_path(settings.data_dir, settings.runtime_dir)),
        "listener": None if listener is None else listener.fileno(),
        "family": None if listener is None else int(listener.family),
    }


def _become(role: str, inherited: dict[str, Any]) -> None:
    os.execve(sys.executable, _command(role), {**os.environ, INHERITED: json.dumps(inherited)})
