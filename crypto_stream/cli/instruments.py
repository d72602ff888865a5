"""The command `instruments`: what a running gateway serves, and changes of that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from crypto_stream.cli.target import address, data_dir_option, token_option, url_option, with_token

# Further imports are in the commands, so that each starts quickly.


@click.group()
def instruments() -> None:
    """List, add and remove the instruments of a running gateway; changes are kept over restarts."""


@instruments.command("list")
@url_option
@data_dir_option
def show(url: str | None, data_dir: Path | None) -> None:
    """List all instruments."""
    from crypto_stream import screen
    from crypto_stream.client import Client

    found = Client(address(url, data_dir)).instruments()
    rows = [(one.symbol, one.base or "", one.quote or "", _kind(one.synthetic)) for one in found]
    for line in screen.table(("SYMBOL", "BASE", "QUOTE", "KIND"), rows):
        click.echo(line)


@instruments.command()
@click.argument("pairs", nargs=-1, required=True)
@url_option
@data_dir_option
@token_option
def add(pairs: tuple[str, ...], url: str | None, data_dir: Path | None, token: str | None) -> None:
    """Add PAIRS: names (SOL-USDT), patterns over what the venues list ('*-eur'), or top:50-usdt."""
    _change(url, data_dir, token, add=pairs)


@instruments.command()
@click.argument("symbols", nargs=-1, required=True)
@url_option
@data_dir_option
@token_option
def remove(symbols: tuple[str, ...], url: str | None, data_dir: Path | None, token: str | None) -> None:
    """Remove SYMBOLS: their active orders are cancelled, their bars remain stored."""
    _change(url, data_dir, token, remove=symbols)


def _kind(synthetic: bool) -> str:
    return "synthetic" if synthetic else "real"


def _change(
    url: str | None,
    data_dir: Path | None,
    token: str | None,
    *,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
) -> None:
    from crypto_stream.client import Client

    with with_token(token, data_dir, url) as known:
        changed = Client(address(url, data_dir), known).change_instruments(add, remove)
    for word, symbols in (
        ("Added", changed.added),
        ("Removed", changed.removed),
        ("No venue has room for", changed.left_out),
    ):
        if symbols:
            click.echo(f"{word} {len(symbols)}: {', '.join(symbols)}")
    if not (changed.added or changed.removed or changed.left_out):
        click.echo("All of them were there already.")
