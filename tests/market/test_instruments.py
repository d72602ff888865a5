"""Symbols: one instrument, one symbol, any usual spelling; synthetic for good or never."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.market.instruments import (
    Catalogue,
    Instrument,
    Instruments,
    fold,
    is_synthetic,
    pair,
    split_symbol,
)

NAMES = st.text(st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"), min_size=2, max_size=8)
TICKERS = [f"ticker_{number:02d}" for number in range(100)]


@pytest.mark.parametrize(
    "text", ["btcusdt", "BTCUSDT", "BTC-USDT", "BTC/USDT", "btc_usdt", " Btc-Usdt ", "bTc/uSdT"]
)
def test_every_usual_spelling_is_one_pair(text: str) -> None:
    """Case, blanks around and the marks - / _ make no difference."""
    assert pair(text) == Instrument("btcusdt", "BTC", "USDT")


@pytest.mark.parametrize(
    ("symbol", "base", "quote"),
    [
        ("btcusdt", "BTC", "USDT"),
        ("ethbtc", "ETH", "BTC"),
        ("bnbusd", "BNB", "USD"),
        ("bnbbusd", "BNB", "BUSD"),
        ("xrpfdusd", "XRP", "FDUSD"),
        ("usdcusdt", "USDC", "USDT"),
        ("1000satsusdt", "1000SATS", "USDT"),
        ("btceur", "BTC", "EUR"),
        ("nonsense", None, None),
        ("usdt", None, None),
        ("", None, None),
    ],
)
def test_joined_symbol_is_split_by_its_quote(symbol: str, base: str | None, quote: str | None) -> None:
    """Known quote currencies say where the base ends; what cannot be split has neither."""
    assert split_symbol(symbol) == (base, quote)


def test_a_mark_decides_where_the_base_ends() -> None:
    """What the rules would split wrongly is written with a mark, which is obeyed."""
    instrument = pair("NEWB-USD")

    assert instrument == Instrument("newbusd", "NEWB", "USD")
    assert split_symbol("newbusd") != ("NEWB", "USD")


def test_symbols_need_not_be_ascii() -> None:
    """Venues list pairs in other scripts; they are pairs like any other."""
    instrument = pair("币安人生USDT")

    assert instrument == Instrument("币安人生usdt", "币安人生", "USDT")
    assert Catalogue([instrument]).find("币安人生-usdt") == instrument


@pytest.mark.parametrize("text", ["", "   ", "-", "btc usdt", "btc.usdt", "../etc", "a" * 41, "<b>usdt"])
def test_what_cannot_name_a_pair_is_refused(text: str) -> None:
    """Empty, too long and odd texts raise ValueError, which shows the text."""
    with pytest.raises(ValueError, match="is not a pair"):
        pair(text)


@pytest.mark.parametrize("text", [*TICKERS[:2], "TICKER-99", "ticker00", "EUR/USD", "eurrub", "usd_rub"])
def test_synthetic_symbols_are_no_pairs(text: str) -> None:
    """A reserved symbol in any spelling cannot be configured as a real pair."""
    with pytest.raises(ValueError, match="synthetic"):
        pair(text)


@pytest.mark.parametrize("symbol", [*TICKERS, "eurusd", "eurrub", "usdrub"])
def test_reserved_symbols_are_synthetic(symbol: str) -> None:
    """The reserved symbols are synthetic as they stand and as they are looked up."""
    assert is_synthetic(symbol)
    assert is_synthetic(fold(symbol))


@pytest.mark.parametrize("symbol", ["btcusdt", "eurusdt", "ticker_100", "ticker_0", "xeurusd", "usdrubx"])
def test_other_symbols_are_real(symbol: str) -> None:
    """Whatever only looks like a reserved symbol is real."""
    assert not is_synthetic(symbol)


@given(NAMES, NAMES, st.sampled_from("-/_"))
def test_spellings_of_one_pair_are_one_symbol(base: str, quote: str, mark: str) -> None:
    """With or without a mark, in either case, a pair has one symbol and keeps base and quote."""
    if is_synthetic(fold(base + quote)):
        return
    instrument = pair(base + mark + quote)

    assert instrument.symbol == pair((base + quote).lower()).symbol
    assert (instrument.base, instrument.quote) == (base, quote)
    assert pair((base + mark + quote).lower()) == instrument


@given(st.text(max_size=60))
def test_any_text_is_a_pair_or_refused(text: str) -> None:
    """No text makes anything but a real instrument whose symbol is its own key, or a ValueError."""
    try:
        instrument = pair(text)
    except ValueError:
        return

    assert not instrument.synthetic
    assert not is_synthetic(instrument.symbol)
    assert fold(instrument.symbol) == instrument.symbol
    assert 0 < len(instrument.symbol) <= 40


@given(NAMES)
def test_a_split_joins_to_the_symbol(symbol: str) -> None:
    """Base and quote together are the symbol again, and neither is empty."""
    base, quote = split_symbol(symbol.lower())

    assert (base is None) == (quote is None)
    assert base is None or quote is None or (base + quote == symbol and base and quote)


def test_catalogue_finds_by_any_spelling_and_keeps_the_order() -> None:
    """The first of two instruments with one symbol stays, in the order they came."""
    first, other = pair("BTC-USDT"), Instrument("ticker_00", None, None, synthetic=True)
    catalogue = Catalogue([first, other, Instrument("btcusdt", "X", "Y")])

    assert list(catalogue) == [first, other]
    assert len(catalogue) == 2
    assert catalogue.find("btc/usdt") is first
    assert catalogue.find("TICKER00") is catalogue.find("ticker-00") is other
    assert catalogue.find("dogeusdt") is None


def test_near_misses_are_named_best_first() -> None:
    """An unknown symbol gets the known ones that look like it, as they are written, at most so many."""
    catalogue = Catalogue(
        [pair("btcusdt"), pair("btcusdc"), *(Instrument(each, None, None) for each in TICKERS)]
    )

    assert catalogue.near("BTC-USDTT")[0] == "btcusdt"
    assert catalogue.near("ticker_7", most=3)[0].startswith("ticker_")
    assert len(catalogue.near("ticker_7", most=3)) == 3
    assert catalogue.near("ÿÿÿ") == []
    assert catalogue.near("x" * 100_000) == []


def test_what_looks_alike_is_found_among_thousands_without_looking_at_all() -> None:
    """Rare letters decide first."""
    catalogue = Catalogue(Instrument(f"{number:04}usdt", None, None) for number in range(5_000))

    assert catalogue.near("1234usd")[0] == "1234usdt"
    assert len(catalogue.near("usdt" * 10)) <= 5


def test_pairs_of_one_joined_name_have_addresses_of_their_own() -> None:
    """AR/BUSD is not ARB/USD; the later one is dashed, and found so; who listens hears what came and went."""
    heard: list[tuple[list[str], list[str]]] = []
    instruments = Instruments()
    instruments.listeners.append(
        lambda came, went: heard.append(([each.symbol for each in came], [each.symbol for each in went]))
    )
    first = instruments.add(pair("AR-BUSD"))
    second = instruments.add(pair("ARB-USD"))
    again = instruments.add(pair("ARB/USD"))
    catalogue = Catalogue(instruments.values())

    assert (first.symbol, second.symbol, second.base, second.quote) == ("arbusd", "arb-usd", "ARB", "USD")
    assert again is second
    assert [catalogue.find(text) for text in ("arbusd", "AR-BUSD", "ARB-USD", "arb/usd")] == [
        first, first, second, second
    ]  # fmt: skip
    instruments.remove("arbusd")
    instruments.remove("nothing")
    assert instruments.add(pair("AR-BUSD")).symbol == "arbusd"
    assert heard == [(["arbusd"], []), (["arb-usd"], []), ([], ["arbusd"]), (["arbusd"], [])]
