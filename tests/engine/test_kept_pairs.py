"""What of the chosen pairs is stored, and what a start makes of it."""

from __future__ import annotations

from crypto_stream.engine.kept_pairs import KeptPair, KeptPairs, restored

LISTED = KeptPair("btcusdt", "BTC", "USDT", ["binance", "okx"])
ASKED = KeptPair("solusdt", "SOL", "USDT", ["okx"], asked=True)


def test_what_is_stored_comes_back() -> None:
    """Pairs with their sources, what was removed, and that the largest are resolved."""
    kept = KeptPairs(["top:20"], [LISTED, ASKED], ["xrpusdt"], largest=True)

    assert restored(kept.encode(), ["top:20"]) == kept


def test_another_setting_chooses_anew() -> None:
    """Only what was asked for remains; what was removed is forgotten."""
    kept = KeptPairs(["top:20"], [LISTED, ASKED], ["xrpusdt"], largest=True)

    assert restored(kept.encode(), ["*-eur"]) == KeptPairs(["*-eur"], [ASKED])


def test_text_of_another_version_is_no_reason_not_to_start() -> None:
    """It is as if nothing were stored."""
    for text in (None, "", "nonsense", "[]", '{"pairs": 1}'):
        assert restored(text, ["btcusdt"]) == KeptPairs(["btcusdt"])


def test_removing_and_adding_undo_each_other() -> None:
    """The last one counts, and nothing is kept twice."""
    kept = KeptPairs(["btcusdt"])
    for _ in range(3):
        kept.add([LISTED, ASKED])
        kept.remove(["btcusdt"])
    removed = list(kept.removed)
    kept.add([LISTED])

    assert removed == ["btcusdt"]
    assert not kept.removed
    assert [each.symbol for each in kept.pairs] == ["solusdt", "btcusdt"]


def test_sources_that_are_gone_carry_nothing() -> None:
    """If none of a pair's own is left, each of the others may carry it."""
    assert LISTED.chosen(["okx", "kraken"]).sources == frozenset({"okx"})
    assert LISTED.chosen(["kraken"]).sources == frozenset({"kraken"})
