"""Create the source `bridge:NAME` from its settings.

`bridge:ccxt:gate` is `bridge:gate`, brought by a program of ours: `bridges/ccxt.py` with the argument `gate`.
"""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from crypto_stream import layout
from crypto_stream.errors import SettingError
from crypto_stream.feed.bridge.place import Place, tcp_place, unix_place
from crypto_stream.feed.bridge.reception import Expected
from crypto_stream.feed.bridge.source import Bridge
from crypto_stream.feed.handler import Limits
from crypto_stream.feed.names import read_names, read_without
from crypto_stream.market.instruments import pair
from crypto_stream.settings import Settings

KIND = "bridge"
# `[bridge.NAME] command = …`, `CRYPTO_STREAM_BRIDGE_NAME_COMMAND`
OPTIONS = ("busy", "command", "config", "listen", "names", "python", "token", "without")
PROGRAMS = ("ccxt",)  # files in `bridges`, each with one argument that names the source
_NAME = re.compile(r"[a-z0-9][a-z0-9_]{0,30}")
_SHORTEST_TOKEN = 16
_LONGEST_TOKEN = 200
_LIMITS = Limits(request_bytes=64 * 1024)


def load_bridge(words: str, settings: Settings) -> Bridge:
    """Create the bridge NAME or PROGRAM:NAME; raise SettingError for a wrong setting."""
    program, _, name = words.rpartition(":")
    if not _NAME.fullmatch(name) or program not in ("", *PROGRAMS):
        raise SettingError(
            f"sources: 'bridge:{words}' is not allowed: write bridge:NAME, or bridge:PROGRAM:NAME with"
            f" a program of ours ({', '.join(PROGRAMS)}); NAME has at most 31 characters a-z, 0-9 and _"
        )
    check_options(settings.handler_options.get(KIND, {}))
    prefix = f"CRYPTO_STREAM_BRIDGE_{name.upper()}"
    options = _options_of(name, settings.handler_options.get(KIND, {}))
    place = _place(name, options, settings.data_dir, prefix)
    return Bridge(
        name=f"{KIND}:{name}",
        location=place.shown,
        urls=(place.shown,),
        without=read_without(options.get("without", ""), f"{prefix}_WITHOUT"),
        names=MappingProxyType(read_names(options.get("names", ""), f"{prefix}_NAMES")),
        limits=_LIMITS,
        busy=_busy(options.get("busy"), prefix),
        place=place,
        expected=Expected(name, _token(options, prefix)),
        command=_started(program, name, options, prefix),
        search_path=str(layout.BRIDGES.parent) if program else "",
    )


def check_options(options: Mapping[str, str]) -> None:
    """Raise SettingError for a setting that no bridge has; `options` are those of all, as `name_setting`."""
    for full_name in options:
        name, _, option = full_name.rpartition("_")
        if option not in OPTIONS or not _NAME.fullmatch(name):
            near = difflib.get_close_matches(option, OPTIONS, n=1)
            hint = f"did you mean {near[0].upper()}?" if near else f"allowed: {', '.join(OPTIONS)}"
            if not name:
                hint = "the name of a bridge must precede it"
            raise SettingError(f"CRYPTO_STREAM_BRIDGE_{full_name.upper()}: no such setting; {hint}")


def _options_of(name: str, options: Mapping[str, str]) -> dict[str, str]:
    return {
        full_name.removeprefix(f"{name}_"): value
        for full_name, value in options.items()
        if full_name.rpartition("_")[0] == name
    }


def _place(name: str, options: Mapping[str, str], data_dir: Path, prefix: str) -> Place:
    if address := options.get("listen"):
        return tcp_place(address, f"{prefix}_LISTEN")
    return unix_place(data_dir / f"bridge-{name}.sock", f"sources: 'bridge:{name}'")


def _token(options: Mapping[str, str], prefix: str) -> str:
    token = options.get("token", "")
    if token and not _SHORTEST_TOKEN <= len(token) <= _LONGEST_TOKEN:
        raise SettingError(
            f"{prefix}_TOKEN: {len(token)} characters are not allowed:"
            f" use {_SHORTEST_TOKEN} to {_LONGEST_TOKEN} that nobody can guess"
        )
    if options.get("listen") and not token:
        raise SettingError(
            f"{prefix}_LISTEN: a TCP address needs {prefix}_TOKEN:"
            " every user of this machine can connect to it"
        )
    return token


def _busy(text: str | None, prefix: str) -> str | None:
    if text is None:
        return None
    try:
        pair(text)
    except ValueError as error:
        raise SettingError(f"{prefix}_BUSY: {error}") from None
    return text


def _started(program: str, name: str, options: Mapping[str, str], prefix: str) -> tuple[str, ...]:
    """Return the command that starts it; empty: somebody else does."""
    for option in ("command",) if program else ("config", "python"):
        if option in options:
            form = f"bridge:{name}" if program else f"bridge:PROGRAM:{name}"
            raise SettingError(f"{prefix}_{option.upper()}: this setting is for {form} alone")
    if program:
        python = options.get("python", layout.BRIDGES_PYTHON)
        config = ("--config", options["config"]) if "config" in options else ()
        return python, "-P", "-m", f"{layout.BRIDGES.name}.{program}", name, *config
    return _command(options["command"], prefix) if "command" in options else ()


def _command(text: str, prefix: str) -> tuple[str, ...]:
    try:
        words = tuple(shlex.split(text))
    except ValueError as error:
        raise SettingError(f"{prefix}_COMMAND: {text!r} is not allowed: {error}") from None
    if not words:
        raise SettingError(f"{prefix}_COMMAND: {text!r} is not allowed: it names no program")
    return words
