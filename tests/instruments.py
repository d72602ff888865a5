"""Instruments for tests, by their symbols."""

from __future__ import annotations

from crypto_stream.market.instruments import Instrument, is_synthetic, split_symbol


def named(symbol: str) -> Instrument:
    """Return the instrument that a symbol means."""
    return Instrument(symbol, *split_symbol(symbol), synthetic=is_synthetic(symbol))
