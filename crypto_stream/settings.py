"""Settings: read once from command line, environment and file into one frozen object."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from crypto_stream.errors import SettingError
from crypto_stream.setting_texts import flat_texts, texts
from crypto_stream.setting_types import Database, Level, Networks, Origins, RootPath, Words

PREFIX = "CRYPTO_STREAM_"
FILE_NAME = "crypto_stream.toml"
# Kinds of source of which there may be several, each with a table of its own: `[bridge.NAME]`.
_NAMED = ("bridge",)
# Variables with our prefix that are not settings: the supervisor and the tests use them.
_RESERVED = {"RECORDINGS", "INHERITED", "CONFIG", "TEST_SCALE", "CLIENT_ID"}


class Settings(BaseModel):
    """All settings; a description is the option's help text and its row in docs/settings.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 opens it to the network.")
    port: int = Field(
        8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one and prints it."
    )
    sources: Words = Field(
        ("binance", "okx", "synthetic"),
        min_length=1,
        description=(
            "Sources in order of preference, comma-separated;"
            " also replay:VENUE:FILE, bridge:NAME or bridge:ccxt:EXCHANGE."
        ),
    )
    pairs: Words = Field(
        ("top:20",),
        description="Real pairs, comma-separated: BTC-USDT, *-usdt, top:20; see below.",
    )
    server: Literal["eventlet", "gevent"] = Field(
        "eventlet", description="Green-thread server of the gateway."
    )
    workers: int = Field(
        1, ge=1, le=64, description="Gateway processes that run starts, sharing the one port."
    )
    polling: bool | None = Field(
        None,
        description="Whether viewers may use HTTP polling; empty: only with one gateway, and bus local.",
    )
    bus: SecretStr = Field(
        SecretStr("local"),
        description="Bus between engine and gateways: local, or redis://[user:password@]host:port/name,…",
    )
    parts: Literal["all", "engine", "gateways"] = Field(
        "all", description="What run starts on this machine; others than all need a bus between machines."
    )
    standby: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        1, description="Sources kept connected behind the serving one: a number, 0 (one at a time) or all."
    )
    data_dir: Path = Field(Path("data"), description="Folder for data that must survive a restart.")
    database: Database = Field(
        SecretStr("sqlite"),
        description="Where state, history and orders are stored: sqlite (files in data_dir) or postgresql://…",
    )
    keep_1s: float = Field(
        24.0,
        ge=0,
        le=1e6,
        description="Hours that one-second bars are kept, deleted by whole minutes; 0: for ever.",
    )
    keep_1m: float = Field(
        720.0,
        ge=0,
        le=1e6,
        description="Hours that one-minute bars are kept, deleted by whole hours; 0: for ever.",
    )
    keep_1h: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Hours that one-hour bars are kept, deleted by whole days; 0: for ever.",
    )
    log_file: Path = Field(Path("app.log"), description="Log file, written only by the supervisor.")
    log_level: Level = Field("INFO", description="Lowest level that is logged.")
    log_size: int = Field(10_000_000, ge=10_000, description="Bytes after which the log file is rotated.")
    log_count: int = Field(5, ge=0, le=1000, description="Rotated log files kept.")
    seed: int | None = Field(
        None,
        description="Seed that makes synthetic prices and order latencies repeatable; empty: random.",
    )
    stale_after: float = Field(
        5.0, gt=0, le=86_400, description="Seconds without data after which a source is stale."
    )
    quiet_after: float = Field(
        60.0,
        gt=0,
        description="Seconds of silence before an instrument that no other source carries counts as stale.",
    )
    failback_after: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="Seconds that a preferred source must be live again before it serves again.",
    )
    jump_guard: float = Field(
        5.0,
        ge=0,
        le=1e6,
        description="Percent by which prices may jump when the source changes, else it is held back; 0: any.",
    )
    index_min: int = Field(
        3, ge=1, le=100, description="Sources that an index needs; with fewer live ones it is stale."
    )
    index_band: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Percent from the median beyond which a source's price is left out of the index.",
    )
    connect_timeout: float = Field(
        10.0, gt=0, le=86_400, description="Seconds allowed for one attempt to connect to a venue."
    )
    ack_timeout: float = Field(
        10.0, gt=0, le=86_400, description="Seconds allowed for a venue to acknowledge a subscription."
    )
    handlers_dir: Path | None = Field(None, description="Folder with additional handlers, one file each.")
    runtime_dir: Path | None = Field(
        None, description="Folder with a short path for sockets; empty: a temporary one."
    )
    admin_token: SecretStr | None = Field(
        None, description="Token that allows pinning sources; empty: one is generated in the data directory."
    )
    origins: Origins = Field(
        (), description="Other web origins whose pages may read and connect; * allows all."
    )
    root_path: RootPath = Field(
        "", description="Path prefix that a reverse proxy passes on to the gateway, such as /crypto."
    )
    max_viewers: int = Field(
        20_000, ge=1, description="Open viewer and /ws connections of one gateway process (of each worker)."
    )
    max_per_address: int = Field(
        20_000,
        ge=1,
        description="Open WebSockets and Socket.IO sessions of one client address in one process.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Networks of proxies whose X-Forwarded-For is trusted (max_per_address and the log).",
    )
    slow_client_timeout: float = Field(
        30.0, gt=0, le=86_400, description="Seconds that a client may fail to read before it is disconnected."
    )
    viewer_rate: int = Field(
        200, ge=1, le=1_000_000, description="Socket.IO messages per second of one viewer; more are refused."
    )
    compression: bool = Field(
        True, description="Compress for viewers whose browser supports it, once per channel and flush."
    )
    prebuilt: bool = Field(
        True, description="Answer simple requests for prices and pages from memory, without Flask."
    )
    order_latency: float = Field(
        200.0,
        ge=0,
        le=60_000,
        description="Milliseconds, plus or minus half, until a placed order reaches the simulated market.",
    )
    order_outcomes: bool = Field(
        False, description="Let clients script the outcome of an order, to test their own programs."
    )
    order_rate: int = Field(
        200, ge=1, le=1_000_000, description="Messages per second of one connection to /ws; more are refused."
    )
    max_open_orders: int = Field(2_000, ge=1, le=100_000, description="Active orders of one owner.")
    max_open_per_address: int = Field(
        10_000, ge=1, le=1_000_000, description="Active orders of all owners of one client address."
    )
    max_open_per_gateway: int = Field(
        50_000, ge=1, le=1_000_000, description="Active orders of all owners of one gateway process."
    )
    max_open_in_all: int = Field(
        100_000,
        ge=1,
        le=1_000_000,
        description="Active orders altogether; each takes about 1.5 kB of the engine's memory.",
    )
    keep_owners: float = Field(
        90.0,
        ge=0,
        le=1e6,
        description="Days of uptime that an owner's orders are kept after it last connected; 0: for ever.",
    )
    max_sessions: int = Field(20, ge=1, le=10_000, description="Open connections to /ws of one owner.")
    max_subscriptions: int = Field(
        500, ge=1, le=100_000, description="Instruments that one connection to /ws may subscribe to."
    )
    replay_speed: Literal["recorded", "full"] = Field("recorded", description="Speed of replay:VENUE:FILE.")
    handler_options: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Settings of single handlers: CRYPTO_STREAM_<HANDLER>_<NAME>."
    )
    explicit_pairs: bool = Field(False, description="Internal: `pairs` was set, it is not the default.")


INTERNAL = ("handler_options", "explicit_pairs")
OPTIONS = tuple(name for name in Settings.model_fields if name not in INTERNAL)
# Never shown, not even in error messages.
_SECRETS = {
    name
    for name, field in Settings.model_fields.items()
    if SecretStr in (field.annotation, *get_args(field.annotation))
}


def load(command_line: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Merge settings, command line over environment over file; raise SettingError for an invalid one.

    `command_line` contains only the options that were given. `CRYPTO_STREAM_<HANDLER>_<NAME>` and the file's
    `[handler]` tables become `handler_options`, which are validated when handlers are loaded.
    """
    from_file, options = _from_file(file)
    explicit = "pairs" in command_line or "pairs" in from_file or bool(os.environ.get(f"{PREFIX}PAIRS"))
    for handler, given in _handler_options(os.environ).items():
        options[handler] = {**options.get(handler, {}), **given}

    class Loaded(Settings, BaseSettings):
        model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True)

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, InitSettingsSource(settings_cls, from_file)

    try:
        return Loaded(**command_line, handler_options=options, explicit_pairs=explicit)
    except ValidationError as error:
        raise SettingError(_one_line(error)) from None


def serialize(settings: Settings) -> dict[str, Any]:
    """Return all settings as JSON values, including the secret ones, for a child process."""
    secrets = {name: value.get_secret_value() for name, value in settings if isinstance(value, SecretStr)}
    return {**settings.model_dump(mode="json"), **secrets}


def deserialize(values: Mapping[str, Any]) -> Settings:
    """Restore settings from `serialize`; environment and file are not read again."""
    return Settings(**values)


def _from_file(file: Path | None) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    path = file or Path(FILE_NAME)
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if file:
            raise SettingError(
                f"config: {str(path)!r} does not exist; name a file or leave the option out"
            ) from None
        return {}, {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        denied = isinstance(error, PermissionError)
        why = "the user that runs this program must be allowed to read it" if denied else error
        raise SettingError(f"config: {str(path.absolute())!r} cannot be read: {why}") from None
    values: dict[str, Any] = {}
    tables: dict[str, dict[str, str]] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat = flat_texts if key in _NAMED else texts
            tables[key] = flat(value)
        elif isinstance(value, bool) and key in OPTIONS and Settings.model_fields[key].annotation is not bool:
            raise SettingError(f"{key}: {str(value).lower()!r} in {path} is not allowed: it is not a boolean")
        elif key in OPTIONS:
            values[key] = value
        else:
            raise SettingError(f"{key}: no such setting in {path}{_suggestion(key)}")
    return values, tables


def _handler_options(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Collect `CRYPTO_STREAM_<HANDLER>_<NAME>`; raise SettingError for other unknown variables of ours."""
    tables: dict[str, dict[str, str]] = {}
    for key, value in environ.items():
        name = key.removeprefix(PREFIX)
        if not value or not key.startswith(PREFIX) or name in _RESERVED or name.lower() in OPTIONS:
            continue
        handler, _, option = name.lower().partition("_")
        if not option:
            raise SettingError(f"{key}: no such setting{_suggestion(name.lower())}")
        tables.setdefault(handler, {})[option] = value
    return tables


def _suggestion(name: str) -> str:
    near = difflib.get_close_matches(name, OPTIONS, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(OPTIONS)}"


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    value = first.get("input")
    shown = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    if name in _SECRETS:
        shown = "…"
    why = first["msg"].removeprefix("Value error, ")
    if first["type"] == "too_short":
        why = "name at least one"
    return f"{name}: {shown!r} is not allowed: {why[:1].lower()}{why[1:]}"
