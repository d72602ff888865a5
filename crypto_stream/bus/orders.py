"""What crosses the bus about orders: commands to the engine, `Told` back; neither is ever dropped.

A gateway numbers its sessions; `session` is such a number, unique in one connection of the bus. After that
connection broke, everything without an answer is unknown, and the gateway attaches its sessions anew.
"""

from __future__ import annotations

import msgspec

from crypto_stream.market.orders import Order, Position, Report, Ticket


class Attach(msgspec.Struct, frozen=True, array_like=True, tag="attach"):
    """A session of `owner` is open: tell it first what it has not been told, then all that happens.

    The open orders of an `anonymous` owner are cancelled 60 s after its last session has left. `address` is
    the client's: orders are limited for each. Not answered; refused with `Failed` (`ref` 0) when the store
    cannot be read, with `Cut` when the owner has too many sessions.
    """

    session: int
    owner: str
    anonymous: bool
    address: str = ""


class Detach(msgspec.Struct, frozen=True, array_like=True, tag="detach"):
    """A session has ended."""

    session: int


class Place(msgspec.Struct, frozen=True, array_like=True, tag="place"):
    """Place an order; answered with its first `Happened`, or `Failed`."""

    session: int
    ref: int
    ticket: Ticket


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Cancel an order; answered with the `Happened` that tells so, or `Failed`."""

    session: int
    ref: int
    order_id: str


class ListOrders(msgspec.Struct, frozen=True, array_like=True, tag="list_orders"):
    """Ask for the owner's orders: all active ones, and the newest 1,000 others. Answered with `Listed`."""

    session: int
    ref: int


class ListTrades(msgspec.Struct, frozen=True, array_like=True, tag="list_trades"):
    """Ask for the owner's newest 1,000 trades of one instrument, and what all trades come to.

    Answered with `Traded`; `symbol` None: no trades, positions alone.
    """

    session: int
    ref: int
    symbol: str | None


class Received(msgspec.Struct, frozen=True, array_like=True, tag="received"):
    """The client has read all reports up to `seq`; not answered."""

    session: int
    seq: int


Command = Attach | Detach | Place | Cancel | ListOrders | ListTrades | Received


class Happened(msgspec.Struct, frozen=True, array_like=True, tag="happened"):
    """One report for one session; `ref` names the command that caused it, 0 for none of this session.

    `store` is the identity of what is kept: in another one `seq` is counted anew.
    """

    session: int
    ref: int
    report: Report
    store: str = ""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A command was refused and has changed nothing."""

    session: int
    ref: int
    code: str
    reason: str


class Listed(msgspec.Struct, frozen=True, array_like=True, tag="listed"):
    """The owner's orders, oldest first."""

    session: int
    ref: int
    orders: list[Order]


class Traded(msgspec.Struct, frozen=True, array_like=True, tag="traded"):
    """The owner's trades, oldest first, and its positions in every instrument it ever traded."""

    session: int
    ref: int
    trades: list[Report]
    positions: list[Position]


class Cut(msgspec.Struct, frozen=True, array_like=True, tag="cut"):
    """The engine has ended a session: its client is told why, and its connection closed."""

    session: int
    code: str
    reason: str
    ref: int = 0


Told = Happened | Failed | Listed | Traded | Cut


class OrderCommands(msgspec.Struct, frozen=True, array_like=True, tag="order_commands"):
    """What the sessions of one gateway asked in one turn, in the order of each session."""

    commands: list[Command]


class OrderNews(msgspec.Struct, frozen=True, array_like=True, tag="order_news"):
    """What sessions of one gateway are told, in their order."""

    news: list[Told]
