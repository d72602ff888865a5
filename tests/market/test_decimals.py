"""Decimal text: kept as the venue wrote it, or refused."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.decimals import decimal_text, four_decimal_texts


@pytest.mark.parametrize(
    "text", ["0", "0.10", "58942.01000000", "-3", "-0.5", "5.", "1e-8", "4.54E-7", "0.000000454", "9" * 40]
)
def test_a_number_is_kept_letter_by_letter(text: str) -> None:
    """Plain and exponent forms come back unchanged."""
    assert decimal_text(text) is text


def test_an_empty_text_is_a_value_not_given() -> None:
    """The empty text is None."""
    assert decimal_text("") is None


@pytest.mark.parametrize(
    "text",
    ["abc", "NaN", "inf", "-Infinity", "1_0", " 1", "1 ", "+1", "1.2.3", ".", "-", "1e", "1e999", "\u0661",
     "\u00b2", "0x1", "9" * 41, "1,5"],
)  # fmt: skip
def test_anything_else_is_refused(text: str) -> None:
    """What is no finite ASCII decimal raises ValueError."""
    with pytest.raises(ValueError, match="is not a decimal number"):
        decimal_text(text)


@given(st.text(max_size=50))
def test_what_is_kept_is_a_finite_decimal(text: str) -> None:
    """Whatever passes can be computed with."""
    try:
        kept = decimal_text(text)
    except ValueError:
        return

    assert kept is None or (Decimal(kept).is_finite() and kept == text)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**12), max_value=10**12))
def test_every_plain_decimal_passes(number: Decimal) -> None:
    """Every decimal of a usual size is a number."""
    assert decimal_text(format(number, "f")) == format(number, "f")


PIECES = st.one_of(
    st.sampled_from(
        ["0.1", "25.35190000", "", "5.", "1e-8", " ", "1.2 3.4", ".", "-0.5", "\u0661.0", "9" * 41]
    ),
    st.text("0123456789. -e\n", max_size=45),
)


@given(st.tuples(PIECES, PIECES, PIECES, PIECES))
def test_four_at_once_are_what_each_is_alone(texts: tuple[str, str, str, str]) -> None:
    """The short way neither lets through nor refuses anything else."""
    try:
        alone = tuple(decimal_text(text) for text in texts)
    except ValueError:
        with pytest.raises(ValueError, match="is not a decimal number"):
            four_decimal_texts(*texts)
    else:
        assert four_decimal_texts(*texts) == alone
