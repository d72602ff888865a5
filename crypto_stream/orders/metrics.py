"""The log lines and metrics of orders: one line per event, up to a limit."""

from __future__ import annotations

import logging

from crypto_stream.bus.messages import OrderCounts
from crypto_stream.log_throttle import LineBudget
from crypto_stream.market.orders import ExecType, Report, Status

log = logging.getLogger(__name__)

MAX_LINES = 50  # per second; otherwise a busy client would flood the log
_SECOND_S = 1.0
# An owner's name is a credential, so the log shows only its beginning.
_SHOWN = 8


class OrderLog:
    """Count and log what happens to orders; events beyond the limit are logged as a number."""

    def __init__(self) -> None:
        self.placed = 0
        self.filled = 0
        self.cancelled = 0
        self.rejected = 0
        self._began_s = float("-inf")
        self._budget = LineBudget(MAX_LINES)

    def note(self, report: Report, now_s: float) -> None:
        """Count and log a stored report."""
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
        """Log how many events were omitted; to be called every second."""
        if omitted := self._budget.omitted():
            log.info("order events omitted from the log", extra={"events": omitted.total()})

    def counts(
        self, active: int, commits: int, commit_s: float, waiting: int = 0, cuts: int = 0
    ) -> OrderCounts:
        """Return the counts of this run of the engine."""
        return OrderCounts(
            active=active,
            placed=self.placed,
            filled=self.filled,
            cancelled=self.cancelled,
            rejected=self.rejected,
            commits=commits,
            commit_s=commit_s,
            waiting=waiting,
            cuts=cuts,
        )

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
        return "order partially filled"
