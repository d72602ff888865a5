"""Exact arithmetic in the page, against Python's Decimal."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import Any

import pytest

from tests.browser.chromium import Visitor

pytestmark = pytest.mark.browser

TEXTS = [
    "0",
    "-0",
    "0.10",
    "64123.45",
    "64123.450",
    "0.000000454",
    "-3",
    "-0.5",
    "1e-8",
    "12E3",
    ".5",
    "7.",
    "+2",
]


def _numbers() -> list[str]:
    chance = random.Random(20_261_121)
    made = [
        f"{sign}{chance.randrange(10 ** chance.randint(1, 22))}.{chance.randrange(10**8):08}"
        for sign in ["", "-"] * 30
    ]
    return TEXTS + made


def _ask(visit: Callable[..., Visitor], name: str, calls: list[Any]) -> Any:
    script = """async ([name, calls]) => {
        const module = await import('/static/js/text/decimal.js');
        return JSON.stringify(calls.map((given) => module[name](...given)));
    }"""
    return json.loads(visit("/docs").page.evaluate(script, [name, calls]))


def _pairs() -> list[list[str]]:
    numbers = _numbers()
    return [[a, b] for a in numbers for b in numbers]


def test_difference_is_exact(visit: Callable[..., Visitor]) -> None:
    """A spread is the exact difference of two texts, whatever their length."""
    pairs = _pairs()

    found = _ask(visit, "subtract", pairs)

    with localcontext() as context:
        context.prec = 60
        wrong = [
            (p, f) for p, f in zip(pairs, found, strict=True) if Decimal(f) != Decimal(p[0]) - Decimal(p[1])
        ]
    assert wrong == []
    assert not any("e" in text.lower() for text in found)


def test_difference_keeps_the_digits_of_its_prices(visit: Callable[..., Visitor]) -> None:
    """The difference of prices with two digits has two digits."""
    found = _ask(visit, "subtract", [["64123.46", "64123.44"], ["1.10", "1.1"], ["-0.5", "0.5"]])

    assert found == ["0.02", "0.00", "-1.0"]


def test_order_is_exact(visit: Callable[..., Visitor]) -> None:
    """Two prices that differ in the twentieth digit are not taken for equal."""
    pairs = [*_pairs(), ["10000000000000000000.01", "10000000000000000000.02"]]

    found = _ask(visit, "compare", pairs)

    expected = [(Decimal(a) > Decimal(b)) - (Decimal(a) < Decimal(b)) for a, b in pairs]
    assert found == expected


def test_percent_is_rounded_half_away_from_zero(visit: Callable[..., Visitor]) -> None:
    """A share is computed exactly and rounded once."""
    pairs = [pair for pair in _pairs() if Decimal(pair[1])]

    found = _ask(visit, "percent", [[*pair, 3] for pair in pairs])

    with localcontext() as context:
        context.prec = 120
        expected = [
            (Decimal(a) * 100 / Decimal(b)).quantize(Decimal("0.001"), ROUND_HALF_UP) for a, b in pairs
        ]
        assert [Decimal(text) for text in found] == expected


def test_what_is_no_number_has_no_answer(visit: Callable[..., Visitor]) -> None:
    """Missing and malformed numbers give nothing, never NaN."""
    calls = [[None, "1"], ["1", None], ["", "1"], ["abc", "1"], ["1.2.3", "1"], [".", "1"], ["1e9999", "1"]]

    answers = [_ask(visit, name, calls) for name in ("subtract", "compare", "percent")]
    by_zero = _ask(visit, "percent", [["1", "0", 2], ["1", "0.00", 2]])

    assert answers == [[None] * len(calls)] * 3
    assert by_zero == [None, None]
