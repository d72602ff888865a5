"""Which pairs a word of the setting `pairs` means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.choices import Largest, Named, Pattern, instruments_of, parse_choice
from crypto_stream.market.instruments import pair

LISTED = [("BTC", "USDT"), ("ETH", "USDT"), ("BTC", "EUR"), ("ETH", "BTC"), ("USDT", "EUR")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("*usdt", [("BTC", "USDT"), ("ETH", "USDT")]),
        ("btc*", [("BTC", "USDT"), ("BTC", "EUR")]),
        ("*-btc", [("ETH", "BTC")]),
        ("BTC-*", [("BTC", "USDT"), ("BTC", "EUR")]),
        ("*/eur", [("BTC", "EUR"), ("USDT", "EUR")]),
        ("*", LISTED),
        ("b*-e*", [("BTC", "EUR")]),
        ("doge*", []),
    ],
)
def test_a_pattern_chooses_what_is_listed(text: str, found: list[tuple[str, str]]) -> None:
    """With a separator each currency is compared, without one both joined; case does not matter."""
    choice = parse_choice(text)
    assert isinstance(choice, Pattern)

    assert [pair for pair in LISTED if choice.matches(pair)] == found


def test_the_largest_are_those_with_most_volume_in_the_quote_currency() -> None:
    """Volumes in another currency are not comparable; what is no number, or 0, is not traded."""
    volumes = {
        ("BTC", "USDT"): "5e9",
        ("ETH", "USDT"): "7000000000.5",
        ("SOL", "USDT"): "0",
        ("XRP", "USDT"): "none",
        ("ADA", "USDT"): "3",
        ("BTC", "EUR"): "9e12",
    }
    usdt, euro = parse_choice("top:2"), parse_choice("TOP:5-eur")
    assert isinstance(usdt, Largest)
    assert isinstance(euro, Largest)

    assert usdt.of(volumes) == [("ETH", "USDT"), ("BTC", "USDT")]
    assert euro.of(volumes) == [("BTC", "EUR")]
    assert Largest(10, "USDT").of(volumes)[-1] == ("ADA", "USDT")


def test_anything_else_is_the_name_of_a_pair() -> None:
    """As it always was."""
    choice = parse_choice(" BTC-USDT ")

    assert isinstance(choice, Named)
    assert choice.instrument.symbol == "btcusdt"


@pytest.mark.parametrize(
    "text", ["top:", "top:0", "top:x", "top:5-", "top:5001", "*-*-*", "b%*", "*" * 50, ""]
)
def test_a_wrong_word_says_what_is_allowed(text: str) -> None:
    """Each with an example of a right one."""
    with pytest.raises(ValueError, match="write"):
        parse_choice(text)


@given(st.text(max_size=30))
def test_no_text_does_more_than_be_refused(text: str) -> None:
    """A word that cannot be parsed is a ValueError, whatever it is; a pattern can be compared."""
    try:
        choice = parse_choice(text)
    except ValueError:
        return

    if isinstance(choice, Pattern):
        choice.matches(("BTC", "USDT"))


def test_reserved_symbols_are_never_chosen_from_a_list() -> None:
    """EUR/USD of a venue would be the synthetic instrument of that name."""
    assert [each.symbol for each in instruments_of([("EUR", "USD"), ("BTC", "USD"), ("", "USD")])] == [
        "btcusd"
    ]


def test_odd_names_are_never_chosen_from_a_list() -> None:
    """What `pair` would read in another way is no pair, nor is what cannot be in an address."""
    odd = [("A-BTC", "USDT"), (" BTC", "USDT"), ("B/C", "USDT"), ("BTC", "U_SD"), ("-", "USDT")]

    assert instruments_of([*odd, ("BTC", "USDT")]) == [pair("BTC-USDT")]
