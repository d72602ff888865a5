"""What the log and the metrics show of orders: one line per event, as far as a log can take them."""

from __future__ import annotations

import logging

from crypto_stream.bus.messages import OrderCounts
from crypto_stream.log_throttle import LineBudget
from crypto_stream.market.orders import ExecType, Report, Status

log = logging.getLogger(__name__)

MOST_LINES = 50  # of orders in one second; a busy client would else drown everything else
_SECOND_S = 1.0
# An owner's name lets whoever knows it in: the log shows its beginning.
_SHOWN = 8


class OrderLog:
    """Count what happened to orders and log it; what is not logged is logged by its number."""

    def __init__(self) -> None:
        self.placed = 0
        self.filled = 0
        self.cancelled = 0
        self.rejected = 0
        self._began_s = float("-inf")
        self._budget = LineBudget(MOST_LINES)

    def note(self, report: Report, now_s: float) -> None:
        """Take a report that is on disk."""
        event = self._count(report)
        if now_s - self._began_s >= _SECOND_S:
            self.log_omitted()
            self._began_s = now_s
            self._budget.renew()
        if not self._budget.allows(event):
            return
        order = report.order
        details = {
            "order": order.order_id,
            "owner": order.owner[:_SHOWN],
            "symbol": order.ticket.symbol,
            "side": order.ticket.side.name.lower(),
            "amount": report.last_amount or order.ticket.amount,
            "price": report.last_price or order.ticket.price,
            "source": report.source,
            "reason": report.reason,
        }
        log.info(event, extra=details)

    def log_omitted(self) -> None:
        """Say how many events were not logged; to be called each second."""
        if omitted := self._budget.omitted():
            log.info("more happened to orders than is logged", extra={"events": omitted.total()})

    def counts(
        self, active: int, commits: int, commit_s: float, waiting: int = 0, cuts: int = 0
    ) -> OrderCounts:
        """Return the counts of this life of the engine."""
        happened = (self.placed, self.filled, self.cancelled, self.rejected)
        return OrderCounts(active, *happened, commits, commit_s, waiting, cuts)

    def _count(self, report: Report) -> str:
        if report.exec_type is ExecType.NEW:
            self.placed += 1
            return "order placed"
        if report.exec_type is ExecType.CANCELED:
            self.cancelled += 1
            return "order cancelled"
        if report.exec_type is ExecType.REJECTED:
            self.rejected += 1
            return "order rejected"
        if report.order.status is Status.FILLED:
            self.filled += 1
            return "order filled"
        return "order filled in part"
