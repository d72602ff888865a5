"""The table of faults: the name a test or a control request uses → the class."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.fakes.cuts import AcceptAndClose, Close, Drop, HalfOpen, Http, Moving, Refuse, SlowHandshake
from tests.fakes.fault import Fault
from tests.fakes.lies import Another, Clock, Crossed, Lossy, Misnamed, OneSided, Swapped, Times, Zero
from tests.fakes.spoils import (
    Broken,
    Burst,
    BusyAck,
    Duplicates,
    ErrorAck,
    ExtraFields,
    Freeze,
    Garbage,
    LateAck,
    NamelessAck,
    NoAck,
    Old,
    OutOfOrder,
    Repeat,
    Same,
    Silent,
    UnknownEvents,
    WholeAck,
    WrongTypes,
)

if TYPE_CHECKING:
    from tests.fakes.venue import FakeVenue

FAULTS: dict[str, type[Fault]] = {
    "none": Fault,
    "refuse": Refuse,
    "drop": Drop,
    "half-open": HalfOpen,
    "freeze": Freeze,
    "freeze-symbol": Freeze,
    "repeat": Repeat,
    "silent": Silent,
    "same": Same,
    "broken": Broken,
    "old": Old,
    "close": Close,
    "http": Http,
    "slow-handshake": SlowHandshake,
    "moving": Moving,
    "garbage": Garbage,
    "wrong-types": WrongTypes,
    "unknown-events": UnknownEvents,
    "extra-fields": ExtraFields,
    "duplicates": Duplicates,
    "out-of-order": OutOfOrder,
    "late-ack": LateAck,
    "no-ack": NoAck,
    "error-ack": ErrorAck,
    "echo-ack": WholeAck,
    "nameless-ack": NamelessAck,
    "busy-ack": BusyAck,
    "burst": Burst,
    "accept-and-close": AcceptAndClose,
    "times": Times,
    "swapped": Swapped,
    "crossed": Crossed,
    "zero": Zero,
    "one-sided": OneSided,
    "another": Another,
    "misnamed": Misnamed,
    "clock": Clock,
    "lossy": Lossy,
}


def make_fault(venue: FakeVenue, name: str, symbols: str = "") -> Fault:
    """Create the fault named `name` or `name:argument`; raise ValueError if there is none."""
    kind, _, argument = name.partition(":")
    if kind not in FAULTS:
        raise ValueError(f"no such fault: {kind!r}")
    if kind == "freeze-symbol" and not symbols:
        raise ValueError("freeze-symbol needs a symbol")
    fault = FAULTS[kind](venue, argument, frozenset(symbols.split(",")) if symbols else frozenset())
    fault.name = name
    return fault
