"""The command `watch`: quotes, or best bids and asks, on the whole terminal or as lines of a log."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import click
from msgspec.structs import replace

from crypto_stream import screen
from crypto_stream.client import Best, Client
from crypto_stream.market.quotes import Quote
from crypto_stream.wall_clock import wall_ms

_MOST = 20  # instruments of which a gateway sends best bids and asks


class Update(NamedTuple):
    """The values that changed, and whether the viewer is connected."""

    connected: bool
    values: Sequence[Quote | Best]


def watch(client: Client, symbols: Sequence[str], *, best: bool) -> None:
    """Show changes until interrupted."""
    columns = screen.BEST if best else screen.QUOTES
    show = _on_screen if sys.stdout.isatty() else _as_lines
    show(client, columns, _updates(client, symbols, best=best))


def _updates(client: Client, symbols: Sequence[str], *, best: bool) -> Iterator[Update]:
    if best:
        return (Update(*view) for view in client.watch_best(symbols or _first(client)))
    return (Update(*view) for view in client.watch(symbols))


def _first(client: Client) -> list[str]:
    """Return the real pairs that come first, as the page of all markets does; without any, what there is."""
    found = client.instruments()
    real = [each for each in found if not each.synthetic]
    return [each.symbol for each in (real or found)[:_MOST]]


def _on_screen(client: Client, columns: screen.Columns, updates: Iterator[Update]) -> None:
    known: dict[str, Quote | Best] = {}
    click.clear()
    for connected, values in updates:
        known.update((value.symbol, value) for value in values)
        status = client.url if connected else _why_not(client)
        shown = [value if connected else replace(value, stale=True) for value in known.values()]
        rows = [_cells(value) for value in shown]
        click.echo(screen.screenful(columns, rows, status, shutil.get_terminal_size().lines), nl=False)


def _as_lines(client: Client, columns: screen.Columns, updates: Iterator[Update]) -> None:
    click.echo(screen.log_heading(columns))
    was_connected = True
    for connected, values in updates:
        if was_connected and not connected:
            click.echo(_why_not(client), err=True)
        was_connected = connected
        for value in values:
            click.echo(screen.log_line(columns, _cells(value), wall_ms()))


def _why_not(client: Client) -> str:
    return f"{client.url}: not connected, trying again ({client.trouble})"


def _cells(value: Quote | Best) -> tuple[str, ...]:
    return screen.best_cells(value) if isinstance(value, Best) else screen.cells(value, wall_ms())
