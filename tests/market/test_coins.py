"""Names of currencies."""

from __future__ import annotations

from crypto_stream.market.coins import NAMES, coin_name


def test_common_currencies_have_names() -> None:
    """By their code; others have none."""
    assert coin_name("BTC") == "Bitcoin"
    assert coin_name("1INCH") == "1inch"
    assert coin_name("BCH") == "Bitcoin Cash"
    assert coin_name("AUD") == "Australian dollar"
    assert coin_name("NOSUCH") == coin_name(None) == ""
    assert all(code.isalnum() and code == code.upper() and name for code, name in NAMES.items())
    assert len(NAMES) > 100
