"""The commands about orders."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import click

from crypto_stream.cli.client_id import ID_FILE, client_id_of
from crypto_stream.cli.target import PROGRAM, address, url_option, with_options
from crypto_stream.market.instruments import fold
from crypto_stream.market.orders import ExecType, Kind, Status, TimeInForce

if TYPE_CHECKING:
    from crypto_stream.client import Order, OrderClient

ENDED_UNFILLED = 3
_POLL_S = 0.5
_EXAMPLE = f"{PROGRAM} order place EUR/RUB buy 10 87"

# Other imports stand in the commands: each command loads what it needs and starts quickly.


@click.group(
    help=f"""Place, watch and cancel orders on a running gateway: paper trading on its live quotes.

    \b
    {_EXAMPLE}     the first word printed is the order's id
    {PROGRAM} order list
    {PROGRAM} order watch                      what happens, as it happens
    {PROGRAM} order cancel 5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5

    Orders belong to a client id, a UUID. Yours is made by the first command and kept in the file
    {ID_FILE}: keep it, and keep it to yourself. --client-id names another one.

    Exit status: 0 done; 1 refused, or no gateway answers; 2 wrong arguments; 3 the order that --wait waited
    for ended without being filled; 130 interrupted. docs/orders.md explains orders and every refusal.
    """
)
def order() -> None:
    """Group the commands; its help is above."""


def _with_owner(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options that say where the gateway is and whose orders are meant."""
    option = click.option(
        "--client-id",
        type=click.UUID,
        metavar="UUID",
        envvar="CRYPTO_STREAM_CLIENT_ID",
        help="Whose orders. [the id kept for you]",
    )
    return url_option(option(command))


@order.command()
@click.argument("instrument")
@click.argument("side", type=click.Choice(["buy", "sell"], case_sensitive=False))
@click.argument("amount")
@click.argument("price", required=False)
@click.option(
    "--type",
    "kind",
    type=click.Choice([kind.value for kind in Kind]),
    default="limit",
    show_default=True,
    help="How it is priced.",
)
@click.option(
    "--time-in-force",
    type=click.Choice([each.value for each in TimeInForce]),
    help="gtc rests, ioc takes what is there at once, fok all of it or nothing. [gtc; market: ioc]",
)
@click.option("--client-order-id", help="Your own name of the order; the same name twice places it once.")
@click.option(
    "--wait", is_flag=True, help="Print what happens to it until it ends; Ctrl-C leaves it as it is."
)
@_with_owner
def place(
    instrument: str, side: str, amount: str, price: str | None, *, wait: bool, kind: str, **given: Any
) -> int:
    """Place an order: SIDE (buy or sell) AMOUNT of INSTRUMENT (EUR/RUB, btcusdt) at PRICE or better.

    A market order has no PRICE. Printed is the order as the gateway keeps it on disk; it reaches the
    simulated market a moment later.
    """
    if (price is None) is not (kind == Kind.MARKET):
        wrong = (
            "A limit order needs a PRICE, or say --type market."
            if price is None
            else "A market order has no PRICE."
        )
        raise click.UsageError(wrong)
    owner = {"url": given.pop("url"), "client_id": given.pop("client_id")}

    async def work(orders: OrderClient) -> int:
        placed = await orders.place(instrument, side, amount, price, kind=kind, **given)
        _show(placed)
        if wait:
            return await _ended(orders, placed)
        if placed.status is Status.ACTIVE:
            click.echo(f"Follow it: {with_options('order watch', **owner)}", err=True)
            click.echo(f"Cancel it: {with_options(f'order cancel {placed.order_id}', **owner)}", err=True)
        return 0

    return _run(work, **owner)


async def _ended(orders: OrderClient, placed: Order) -> int:
    """Print what happens to an order until it is no longer active; return the exit status."""
    from crypto_stream.cli import order_lines

    status = placed.status
    if status is Status.ACTIVE:
        async for report in orders.reports():
            if report.order_id == placed.order_id and report.exec_type is not ExecType.NEW:
                click.echo(order_lines.event(report))
                status = report.status
            if status is not Status.ACTIVE:
                break
    return 0 if status is Status.FILLED else ENDED_UNFILLED


@order.command()
@click.argument("order_id", metavar="ID", type=click.UUID)
@_with_owner
def cancel(order_id: uuid.UUID, **owner: Any) -> int:
    """Cancel the active order ID; what it has filled stays filled."""

    async def work(orders: OrderClient) -> int:
        _show(await orders.cancel(str(order_id)))
        return 0

    return _run(work, **owner)


@order.command("list")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: every field, exact decimals, times in ms.")
@_with_owner
def list_orders(*, as_csv: bool, **owner: Any) -> int:
    """List all active orders and the newest 1,000 others, oldest first."""
    from crypto_stream import screen
    from crypto_stream.cli import order_lines

    async def work(orders: OrderClient) -> int:
        found = await orders.orders()
        if as_csv:
            click.echo(order_lines.orders_csv(found), nl=False)
        elif found:
            for line in screen.table(order_lines.ORDER_HEADINGS, map(order_lines.order_cells, found)):
                click.echo(line)
        else:
            click.echo(f"No orders yet. Place one: {_EXAMPLE}", err=True)
        return 0

    return _run(work, **owner)


@order.command()
@_with_owner
def watch(**owner: Any) -> int:
    """Print what happens to your orders, first what happened while nobody watched. Ctrl-C ends it."""
    from crypto_stream.cli import order_lines

    async def work(orders: OrderClient) -> int:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_tell_lost(orders))
            async for report in orders.reports():
                click.echo(order_lines.event(report))
        return 0

    click.echo("Watching your orders; Ctrl-C ends it.", err=True)
    try:
        return _run(work, **owner)
    except KeyboardInterrupt:
        return 0


async def _tell_lost(orders: OrderClient) -> None:
    connected = True
    while True:
        if connected and not orders.connected:
            click.echo("Not connected, trying again; nothing is lost.", err=True)
        connected = orders.connected
        await asyncio.sleep(_POLL_S)


@order.command()
@_with_owner
def positions(**owner: Any) -> int:
    """Show what your trades come to: held, bought and sold at average prices, profit at the live quote."""
    from crypto_stream import screen
    from crypto_stream.cli import order_lines
    from crypto_stream.client import Client

    async def work(orders: OrderClient) -> int:
        found = await orders.positions()
        if not found:
            click.echo(f"No trades yet. Place an order: {_EXAMPLE}", err=True)
            return 0
        courses = await asyncio.to_thread(Client(address(owner["url"])).courses)
        quotes = {fold(quote.symbol): quote for quote in courses}
        rows = [order_lines.position_cells(position, quotes) for position in found]
        for line in screen.table(order_lines.POSITION_HEADINGS, rows):
            click.echo(line)
        return 0

    return _run(work, **owner)


def _run(
    work: Callable[[OrderClient], Awaitable[int]], *, url: str | None, client_id: uuid.UUID | None
) -> int:
    """Do `work` with a connection; return its exit status."""
    from crypto_stream.client import OrderClient

    owner = client_id_of(client_id)

    async def connected() -> int:
        async with OrderClient(address(url), client_id=owner) as orders:
            return await work(orders)

    return asyncio.run(connected())


def _show(shown: Order) -> None:
    from crypto_stream.cli import order_lines

    click.echo(order_lines.sentence(shown))
