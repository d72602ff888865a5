"""Find handler modules and create sources from them. The file's name is the registration."""

from __future__ import annotations

import difflib
import importlib.util
import ipaddress
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from crypto_stream import layout
from crypto_stream.errors import BrokenHandlerError, RecordingError, SettingError, UnknownHandlerError
from crypto_stream.feed import recordings
from crypto_stream.feed.bridge import loading as bridges
from crypto_stream.feed.handler import MAX_FRAME_BYTES, Instrument, Limits, Rules
from crypto_stream.feed.names import read_names, read_without
from crypto_stream.feed.sources import Generator, Poller, Recording, Rest, Source, Venue
from crypto_stream.market.instruments import is_synthetic
from crypto_stream.settings import OPTIONS, Settings

# Settings of every venue, in addition to the handler's own.
_COMMON_OPTIONS = ("url", "rest_url", "without", "names")
_ADDRESS = re.compile(
    r"(?P<scheme>\w+)://(?P<host>\[[\d:.a-fA-F]+\]|[^\s/:@?#\[\]]+)(?::(?P<port>[0-9]{1,5}))?"
)
_LAST_PORT = 65535
_LONGEST_NAME = 253  # characters of a host's name, RFC 1035


def known_handlers(folder: Path | None = None) -> dict[str, Path]:
    """Map each handler's name to its file: the program's own first, then those in `folder`."""
    places = [layout.HANDLERS, *([folder] if folder else [])]
    found: dict[str, Path] = {}
    for place in places:
        if not place.is_dir():
            raise SettingError(f"handlers_dir: {str(place)!r} is not a folder")
        for file in sorted(place.glob("*.py")):
            if not file.stem.startswith("_"):
                found.setdefault(file.stem, file)
    return found


def load_source(name: str, folder: Path | None, options: Mapping[str, str]) -> Source:
    """Load the handler `name`; raise UnknownHandlerError or BrokenHandlerError."""
    known = known_handlers(folder)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise UnknownHandlerError(
            f"sources: {name!r} is not a handler; {hint}known: {', '.join(sorted(known))}"
        )
    return _make_source(name, known[name], _import(name, known[name]), options)


def load_sources(settings: Settings) -> list[Source]:
    """Load every source in the settings, best first; raise UsageError if one cannot be loaded.

    A source is given by its handler's name, or by its kind and that kind's arguments: `replay:binance:FILE`.
    """
    sources: list[Source] = []
    for word in settings.sources:
        kind, has_argument, argument = word.partition(":")
        if not has_argument:
            sources.append(
                load_source(word, settings.handlers_dir, _options_of(word, settings.handler_options))
            )
        elif kind in _KINDS_WITH_ARGUMENT:
            sources.append(_KINDS_WITH_ARGUMENT[kind](argument, settings))
        else:
            known = ", ".join(f"{each}:…" for each in _KINDS_WITH_ARGUMENT)
            raise SettingError(
                f"sources: {word!r} is not allowed: {kind!r} is not a kind of source; known: {known}"
            )
    names = [source.name for source in sources]
    if twice := {name for name in names if names.count(name) > 1}:
        raise SettingError(f"sources: {', '.join(sorted(twice))} is given twice; name each source once")
    check_options(settings.handlers_dir, settings.handler_options)
    return sources


def _load_replay(argument: str, settings: Settings) -> Source:
    venue_name, _, file = argument.partition(":")
    if not file:
        raise SettingError(f"sources: 'replay:{argument}' is not allowed: write replay:VENUE:FILE")
    venue = load_source(venue_name, settings.handlers_dir, _options_of(venue_name, settings.handler_options))
    if not isinstance(venue, Venue):
        raise RecordingError(
            f"sources: {venue.name!r} is not a venue; only a venue's recording can be replayed"
        )
    recordings.check(Path(file))
    return Recording(
        name=f"replay:{venue.name}",
        location=file,
        without=venue.without,
        names=venue.names,
        venue=venue,
        file=Path(file),
        speed=settings.replay_speed,
    )


# Kinds of sources that need more than a handler's name.
_KINDS_WITH_ARGUMENT: Mapping[str, Callable[[str, Settings], Source]] = {
    bridges.KIND: bridges.load_bridge,
    "replay": _load_replay,
}


def check_options(folder: Path | None, options: Mapping[str, Mapping[str, str]]) -> None:
    """Raise SettingError if a setting belongs to no handler."""
    bridges.check_options(options.get(bridges.KIND, {}))
    known = known_handlers(folder)
    full_names = (
        f"{name}_{option}" for name, given in options.items() if name != bridges.KIND for option in given
    )
    for full_name in full_names:
        if not any(full_name.startswith(f"{handler}_") for handler in known):
            near = difflib.get_close_matches(full_name, OPTIONS, n=1)
            hint = f"did you mean {near[0]}?" if near else f"handlers: {', '.join(known)}"
            raise SettingError(
                f"CRYPTO_STREAM_{full_name.upper()}: neither a setting nor a handler's; {hint}"
            )


def _options_of(name: str, options: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    """Return the settings of the handler `name`; CRYPTO_STREAM_MY_VENUE_URL may belong to `my_venue`."""
    first, _, rest = name.partition("_")
    joined = {
        option.removeprefix(f"{rest}_"): value
        for option, value in options.get(first, {}).items()
        if rest and option.startswith(f"{rest}_")
    }
    return {**options.get(name, {}), **joined}


def _import(name: str, file: Path) -> ModuleType:
    full_name = f"{layout.HANDLERS_PACKAGE}.{name}"
    if full_name in sys.modules:
        return sys.modules[full_name]
    spec = importlib.util.spec_from_file_location(full_name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a plug-in may raise anything
        del sys.modules[full_name]
        raise BrokenHandlerError(f"handler {name} ({file}) cannot be imported: {error!r}") from error
    return module


def _make_source(name: str, file: Path, module: ModuleType, options: Mapping[str, str]) -> Source:
    own = _own_options(name, module, options)
    kind = next((kind for kind, parts in _KINDS.items() if hasattr(module, parts[0])), Venue)
    if missing := [part for part in _KINDS[kind] if not hasattr(module, part)]:
        raise BrokenHandlerError(f"handler {name} ({file}) does not define {', '.join(missing)}")
    _check_shape(name, file, module)
    _check_instruments(name, file, module)
    common: dict[str, Any] = {
        "name": name,
        "location": str(file),
        "options": MappingProxyType(own),
        "carries": getattr(module, "INSTRUMENTS", None),
        "synthetic": getattr(module, "SYNTHETIC", False),
        "rules": getattr(module, "RULES", {}),
        "limits": getattr(module, "LIMITS", Limits()),
        "busy": getattr(module, "BUSY", None),
        "rest": _rest(name, module, options),
        **_pair_options(name, options),
    }
    if kind is Generator:
        return Generator(**common, events=module.events)
    if kind is Poller:
        return Poller(**common, every_s=module.EVERY_S, poll=module.poll, identify=module.venue_id)
    return Venue(
        **common,
        urls=_urls(name, module, options),
        reader=module.Reader,
        identify=module.venue_id,
        pair_of=module.pair_of,
        opening=getattr(module, "opening", None),
        gives_depth=getattr(module, "DEPTH", False),
    )


def _own_options(name: str, module: ModuleType, options: Mapping[str, str]) -> dict[str, str]:
    defaults = dict(getattr(module, "OPTIONS", {}))
    for option in options:
        if option not in defaults and option not in _COMMON_OPTIONS:
            allowed = ", ".join([*_COMMON_OPTIONS, *defaults])
            raise SettingError(
                f"CRYPTO_STREAM_{name.upper()}_{option.upper()}: no such setting; allowed: {allowed}"
            )
    own = {**defaults, **{key: value for key, value in options.items() if key in defaults}}
    if check := getattr(module, "check_options", None):
        try:
            check(own)
        except ValueError as error:
            raise SettingError(f"CRYPTO_STREAM_{name.upper()}: {error}") from None
    return own


def _urls(name: str, module: ModuleType, options: Mapping[str, str]) -> tuple[str, ...]:
    given = options.get("url")
    urls = [word.strip() for word in given.split(",")] if given else module.URLS
    for url in urls:
        _check_address(f"CRYPTO_STREAM_{name.upper()}_URL", url, ("ws", "wss"))
    return tuple(urls)


def _rest(name: str, module: ModuleType, options: Mapping[str, str]) -> Rest | None:
    url = options.get("rest_url") or getattr(module, "REST_URL", None)
    if not url:
        return None
    _check_address(f"CRYPTO_STREAM_{name.upper()}_REST_URL", url, ("http", "https"))
    functions = (getattr(module, part, None) for part in ("instruments", "candles", "volumes"))
    return Rest(url, *functions)


def _pair_options(name: str, options: Mapping[str, str]) -> dict[str, Any]:
    return {
        "without": read_without(options.get("without", ""), f"CRYPTO_STREAM_{name.upper()}_WITHOUT"),
        "names": MappingProxyType(
            read_names(options.get("names", ""), f"CRYPTO_STREAM_{name.upper()}_NAMES")
        ),
    }


def _check_shape(name: str, file: Path, module: ModuleType) -> None:
    """Raise BrokenHandlerError if a part does not have the type that the interface requires."""
    for part, (is_right, requirement) in _SHAPES.items():
        if hasattr(module, part) and not is_right(value := getattr(module, part)):
            raise BrokenHandlerError(
                f"handler {name} ({file}): {part} must be {requirement}, not {value!r:.100}"
            )
    for part in _FUNCTIONS:
        if not callable(getattr(module, part, _optional)):
            raise BrokenHandlerError(f"handler {name} ({file}): {part} must be a function")
    limits = getattr(module, "LIMITS", Limits())
    if not 0 < limits.frame_bytes <= MAX_FRAME_BYTES:
        raise BrokenHandlerError(
            f"handler {name} ({file}): frame_bytes of LIMITS must be above 0 and at most {MAX_FRAME_BYTES:,}"
        )
    if limits.books is not None and limits.books < 1:
        raise BrokenHandlerError(
            f"handler {name} ({file}): books of LIMITS must be 1 or more, or None, not {limits.books}"
        )


def _is_list_of(kind: type) -> Callable[[object], bool]:
    return lambda value: isinstance(value, (list, tuple)) and all(isinstance(each, kind) for each in value)


def _is_rules(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(each, Rules) for each in value.values())


# The optional and required values of a handler module: how to check each, and what it must be.
_SHAPES: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "URLS": (_is_list_of(str), "a list of addresses"),
    "INSTRUMENTS": (_is_list_of(Instrument), "a list of Instrument"),
    "RULES": (_is_rules, "a dict of symbols and Rules"),
    "LIMITS": (lambda value: isinstance(value, Limits), "made by Limits(...)"),
    "DEPTH": (lambda value: isinstance(value, bool), "True or False"),
}
_FUNCTIONS = (
    "Reader",
    "venue_id",
    "pair_of",
    "opening",
    "events",
    "poll",
    "instruments",
    "candles",
    "volumes",
    "check_options",
)


def _optional() -> None:
    """The default of functions that a handler need not define."""


def _check_instruments(name: str, file: Path, module: ModuleType) -> None:
    """Raise BrokenHandlerError if a synthetic price could appear under a real symbol."""
    synthetic = getattr(module, "SYNTHETIC", False)
    for instrument in getattr(module, "INSTRUMENTS", ()):
        if instrument.synthetic != synthetic or (is_synthetic(instrument.symbol) and not synthetic):
            raise BrokenHandlerError(
                f"handler {name} ({file}): {instrument.symbol} cannot be both real and synthetic"
            )


# What each kind of handler must define; the first item identifies the kind.
_KINDS: dict[type[Source], tuple[str, ...]] = {
    Generator: ("events", "INSTRUMENTS"),
    Poller: ("poll", "EVERY_S", "REST_URL", "venue_id"),
    Venue: ("Reader", "URLS", "venue_id", "pair_of"),
}


def _check_address(setting: str, address: str, schemes: tuple[str, ...]) -> None:
    form = _ADDRESS.fullmatch(address)
    if form is None or form["scheme"] not in schemes or int(form["port"] or 0) > _LAST_PORT:
        raise SettingError(
            f"{setting}: {address!r} is not allowed: write {schemes[-1]}://host:port, without a path"
        )
    if not _is_host(form["host"]):
        raise SettingError(f"{setting}: {address!r} is not allowed: {form['host']!r} is not a host name")


def _is_host(name: str) -> bool:
    """Return whether `name` is an IP address or a valid DNS name."""
    with suppress(ValueError):
        ipaddress.ip_address(name.strip("[]"))
        return True
    if "[" in name or not name.strip("0123456789."):  # meant as an address
        return False
    try:
        return len(name.rstrip(".").encode("idna")) <= _LONGEST_NAME
    except UnicodeError:
        return False
