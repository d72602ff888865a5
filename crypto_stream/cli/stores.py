"""The commands about stored data: backup, restore, moving it; listing and removing owners of orders."""

from __future__ import annotations

import os
import pwd
import shlex
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crypto_stream.cli.target import with_options
from crypto_stream.errors import UsageError
from crypto_stream.setting_types import is_postgresql
from crypto_stream.settings import Settings, load

if TYPE_CHECKING:
    from crypto_stream.bus.interface import GatewayPort
    from crypto_stream.bus.messages import RequestBody

_DAY_S = 86_400
_TIMEOUT_S = 30.0

data_dir = click.option(
    "--data-dir", type=click.Path(path_type=Path), help="The data directory. [data_dir of the settings]"
)


def _settings(given: Path | None) -> Settings:
    return load({} if given is None else {"data_dir": given})


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@data_dir
def backup(folder: Path, data_dir: Path | None) -> None:
    """Copy orders, history and state to a new FOLDER and check them; the program may be running.

    Each database is copied as of one moment.
    """
    from crypto_stream.storage.sqlite_backup import backup as copy

    settings = _settings(data_dir)
    _check_files(settings, "pg_dump")
    _print_sizes("copied", copy(settings.data_dir, folder))
    command = with_options(f"restore {shlex.quote(str(folder))}", data_dir=data_dir)
    click.echo(f"To restore it, stop the program and run: {command}")


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@data_dir
def restore(folder: Path, data_dir: Path | None) -> None:
    """Restore a backup from FOLDER, moving the present data aside; the engine must be stopped."""
    from crypto_stream.engine.persisted_state import locked
    from crypto_stream.storage.sqlite_backup import restore as put_back

    settings = _settings(data_dir)
    _check_files(settings, "pg_restore")
    place = settings.data_dir
    _check_user(place)
    with locked(place):
        sizes, aside = put_back(place, folder)
    _print_sizes("restored", sizes)
    if aside is not None:
        click.echo(f"The previous files were moved to {aside}")


def _check_user(place: Path) -> None:
    """Raise UsageError if files that this user writes there could not be used by whoever runs the engine."""
    try:
        user_id = place.stat().st_uid
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(
            f"data_dir: {str(place)!r} cannot be read: {error.strerror};"
            " run this as the user to whom it belongs, or correct data_dir"
        ) from None
    if user_id != os.geteuid():
        try:
            user = pwd.getpwuid(user_id).pw_name
        except KeyError:
            user = f"#{user_id}"
        raise UsageError(f"data_dir: {str(place)!r} belongs to another user: use sudo -u {shlex.quote(user)}")


def _check_files(settings: Settings, program: str) -> None:
    if is_postgresql(settings.database.get_secret_value()):
        raise UsageError(f"database: it is PostgreSQL's: use {program}, see docs/operations.md")


@click.command()
@click.option(
    "--from", "source", type=click.Choice(["sqlite"]), default="sqlite", help="What to move from. [sqlite]"
)
@click.option(
    "--to",
    "target",
    envvar="CRYPTO_STREAM_DATABASE",
    metavar="ADDRESS",
    help="An empty database, postgresql://user@host/name. [database of the settings]",
)
@data_dir
def move(source: str, target: str | None, data_dir: Path | None) -> None:
    """Copy state, orders and history from the data directory to PostgreSQL, once; the engine must be stopped.

    The files remain as they are. Then start the program with the setting `database`.
    """
    from crypto_stream.engine.persisted_state import locked
    from crypto_stream.storage.move import move as copy

    place = _settings(data_dir).data_dir
    address = target or _settings(data_dir).database.get_secret_value()
    if not is_postgresql(address):
        raise UsageError(f"to: name the database to move from {source} to: --to postgresql://user@host/name")
    _check_user(place)
    if not place.is_dir():
        raise UsageError(f"data_dir: {str(place)!r} contains no data")
    with locked(place):
        moved = copy(place, address)
    for table, rows in moved.items():
        click.echo(f"{table}: {rows:,} rows copied")
    click.echo("Start the program with this address as its setting database; the files are no longer used.")


def _print_sizes(done: str, sizes: Mapping[str, int]) -> None:
    for name, size in sizes.items():
        click.echo(f"{name} {done} and checked, {size:,} bytes")


@click.group()
def owner() -> None:
    """List and remove owners of orders; requires access to the data directory, or to the bus."""


@owner.command("list")
@data_dir
def list_owners(data_dir: Path | None) -> None:
    """List the 1,000 owners with most active orders; whoever knows an owner's id can trade as that owner."""
    import msgspec

    from crypto_stream import screen
    from crypto_stream.bus.messages import GetOwners
    from crypto_stream.storage.interface import OwnerSummary

    found = msgspec.msgpack.decode(_request(data_dir, GetOwners()), type=list[OwnerSummary])
    rows = [
        (each.owner, str(each.active), str(each.reports), f"{each.unused_s / _DAY_S:.1f}") for each in found
    ]
    for line in screen.table(("OWNER", "ACTIVE ORDERS", "REPORTS", "DAYS UNUSED"), rows):
        click.echo(line)


@owner.command("remove")
@click.argument("owner_id", metavar="ID")
@data_dir
def remove_owner(owner_id: str, data_dir: Path | None) -> None:
    """Remove the owner ID with all its orders, reports and positions; its connections are closed."""
    import msgspec

    from crypto_stream.bus.messages import RemoveOwner

    active = msgspec.msgpack.decode(_request(data_dir, RemoveOwner(owner_id)), type=int)
    click.echo(f"Removed {owner_id}; {active} of its orders were active.")


def _request(data_dir: Path | None, body: RequestBody) -> bytes:
    """Send a request to the engine of the data directory, or of the bus; UsageError if none answers."""
    from crypto_stream.bus.backends import describe_bus, is_local
    from crypto_stream.errors import BusError

    settings = _settings(data_dir)
    bus = settings.bus.get_secret_value()
    with _port(settings) as port:
        try:
            return port.request(body, _TIMEOUT_S)
        except BusError as error:
            why = port.figures().reason or str(error)
    if not is_local(bus):
        raise UsageError(f"no engine answers on the bus {describe_bus(bus)}: {why}; start it, or correct bus")
    raise UsageError(
        f"no engine answers for {settings.data_dir}: {why}; "
        "start it, or give data_dir, runtime_dir and bus as that engine has them"
    )


@contextmanager
def _port(settings: Settings) -> Iterator[GatewayPort]:
    from crypto_stream.addresses import bus_path
    from crypto_stream.bus.backends import gateway_port

    port = gateway_port(settings.bus.get_secret_value(), bus_path(settings.data_dir, settings.runtime_dir))
    ready = threading.Event()  # connected, or failed to connect

    def set_ready(*_: Any) -> None:
        ready.set()

    reader = threading.Thread(target=port.run, args=(set_ready, set_ready), daemon=True)
    reader.start()
    try:
        ready.wait(_TIMEOUT_S)
        yield port
    finally:
        port.close()
        reader.join()
