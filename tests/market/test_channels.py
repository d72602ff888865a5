"""What the channels of an instrument show of each other."""

from __future__ import annotations

from typing import Any

import pytest

from crypto_stream.market.channels import Channels
from crypto_stream.market.events import Trade, Update
from tests.instruments import named

S = 1_000_000_000


class Told:
    """Channels, and the events of one instrument by second."""

    def __init__(self) -> None:
        self.channels = Channels()
        self._key = 0

    def at(self, second: float, event: Trade | Update, generation: int = 1) -> None:
        self.channels.observe(event, round(second * S), generation)

    def trade(self, second: float, price: str = "10") -> None:
        self.at(second, Trade(named("x"), "trades", 1, 1, price, "1"))

    def top(self, second: float, bid: str = "9", ask: str = "11") -> None:
        self.at(second, Update(named("x"), "top", 1, bid=bid, bid_size="1", ask=ask, ask_size="1"))

    def day(self, second: float, generation: int = 1, **given: Any) -> None:
        values = {"price": "10", "bid": "9", "ask": "11", "volume_24h": "100", **given}
        self.at(second, Update(named("x"), "day", 1, slow=True, **values), generation)


@pytest.mark.parametrize("shows", [{"price": "11"}, {"volume_24h": "101"}])
def test_figures_of_the_day_show_a_trade_that_was_not_given(shows: dict[str, Any]) -> None:
    """Another last price, or a volume that grew, between two figures that are later than the last trade."""
    told = Told()
    told.trade(0)
    told.day(1.5)
    told.day(2.5, **shows)

    assert told.channels.trade_evidence_ns == 2.5 * S


@pytest.mark.parametrize("shows", [{}, {"volume_24h": "99"}, {"bid": "8"}])
def test_what_is_no_trade_shows_none(shows: dict[str, Any]) -> None:
    """A volume that shrinks is what leaves the 24 h; another bid needs no trade."""
    told = Told()
    told.trade(0)
    told.day(1.5)
    told.day(2.5, **shows)

    assert told.channels.trade_evidence_ns == 0


def test_figures_of_the_last_trade_itself_show_nothing() -> None:
    """They come up to a second after it."""
    told = Told()
    told.day(0)
    told.trade(0.1, "11")
    told.day(1, price="11")
    told.day(2, price="11")

    assert told.channels.trade_evidence_ns == 0


def test_another_connection_compares_with_its_own_figures_only() -> None:
    """What changed while nobody was connected was missed by nobody."""
    told = Told()
    told.day(5)
    told.day(60, generation=2, price="20")

    assert told.channels.trade_evidence_ns == 0


@pytest.mark.parametrize("price", ["8.9", "11.1"])
def test_a_trade_outside_the_top_of_book_shows_that_it_moved(price: str) -> None:
    """Unless the top came a moment ago, when its move may be on its way."""
    told = Told()
    told.top(0)
    told.trade(0.9, price)
    early = told.channels.top_evidence_ns
    told.trade(1.1, price)

    assert (early, told.channels.top_evidence_ns) == (0, round(1.1 * S))


def test_the_same_values_under_a_newer_key_are_nothing_new() -> None:
    """A top or figures that repeat say no more than none."""
    told = Told()
    told.top(0.5)
    told.day(0.5)
    told.top(5)
    told.day(5)

    assert (told.channels.top_ns, told.channels.day_ns) == (S // 2, S // 2)


def test_a_useless_trade_is_none() -> None:
    """It is taken back, however many follow each other."""
    told = Told()
    told.trade(1)
    for second in (2, 3, 4):
        told.trade(second)
        told.channels.retract_trade()

    assert told.channels.trades_ns == S
