"""Decimal arithmetic without a rounding: orders' numbers are exact or it is a fault of ours. Pure."""

from __future__ import annotations

from decimal import Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

# Far more digits than any sum of prices (40 characters, exponents below 100) times amounts can have.
# Decimal's own operators round to 28 digits without a word, unary minus too: none is used on these numbers.
EXACT = Context(prec=1_000, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])

ZERO = Decimal(0)
add = EXACT.add
subtract = EXACT.subtract
multiply = EXACT.multiply


def plain(number: Decimal) -> str:
    """Write a number in its only plain form: no exponent, no zero too many."""
    return f"{EXACT.normalize(number):f}"


def is_multiple(number: Decimal, step: Decimal) -> bool:
    """Say whether `number` is a whole number of steps, each above 0."""
    return not EXACT.remainder(number, step)
