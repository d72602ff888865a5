"""The capacity of docs/scale.md: what it calls measured was measured, and its arithmetic is right."""

from __future__ import annotations

import re
from math import isclose

import pytest

from tests.process.programs import ROOT

SECTION = (ROOT / "docs" / "scale.md").read_text("utf-8").split("\n## Capacity\n")[1].split("\n## ")[0]
MEASUREMENTS = (ROOT / "docs" / "performance.md").read_text("utf-8")
_UNITS = {"µs": 1e-6, "ms": 1e-3, "kB": 1e3, "GB": 1e9, "Gbit/s": 1e9, "Mbit/s": 1e6, "%": 1e-2}
_QUANTITY = re.compile(r"([\d,]+(?:\.\d+)?) ?(µs|ms|kB|GB|Gbit/s|Mbit/s|%)?")
_TIMES = "\u00d7"
_ROUNDED = 0.03  # as a share of the result: two digits


def _rows(header: str) -> list[list[str]]:
    """Return the cells of the table with this header, row by row."""
    table = SECTION.split(f"| {header} |")[1].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in table]


def _quantity(text: str) -> float:
    """Read the first number of a text with its unit, in seconds, bytes, bits or a share."""
    found = _QUANTITY.search(text)
    assert found is not None, text
    return float(found[1].replace(",", "")) * _UNITS.get(found[2] or "", 1)


def _computed(expression: str) -> float:
    """Compute products and quotients, from left to right."""
    first, *others = re.split(f" ([{_TIMES}÷]) ", expression)
    value = _quantity(first)
    for sign, factor in zip(others[::2], others[1::2], strict=True):
        value = value * _quantity(factor) if sign == _TIMES else value / _quantity(factor)
    return value


@pytest.mark.parametrize(("what", "expression", "result"), _rows("what"))
def test_the_arithmetic_is_right(what: str, expression: str, result: str) -> None:
    """As far as the digits that are shown."""
    assert isclose(_computed(expression), _quantity(result), rel_tol=_ROUNDED), what


def test_what_is_called_measured_was_measured() -> None:
    """Each number of such a row stands in a table of docs/performance.md."""
    rows = [row for row in _rows("figure") if row[2].startswith("measured")]
    cells = {cell.strip() for line in MEASUREMENTS.splitlines() for cell in line.split("|")}
    numbers = [number for row in rows for number in re.findall(r"([\d.]+) (?:µs|kB|ms)", row[1])]

    assert len(numbers) > len(rows)
    assert {number for number in numbers if number not in cells} == set()


def test_the_arithmetic_uses_these_figures() -> None:
    """Every time and size of an expression is one of the figures, or a result of an earlier row."""
    figures = " ".join(cell for row in _rows("figure") for cell in row[:2])
    results = " ".join(result for _, _, result in _rows("what"))
    used = {
        size
        for _, expression, _ in _rows("what")
        for size in re.findall(r"[\d.]+ (?:µs|ms|kB|Gbit/s)", expression)
    }

    assert len(used) > 6
    assert {size for size in used if size not in figures and size not in results} == set()
