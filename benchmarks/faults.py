"""The measured faults, and what each may cause."""

from __future__ import annotations

from typing import Literal, NamedTuple

SYMBOLS = ("btcusdt", "ethusdt", "xrpusdt")
_ONE = "ethusdt"
_CALM = "xrpusdt"


class Fault(NamedTuple):
    """One fault: steps of control requests to the fake, and the symbols that must move away and back.

    `symbols` empty: no switch may happen. `begins`: the connection is closed, data silently stops,
    or neither. `compared`: it can only be noticed by comparison with a standby. `both`: it happens at both
    venues alike.
    """

    name: str
    steps: tuple[dict[str, str], ...]
    symbols: tuple[str, ...] = SYMBOLS
    begins: Literal["cut", "silent", ""] = "cut"
    compared: bool = False
    both: bool = False


def _moves(name: str, fault: str = "") -> Fault:
    return Fault(name, ({"fault": fault or name},))


def _falls_silent(name: str) -> Fault:
    return Fault(name, ({"fault": name},), begins="silent")


def _moves_nothing(name: str, fault: str = "") -> Fault:
    return Fault(name, ({"fault": fault or name},), (), "")


def _while_asking(name: str, fault: str, symbols: tuple[str, ...] = (), *, compared: bool = False) -> Fault:
    """Make a fault of subscription acknowledgements; an announced shutdown causes a new subscription."""
    return Fault(name, ({"fault": fault, "symbol": _ONE}, {"announce": "1"}), symbols, "", compared)


FAULTS = (
    # It ends by itself, because the fake cannot be controlled while it lasts.
    Fault("refuse", ({"fault": "refuse", "seconds": "3"},)),
    _moves("drop"),
    _falls_silent("half-open"),
    _falls_silent("freeze"),
    *(_moves(f"close {code}", f"close:{code}") for code in (1006, 1008, 1011, 1012, 4004)),
    # With the shortest ban, so that failback does not take minutes.
    *(_moves(f"HTTP {status}", f"http:{status},3") for status in (418, 429, 451)),
    _moves("slow handshake", "slow-handshake:30"),
    Fault(
        "freeze one symbol", ({"fault": "freeze-symbol", "symbol": _ONE},), (_ONE,), "silent", compared=True
    ),
    _while_asking("error ack of one symbol", "error-ack", (_ONE,), compared=True),
    _moves_nothing("announced shutdown", "moving:3"),
    _moves_nothing("garbage"),
    _moves_nothing("wrong types", "wrong-types"),
    _moves_nothing("duplicates"),
    _moves_nothing("out of order", "out-of-order"),
    _while_asking("late ack", "late-ack:3"),
    _while_asking("missing ack", "no-ack"),
    _moves_nothing("burst of 1,000/s", "burst:1000"),
    Fault("calm pair", ({"calm": "1", "symbol": _CALM},), (), "", both=True),
)


def key(name: str) -> str:
    """Return the fault's name on the command line."""
    return name.lower().replace(" ", "-").replace(",", "")
