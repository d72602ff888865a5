"""The main commands. Each setting is an option of `run` and the other commands that load settings."""

from __future__ import annotations

import functools
import logging
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click
from pydantic import SecretStr

from crypto_stream import __version__
from crypto_stream.cli.instruments import instruments
from crypto_stream.cli.orders import order
from crypto_stream.cli.stores import backup, move, owner, restore
from crypto_stream.cli.target import (
    PROGRAM,
    address,
    admin_token,
    data_dir_option,
    token_option,
    url_option,
    with_options,
    with_token,
)
from crypto_stream.errors import BrokenHandlerError, CryptoStreamError, UsageError
from crypto_stream.settings import OPTIONS, Settings, load

if TYPE_CHECKING:
    from crypto_stream.client import Client

# Further imports are in the commands, so that each starts quickly.


def main() -> int:
    """Run one command and return its exit status; errors are printed as one line."""
    try:
        return cli.main(prog_name=PROGRAM, standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else PROGRAM
        click.echo(f"Error: {error.format_message()} See: {command} --help", err=True)
    except UsageError as error:
        click.echo(f"Error: {error}", err=True)
    except CryptoStreamError as error:
        click.echo(f"Error: {error}", err=True)
        return 1
    except (click.Abort, KeyboardInterrupt):
        return 130
    except BrokenPipeError:  # the reader of our output has closed it, like `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="Crypto Stream", message="%(prog)s %(version)s")
def cli() -> None:
    """Crypto Stream: one dependable live price feed out of several exchanges."""


for _command in (order, instruments, backup, restore, move, owner):
    cli.add_command(_command)


def default_text(name: str) -> str:
    """Return a setting's default as a user would write it."""
    default = Settings.model_fields[name].get_default(call_default_factory=True)
    if isinstance(default, SecretStr):  # a default is no secret
        default = default.get_secret_value()
    if isinstance(default, tuple):
        return ",".join(default) or "none"
    return "none" if default in {None, ""} else str(default)


def allowed_text(annotation: object, description: str) -> str:
    """Return the allowed values of a setting; the description of a float must begin with its unit."""
    words: dict[object, str] = {
        int: "INTEGER",
        float: description.split()[0].strip(",").upper(),
        Path: "PATH",
    }
    parts = [part if isinstance(part, str) else words.get(part) for part in _leaves(annotation)]
    return "|".join(part for part in parts if part) or "TEXT"


def _leaves(annotation: object) -> list[Any]:
    parts = get_args(annotation)
    return [leaf for part in parts for leaf in _leaves(part)] if parts else [annotation]


def with_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add an option per setting and `--config` to a command, which then receives the loaded Settings."""

    @functools.wraps(command)
    def call(config: Path | None, **given: Any) -> Any:
        chosen = {name: value for name in OPTIONS if (value := given.pop(name)) is not None}
        return command(load(chosen, config), **given)

    decorated: Callable[..., Any] = call
    for name in reversed(OPTIONS):
        field = Settings.model_fields[name]
        decorated = click.option(
            f"--{name.replace('_', '-')}",
            name,
            metavar=allowed_text(field.annotation, field.description or ""),
            help=f"{field.description} [{default_text(name)}]",
        )(decorated)
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        envvar="CRYPTO_STREAM_CONFIG",
        help="File with settings. [crypto_stream.toml, if there]",
    )(decorated)


@cli.command()
@with_settings
def run(settings: Settings) -> int:
    """Run everything on this machine: engine, gateways and a supervisor that restarts them."""
    from crypto_stream.start import run_all

    return run_all(settings, _echo)


@cli.command()
@with_settings
def engine(settings: Settings) -> None:
    """Run only the engine: sources, failover, book; gateways with the same data directory find it."""
    from crypto_stream.start import become_engine

    become_engine(settings, _echo)


@cli.command()
@with_settings
def gateway(settings: Settings) -> None:
    """Run only a gateway: pages, API and viewers, for the engine with the same data directory."""
    from crypto_stream.start import become_gateway

    become_gateway(settings, _echo)


def _echo(line: str) -> None:
    with suppress(OSError):  # a closed standard output must not prevent serving
        click.echo(line)
        sys.stdout.flush()


@cli.command()
@with_settings
def sources(settings: Settings) -> None:
    """List the known handlers, where they were found and which instruments they carry."""
    from crypto_stream import screen
    from crypto_stream.feed.loading import known_handlers, load_source

    rows = []
    for name, file in known_handlers(settings.handlers_dir).items():
        try:
            source = load_source(name, settings.handlers_dir, settings.handler_options.get(name, {}))
            carries = _carried([each.symbol for each in source.carries or ()])
        except BrokenHandlerError as error:
            carries = f"cannot be loaded: {error}"
        place = settings.sources.index(name) + 1 if name in settings.sources else None
        rows.append((name, str(place or "-"), carries, str(file)))
    for line in screen.table(("SOURCE", "ORDER", "CARRIES", "FOUND IN"), rows):
        click.echo(line)


def _carried(symbols: list[str]) -> str:
    if not symbols:  # a venue
        return "the pairs of the settings"
    return ", ".join(
        symbols if len(symbols) < 6 else [*symbols[:2], f"… {len(symbols)} in total", symbols[-1]]
    )


@cli.command()
def venues() -> None:
    """Print docs/venues.md: what each handler takes from its venue, its limits, the evidence for it."""
    from crypto_stream.feed.venue_table import venue_tables

    click.echo(venue_tables(), nl=False)


@cli.command()
@click.argument("file", type=click.Path(path_type=Path))
@with_settings
def record(settings: Settings, file: Path) -> int:
    """Record the raw frames of one venue (--sources NAME) to FILE; replay:VENUE:FILE plays them back."""
    from crypto_stream import logs
    from crypto_stream.engine.run import record as record_frames

    logs.configure(settings.log_level, logs.Terminal("record", logging.INFO))
    return record_frames(settings, file)


def _client(url: str | None, token: str | None = None, data_dir: Path | None = None) -> Client:
    """Create a client for the gateway at `url`, by default for the one running on this machine."""
    from crypto_stream.client import Client

    return Client(address(url, data_dir), token)


@cli.command()
@click.argument("source")
@url_option
@data_dir_option
@token_option
def switch(source: str, url: str | None, data_dir: Path | None, token: str | None) -> None:
    """Pin SOURCE on a running gateway, so that only it serves; "auto" undoes it."""
    from crypto_stream import screen

    with with_token(token, data_dir, url) as known:
        client = _client(url, known, data_dir)
        client.switch(source)
    if source == "auto":
        click.echo("Unpinned: each instrument is served by the first of its sources that is live.")
    else:
        undo = with_options("switch auto", url=url, data_dir=data_dir)
        click.echo(f"Pinned: only {source} serves; undo it with: {undo}")
    rows = [(each.name, each.state, each.reason or "") for each in client.sources().sources]
    for line in screen.table(("SOURCE", "STATE", "REASON"), rows):
        click.echo(line)


@cli.command()
@data_dir_option
def token(data_dir: Path | None) -> None:
    """Print the admin token of this machine, which pages and programs need to pin a source."""
    click.echo(admin_token(data_dir))


@cli.command()
@click.argument("symbols", nargs=-1)
@click.option(
    "--best", is_flag=True, help="The best bid and ask over all sources, of at most 20 instruments."
)
@url_option
def watch(symbols: tuple[str, ...], best: bool, url: str | None) -> None:
    """Show live quotes of a running gateway, by default of all instruments; press Ctrl-C to stop.

    With --best the default are the first 20 real pairs.
    """
    from crypto_stream.cli.watching import watch as show

    with suppress(KeyboardInterrupt):
        show(_client(url), symbols, best=best)
