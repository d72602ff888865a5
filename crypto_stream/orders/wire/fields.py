"""Parse and validate single values of clients' messages; RefusedError names the field. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from decimal import Context
from enum import Enum
from typing import TypeVar

from crypto_stream.errors import RefusedError
from crypto_stream.market.instruments import Instrument

# The instruments that the exercise numbers.
NUMBERED = {"1": "eurusd", "2": "eurrub", "3": "usdrub"}
# Digits of an amount or a price before and after the point.
BEFORE_POINT, AFTER_POINT = 20, 18
MAX_ID = 64  # characters of a client_order_id or a request_id
_LONGEST = 100  # characters of any valid value; bounds what a session stores, too
_SHOWN = 40  # characters of a wrong value that are shown
_EXACT = Context(prec=2 * _LONGEST)
_DECIMAL = re.compile(r"-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,4})?")
# Already canonical: no sign, no exponent, no superfluous zeros.
_CANONICAL = re.compile(rf"(?:0|[1-9][0-9]{{0,{BEFORE_POINT - 1}}})(?:\.[0-9]{{0,{AFTER_POINT - 1}}}[1-9])?")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_BIGGEST_ID = 2**53 - 1  # JavaScript clients cannot represent larger integers exactly

# A value of the client that is echoed in the answer.
RequestId = str | int | None
# How a client names an instrument.
Form = str | int
# Finds an instrument by a client's text.
Find = Callable[[str], Instrument | None]
_Choice = TypeVar("_Choice", bound=Enum)


class Number(str):
    """A JSON number as it was written: exact, and cheap even if huge."""

    __slots__ = ()


def refused(reason: str) -> RefusedError:
    """Return the refusal of a field."""
    return RefusedError("bad_field", reason)


def shown(value: object) -> str:
    """Return the beginning of a client's value in a form that can always be sent."""
    if isinstance(value, Number):
        return str(value[:_SHOWN])
    if isinstance(value, str):
        return repr(value[:_SHOWN])
    return _kind(value)


def decimal(value: object, name: str) -> str:
    """Parse a number above 0; return its canonical form: no exponent, no superfluous zeros."""
    if not isinstance(value, str):
        raise refused(f"{name} must be a decimal number, not {_kind(value)}")
    if len(value) <= _LONGEST and _CANONICAL.fullmatch(value) and value != "0":
        return str(value)
    if len(value) > _LONGEST or not _DECIMAL.fullmatch(value):
        raise refused(f"{name} must be a decimal number, not {shown(value)}")
    number = _EXACT.normalize(_EXACT.create_decimal(value))
    if number <= 0:
        raise refused(f"{name} must be above 0, not {shown(value)}")
    exponent = number.as_tuple().exponent
    if number.adjusted() >= BEFORE_POINT or (isinstance(exponent, int) and exponent < -AFTER_POINT):
        limits = f"{BEFORE_POINT} digits before the point and {AFTER_POINT} after it"
        raise refused(f"{name} may have {limits}; {shown(value)} has more")
    return f"{number:f}"


def uuid(value: object, name: str) -> str:
    """Parse a UUID; return it in lower case."""
    if isinstance(value, str) and not isinstance(value, Number) and len(value) <= _LONGEST:
        text = value.lower()
        if _UUID.fullmatch(text):
            return text
    raise refused(f"{name} must be a UUID like 5c0e4ad5-7d4d-59ae-8e76-d907ab0a01f5, not {shown(value)}")


def choice(value: object, name: str, allowed: Mapping[str, _Choice]) -> _Choice:
    """Parse one of the `allowed` words, in any case, or numbers."""
    if isinstance(value, Number):
        found = allowed.get(str(value))
    elif isinstance(value, str) and not value[:1].isdecimal():
        found = allowed.get(value.lower()) if len(value) <= _LONGEST else None
    else:
        found = None
    if found is None:
        raise refused(f"{name} must be one of {', '.join(allowed)}, not {shown(value)}")
    return found


def instrument(value: object, find: Find) -> tuple[str, Form]:
    """Find an instrument by name, symbol or number; return its symbol and the client's name for it."""
    if isinstance(value, Number):
        known = find(NUMBERED.get(value, ""))
        form: Form = int(value) if known else 0
    elif isinstance(value, str):
        known = find(value) if len(value) <= _LONGEST else None
        form = value
    else:
        raise refused(f"instrument must be a name like EUR/RUB, a symbol or a number, not {_kind(value)}")
    if known is None:
        reason = f"instrument {shown(value)} is not known; GET /courses lists all"
        raise RefusedError("unknown_instrument", reason)
    return known.symbol, form


def request_id(value: object) -> RequestId:
    """Parse a request_id: printable text, or an integer that every client can represent."""
    if value is None:
        return None
    if isinstance(value, Number):
        if re.fullmatch(r"-?[0-9]{1,16}", value) and abs(int(value)) <= _BIGGEST_ID:
            return int(value)
        raise refused(f"request_id must be an integer up to {_BIGGEST_ID}, not {shown(value)}")
    if isinstance(value, str) and 0 < len(value) <= MAX_ID and value.isprintable():
        return value
    raise refused(f"request_id must be an integer or 1 to {MAX_ID} printable characters")


def client_order_id(value: object) -> str:
    """Parse a client's own id of an order."""
    text = value if isinstance(value, str) and not isinstance(value, Number) else ""
    if 0 < len(text) <= MAX_ID and text.isascii() and text.isprintable():
        return text
    raise refused(f"client_order_id must be 1 to {MAX_ID} printable ASCII characters, not {shown(value)}")


def _kind(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Number):
        return "a number"
    return "a text" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
