"""Orders in instruments that are removed, of which there may be very many."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from crypto_stream.bus.orders import Place
from crypto_stream.market.orders import ExecType, Status
from crypto_stream.orders.limits import OrderLimits
from crypto_stream.orders.state import INSTRUMENT_REMOVED
from tests.orders.house import BUY, LATEST_MS, LIVE, SETTINGS, a_quote, house, limit

MANY = 600


def test_very_many_orders_end_in_pieces_and_none_trades_meanwhile(path: Path) -> None:
    """The event loop runs in between: orders arrive, which the last quote of their instrument would fill."""
    with house(path, SETTINGS._replace(max_open=OrderLimits(MANY + 1))) as one:
        one.quote(LIVE)
        one.quote(a_quote("ethusdt", bid="99", ask="101"))
        one.attach(1, "me")
        places = [Place(1, 1_000 + ref, limit(BUY, "1", "101")) for ref in range(MANY)]
        one.orders.commands("one", places)
        one.settle()
        elsewhere = one.placed(1, limit(BUY, "1", "90", "ethusdt"))
        del one.quotes["btcusdt"]
        more = one.orders.remove_instruments(["btcusdt"])
        one.advance(LATEST_MS)
        left = one.orders.counts().active
        while one.orders.remove_instruments(["btcusdt"]):
            one.settle()
        one.settle()
        told = Counter((each.exec_type, each.reason) for each in one.reports(1))

        assert more
        assert 1 < left < MANY
        assert told == {(ExecType.NEW, None): MANY + 1, (ExecType.CANCELED, INSTRUMENT_REMOVED): MANY}
        assert [order for order in one.listed(1) if order.status is Status.ACTIVE] == [elsewhere]
        assert one.orders.counts().active == 1


def test_an_instrument_that_is_there_again_trades_on_new_quotes_only(path: Path) -> None:
    """An order that was being stored when it left and returned waits for one, and is not ended later."""
    with house(path) as one:
        one.quote(LIVE)
        one.attach(1, "me")
        one.disk.free.clear()
        one.place(1, limit(BUY, "1", "101"))
        one.orders.remove_instruments(["btcusdt"])
        one.orders.add_instruments(["btcusdt"])
        one.disk.free.set()
        one.settle()
        one.advance(LATEST_MS)
        before = [order.cum_amount for order in one.listed(1)]
        one.quote(LIVE)
        after = one.reports(1)[-1]

        assert before == ["0"]
        assert after.exec_type is ExecType.TRADE
        assert not one.orders.remove_instruments(["btcusdt"])
