"""The bus messages about orders: commands to the engine, `SessionMessage` back; neither is ever dropped.

`session` is a gateway's number of a client session, unique within one connection of the bus. If that
connection breaks, the outcome of unanswered commands is unknown, and the gateway attaches its sessions again.
"""

from __future__ import annotations

import msgspec

from crypto_stream.market.orders import Order, Position, Report, Ticket

# Unanswered commands of one session, at which its gateway reads no more from the client.
MAX_PENDING = 256


class Attach(msgspec.Struct, frozen=True, array_like=True, tag="attach"):
    """A session of `owner` was opened: send it the reports it has not received yet, then all new ones.

    The active orders of an `anonymous` owner are cancelled 60 s after its last session has ended. `address`
    is the client's, for the limit of orders per address. Not answered, but refused with `Failed` (`ref` 0) if
    the store cannot be read, and with `Cut` if the owner has too many sessions.
    """

    session: int
    owner: str
    anonymous: bool
    address: str = ""


class Detach(msgspec.Struct, frozen=True, array_like=True, tag="detach"):
    """A session has ended."""

    session: int


class Place(msgspec.Struct, frozen=True, array_like=True, tag="place"):
    """Place an order; answered with its first `Reported`, or `Failed`.

    `walks`: it may trade with the levels behind the top of book.
    """

    session: int
    ref: int
    ticket: Ticket
    walks: bool = False


class Cancel(msgspec.Struct, frozen=True, array_like=True, tag="cancel"):
    """Cancel an order; answered with the `Reported` that reports it, or `Failed`."""

    session: int
    ref: int
    order_id: str


class ListOrders(msgspec.Struct, frozen=True, array_like=True, tag="list_orders"):
    """Get the owner's orders: all active ones and the newest 1,000 others; answered with `OrdersListed`."""

    session: int
    ref: int


class ListTrades(msgspec.Struct, frozen=True, array_like=True, tag="list_trades"):
    """Get the owner's newest 1,000 trades in one instrument, and all positions; answered with `TradesListed`.

    With `symbol` None: positions only.
    """

    session: int
    ref: int
    symbol: str | None


class Received(msgspec.Struct, frozen=True, array_like=True, tag="received"):
    """The client has acknowledged all reports up to `seq`; not answered."""

    session: int
    seq: int


Command = Attach | Detach | Place | Cancel | ListOrders | ListTrades | Received


class Reported(msgspec.Struct, frozen=True, array_like=True, tag="reported"):
    """One report for one session; `ref` is the command that caused it, 0 if that was none of this session.

    `store` identifies the database of orders: in another one `seq` starts from 1 again.
    """

    session: int
    ref: int
    report: Report
    store: str = ""


class Failed(msgspec.Struct, frozen=True, array_like=True, tag="failed"):
    """A command was refused and changed nothing."""

    session: int
    ref: int
    code: str
    reason: str


class OrdersListed(msgspec.Struct, frozen=True, array_like=True, tag="orders_listed"):
    """The owner's orders, oldest first."""

    session: int
    ref: int
    orders: list[Order]


class TradesListed(msgspec.Struct, frozen=True, array_like=True, tag="trades_listed"):
    """The owner's trades, oldest first, and its positions in all instruments it ever traded."""

    session: int
    ref: int
    trades: list[Report]
    positions: list[Position]


class Cut(msgspec.Struct, frozen=True, array_like=True, tag="cut"):
    """The engine has ended a session; the gateway sends the reason to the client and disconnects it."""

    session: int
    code: str
    reason: str
    ref: int = 0


SessionMessage = Reported | Failed | OrdersListed | TradesListed | Cut


class OrderCommands(msgspec.Struct, frozen=True, array_like=True, tag="order_commands"):
    """Commands of one gateway's sessions, those of each session in their order."""

    commands: list[Command]


class OrderMessages(msgspec.Struct, frozen=True, array_like=True, tag="order_messages"):
    """Messages for sessions of one gateway, in their order."""

    messages: list[SessionMessage]
