"""Exact decimal arithmetic for orders: an operation that would have to round raises an error. Pure."""

from __future__ import annotations

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

# Far more digits than sums of prices (40 characters, exponents below 100) times amounts can have.
# Decimal's own operators, including unary minus, silently round to 28 digits: do not use them here.
EXACT = Context(prec=1_000, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])

ZERO = Decimal(0)
add = EXACT.add
subtract = EXACT.subtract
multiply = EXACT.multiply


def plain(number: Decimal) -> str:
    """Return a number's canonical text: no exponent, no superfluous zeros."""
    return f"{EXACT.normalize(number):f}"


def is_multiple(number: Decimal, step: Decimal) -> bool:
    """Return whether `number` is a multiple of `step`, which is above 0."""
    return not EXACT.remainder(number, step)
