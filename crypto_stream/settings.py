"""Settings: read once from command line, environment and file into one frozen object."""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from crypto_stream.errors import SettingError
from crypto_stream.setting_types import Level, Networks, Origins, RootPath, Words

PREFIX = "CRYPTO_STREAM_"
FILE_NAME = "crypto_stream.toml"
# Not settings of the program: what tests and the supervisor hand to processes they start.
_RESERVED = {"RECORDINGS", "INHERITED", "CONFIG", "TEST_SCALE", "CLIENT_ID"}


class Settings(BaseModel):
    """Every option of the commands; the description is its help text and its line in docs/settings.md."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 opens it to the network.")
    port: int = Field(
        8000, ge=0, le=65535, description="Port to listen on; 0 takes any free one and says which."
    )
    sources: Words = Field(
        ("binance", "okx", "synthetic"),
        min_length=1,
        description="Sources, best first, separated by commas; replay:VENUE:FILE plays a recording.",
    )
    pairs: Words = Field(
        ("btcusdt", "ethusdt", "xrpusdt"),
        description="Real pairs, separated by commas; BTC-USDT says where the base ends.",
    )
    server: Literal["eventlet", "gevent"] = Field(
        "eventlet", description="Green-thread server of the gateway."
    )
    workers: int = Field(1, ge=1, le=64, description="Gateway processes of run, all on the one port.")
    polling: bool | None = Field(
        None, description="Whether viewers may poll; empty: only where one gateway has the port alone."
    )
    standby: Annotated[int, Field(ge=0)] | Literal["all"] = Field(
        1, description="Sources kept connected behind the serving one: a number, 0 (one at a time) or all."
    )
    data_dir: Path = Field(Path("data"), description="Folder of what must survive a restart.")
    keep_1s: float = Field(
        24.0,
        ge=0,
        le=1e6,
        description="Hours of one-second bars kept of each instrument, by whole minutes; 0: for ever.",
    )
    keep_1m: float = Field(
        720.0,
        ge=0,
        le=1e6,
        description="Hours of one-minute bars kept of each instrument, by whole hours; 0: for ever.",
    )
    keep_1h: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Hours of one-hour bars kept of each instrument, by whole days; 0: for ever.",
    )
    log_file: Path = Field(Path("app.log"), description="Log file, written by the supervisor alone.")
    log_level: Level = Field("INFO", description="Least level logged.")
    log_size: int = Field(10_000_000, ge=10_000, description="Bytes after which the log file is rotated.")
    log_count: int = Field(5, ge=0, le=1000, description="Rotated log files kept.")
    seed: int | None = Field(
        None,
        description="Makes the synthetic walk and order latencies repeat exactly; empty: new each start.",
    )
    stale_after: float = Field(
        5.0, gt=0, le=86_400, description="Seconds without data after which a source is stale."
    )
    quiet_after: float = Field(
        60.0,
        gt=0,
        description="Seconds after which an instrument without a comparison source counts as dead.",
    )
    failback_after: float = Field(
        30.0,
        ge=0,
        le=86_400,
        description="Seconds a better source must be live again before it serves again.",
    )
    jump_guard: float = Field(
        5.0,
        ge=0,
        le=1e6,
        description="Percent a next source's price may be off the last one; beyond, it is held back. 0: any.",
    )
    connect_timeout: float = Field(
        10.0, gt=0, le=86_400, description="Seconds for one connection attempt to a venue."
    )
    ack_timeout: float = Field(
        10.0, gt=0, le=86_400, description="Seconds a venue has to acknowledge a subscription."
    )
    handlers_dir: Path | None = Field(None, description="Folder with further handlers, one file each.")
    runtime_dir: Path | None = Field(
        None, description="Short folder for sockets; empty: a fresh temporary one."
    )
    admin_token: SecretStr | None = Field(
        None, description="Token that may pin sources; none: the one made in the data directory."
    )
    origins: Origins = Field(
        (), description="Other web origins whose pages may read and connect; * allows every one."
    )
    root_path: RootPath = Field(
        "", description="Path under which a proxy serves this, where it hands it on: /crypto."
    )
    max_viewers: int = Field(
        20_000, ge=1, description="Open viewer and /ws connections of one gateway process (each worker)."
    )
    max_per_address: int = Field(
        20_000,
        ge=1,
        description="Open WebSockets and Socket.IO sessions of one client address, in one process.",
    )
    trusted_proxies: Networks = Field(
        (),
        description="Networks of proxies whose X-Forwarded-For is believed: for max_per_address, the log.",
    )
    patience: float = Field(
        30.0, gt=0, le=86_400, description="Seconds a viewer may not read before it is disconnected."
    )
    viewer_rate: int = Field(
        200, ge=1, le=1_000_000, description="Socket.IO messages a second of one viewer; more are refused."
    )
    compression: bool = Field(
        True, description="Compress for viewers whose browser can, once per channel and flush."
    )
    prebuilt: bool = Field(
        True, description="Answer simple requests for prices and pages at once, without Flask."
    )
    order_latency: float = Field(
        200.0,
        ge=0,
        le=60_000,
        description="Milliseconds, give or take half, until a placed order reaches the simulated market.",
    )
    order_outcomes: bool = Field(
        False, description="Let clients script what becomes of an order, for tests of their own programs."
    )
    order_rate: int = Field(
        200, ge=1, le=1_000_000, description="Messages a second of one connection to /ws; more are refused."
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
        description="Active orders in all: about 1.5 kB of the engine's memory each.",
    )
    keep_owners: float = Field(
        90.0,
        ge=0,
        le=1e6,
        description="Days of running that an owner nobody connects as is kept, with its orders; 0: for ever.",
    )
    max_sessions: int = Field(20, ge=1, le=10_000, description="Open connections to /ws of one owner.")
    max_subscriptions: int = Field(
        500, ge=1, le=100_000, description="Instruments one connection to /ws may subscribe to."
    )
    replay_speed: Literal["recorded", "full"] = Field("recorded", description="Pace of replay:VENUE:FILE.")
    handler_options: dict[str, dict[str, str]] = Field(
        default_factory=dict, description="Settings of single handlers: CRYPTO_STREAM_<HANDLER>_<NAME>."
    )
    explicit_pairs: bool = Field(
        False, description="Internal: pairs were named by a person, not by the default."
    )


INTERNAL = ("handler_options", "explicit_pairs")
OPTIONS = tuple(name for name in Settings.model_fields if name not in INTERNAL)


def load(command_line: Mapping[str, Any], file: Path | None = None) -> Settings:
    """Merge command line over environment over file; raise SettingError naming what is wrong.

    `command_line` holds only what was given. `CRYPTO_STREAM_<HANDLER>_<NAME>` and a file's `[handler]` tables
    become `handler_options`; whether such a handler and option exist is checked where handlers are loaded.
    """
    from_file, options = _from_file(file)
    named = "pairs" in command_line or "pairs" in from_file or bool(os.environ.get(f"{PREFIX}PAIRS"))
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
        return Loaded(**command_line, handler_options=options, explicit_pairs=named)
    except ValidationError as error:
        raise SettingError(_one_line(error)) from None


def hand_over(settings: Settings) -> dict[str, Any]:
    """Write every setting as plain JSON values, the token too: for a process that this one starts."""
    plain = settings.model_dump(mode="json")
    token = settings.admin_token
    return {**plain, "admin_token": token.get_secret_value() if token else None}


def take_over(plain: Mapping[str, Any]) -> Settings:
    """Read what `hand_over` wrote; environment and file are not looked at again."""
    return Settings(**plain)


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
        raise SettingError(f"config: {str(path)!r} cannot be read: {error}") from None
    plain: dict[str, Any] = {}
    tables: dict[str, dict[str, str]] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            tables[key] = {name: _text(inner) for name, inner in value.items()}
        elif isinstance(value, bool) and key in OPTIONS and Settings.model_fields[key].annotation is not bool:
            raise SettingError(f"{key}: {str(value).lower()!r} in {path} is not allowed: it is no switch")
        elif key in OPTIONS:
            plain[key] = value
        else:
            raise SettingError(f"{key}: no such setting in {path}{_meant(key)}")
    return plain, tables


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ",".join(f"{name}={inner}" for name, inner in value.items())
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _handler_options(environ: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Collect `CRYPTO_STREAM_<HANDLER>_<NAME>`; raise SettingError for a name that cannot be one."""
    tables: dict[str, dict[str, str]] = {}
    for key, value in environ.items():
        name = key.removeprefix(PREFIX)
        if not value or not key.startswith(PREFIX) or name in _RESERVED or name.lower() in OPTIONS:
            continue
        handler, _, option = name.lower().partition("_")
        if not option:
            raise SettingError(f"{key}: no such setting{_meant(name.lower())}")
        tables.setdefault(handler, {})[option] = value
    return tables


def _meant(name: str) -> str:
    near = difflib.get_close_matches(name, OPTIONS, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(OPTIONS)}"


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    name = str(first["loc"][0]) if first["loc"] else "settings"
    value = first.get("input")
    shown = ",".join(map(str, value)) if isinstance(value, (list, tuple)) else str(value)
    why = first["msg"].removeprefix("Value error, ")
    if first["type"] == "too_short":
        why = "name at least one"
    return f"{name}: {shown!r} is not allowed: {why[:1].lower()}{why[1:]}"
