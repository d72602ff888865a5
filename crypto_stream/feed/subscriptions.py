"""A session's subscriptions: requested until each one is acknowledged, refused or abandoned."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from crypto_stream.feed.acknowledgements import SubscriptionReplies, halves
from crypto_stream.feed.connection import SessionConnection
from crypto_stream.feed.handler import TOPICS, Reading, Refused, Request, Resync, Wanted
from crypto_stream.feed.names import Names
from crypto_stream.feed.resubscriptions import Resubscriptions
from crypto_stream.log_throttle import LogThrottle
from crypto_stream.market.instruments import Instrument, few

log = logging.getLogger(__name__)

# Phrases that indicate a temporary refusal, for handlers that do not set `temporary` themselves.
_TEMPORARY = re.compile(
    r"too many (requests|messages)|too frequent|rate.?limit|try again|(again|try|retry)\W.{0,20}later"
    r"|temporar|\bbusy|overload|service unavailable|internal (system |server )?error|time.?out|timed out",
    re.IGNORECASE,
)
# The reason for an instrument whose id only the venue's list tells.
UNNAMED = "its venue id is not known yet"

_Make = Callable[[Sequence[Wanted]], list[Request]]


class SubscriptionConfig(NamedTuple):
    """What a session subscribes to at its `source`: `instruments`, by the venue's ids in `names`.

    The instruments may change; `Subscriptions.add` and `remove` must be called for each that does.

    A request has at most `request_bytes`. Refusals of `watched` symbols are not reported, because no user
    requested them.
    """

    source: str
    instruments: Mapping[str, Instrument]
    names: Names
    request_bytes: int
    watched: Set[str] = frozenset()


class Subscriptions:
    """Subscribe a connection to instruments; `on_bug` is called with an error in the handler's requests.

    `refused` contains symbols for which the venue sends nothing, and why. Whatever brought no data is
    requested again, see `Resubscriptions`.
    """

    def __init__(self, config: SubscriptionConfig, ack_ns: int, on_bug: Callable[[Exception], None]) -> None:
        self.refused: dict[str, str] = {}
        self._config = config
        self._acks = SubscriptionReplies(ack_ns)
        self._resubscriptions = Resubscriptions()
        self._throttle = LogThrottle()  # the same refusal is logged once a minute
        self._on_bug = on_bug
        self._connection: SessionConnection | None = None
        self._reader: Reading | None = None
        # What was added and removed, or is to be renewed, but not requested yet.
        self._joining: dict[str, None] = {}
        self._leaving: list[Wanted] = []
        self._renewing: dict[str, None] = {}

    @property
    def answered(self) -> bool:
        """Whether everything sent so far was acknowledged or refused."""
        return not self._acks

    @property
    def all_refused(self) -> bool:
        """Whether the venue refused every instrument."""
        return self._config.instruments.keys() <= self.refused.keys()

    def begin(self, connection: SessionConnection, reader: Reading) -> None:
        """Subscribe to everything over `connection`, with the requests that `reader` makes."""
        self._connection, self._reader = connection, reader
        self._joining.clear()
        self._leaving.clear()
        self._renewing.clear()
        self._subscribe(self._wanted(self._config.instruments))

    def add(self, symbols: Sequence[str]) -> None:
        """Subscribe to instruments that were just added; all that there are when a connection begins."""
        self._joining.update(dict.fromkeys(symbols))
        self._request_changes()

    def remove(self, symbols: Sequence[str]) -> None:
        """Unsubscribe from instruments that will be removed, and forget them."""
        requested = [symbol for symbol in symbols if symbol not in self._joining]
        self._leaving += self._subscribed(self._wanted(requested), set(self.refused))
        for symbol in symbols:
            self._joining.pop(symbol, None)
            self._renewing.pop(symbol, None)
            self.refused.pop(symbol, None)
            self._acks.seen(symbol)
            self._resubscriptions.received(symbol)
        self._request_changes()

    def resubscribe(self, symbols: Iterable[str]) -> None:
        """Unsubscribe from `symbols`, unless refused, and subscribe again.

        While requests are still queued, all that is to be renewed is collected: at a venue that allows few
        requests they would pile up.
        """
        if self._connection is None or self._connection.has_unsent:
            self._renewing.update(dict.fromkeys(symbols))
            return
        refused = set(self.refused)  # an instrument whose id has just become known is no longer in it
        self._resubscribe(self._wanted(symbols), refused)

    def resync(self, lost: Resync) -> None:
        """Resubscribe to the one topic that lost data."""
        self._resubscribe(
            [each for each in self._wanted([lost.instrument.symbol]) if each.topic == lost.topic],
            self.refused.keys(),
        )

    def resubscribe_all(self) -> None:
        """Resubscribe to everything that was not refused.

        Does nothing while requests are still queued: rounds would pile up.
        """
        if not (self._connection and self._connection.has_unsent):
            self.resubscribe([symbol for symbol in self._config.instruments if symbol not in self.refused])

    def sent(self, request: Request) -> None:
        """Record that a request was sent."""
        now_ns = time.monotonic_ns()
        self._acks.sent(request, now_ns)
        if request.keys:
            self._resubscriptions.requested(_symbols(self._still_wanted(request.wanted)), now_ns)

    def retry_times(self) -> Mapping[str, int]:
        """Return when each refused symbol is requested again, on the monotonic clock in ns."""
        times = {symbol: self._resubscriptions.due_ns(symbol) for symbol in self.refused}
        return {symbol: at_ns for symbol, at_ns in times.items() if at_ns is not None}

    def seen(self, symbol: str) -> None:
        """Record data of `symbol`, which counts as an acknowledgement."""
        if self._acks:
            self._acks.seen(symbol)
        if self._resubscriptions:
            self._resubscriptions.received(symbol)
        self.refused.pop(symbol, None)

    def acked(self, key: str) -> None:
        """Record an acknowledgement."""
        self._acks.acked(key)

    def refuse(self, event: Refused) -> None:
        """Handle a refusal; if it names no instrument, halve the refused batch until the culprit is found.

        A refusal without key is attributed to the oldest request; a temporary one to no instrument.
        """
        now_ns = time.monotonic_ns()
        named = event.instrument.symbol if event.instrument else ""
        is_named = named in self._config.instruments
        # Whatever else the request wanted is requested again below, unless the refusal names the culprit.
        wanted = tuple(self._still_wanted(self._acks.refused(event.key, entirely=not is_named)))
        symbols = (named,) if is_named else _symbols(wanted)
        temporary = event.temporary or _TEMPORARY.search(event.reason) is not None
        if temporary:
            self._resubscriptions.refused_for_now(symbols, now_ns)
        elif len(symbols) == 1:
            self.refused[symbols[0]] = event.reason
        else:
            for part in halves(wanted):
                self._subscribe(part)
        what = "subscription refused temporarily" if temporary else "subscription refused"
        self._log_refusal(what, event.reason, symbols)

    def retry_overdue(self, now_ns: int) -> None:
        """Request again what was not acknowledged in time or brought no data; finally abandon it."""
        again, abandoned = map(self._still_wanted, self._acks.overdue(now_ns))
        if again:
            self._subscribe(again)
        for symbol in _symbols(abandoned):
            self.refused[symbol] = "subscription never acknowledged"
        if abandoned:
            reason = "subscription never acknowledged"
            self._log_refusal("subscription refused", reason, _symbols(abandoned))
        self._request_changes()
        if self._connection is None or self._connection.has_unsent:
            return
        if due := self._resubscriptions.due(now_ns):
            extra = {"source": self._config.source, "symbols": few(due)}
            log.info("resubscribing to instruments without data", extra=extra)
            self.resubscribe(due)

    def _wanted(self, symbols: Iterable[str]) -> list[Wanted]:
        """List all topics of instruments; one whose id is not known yet counts as refused."""
        wanted: list[Wanted] = []
        for symbol in symbols:
            if (instrument := self._config.instruments.get(symbol)) is None:
                continue
            if (named := self._config.names.id_of(symbol)) is None:
                self.refused.setdefault(symbol, UNNAMED)
                continue
            if self.refused.get(symbol) == UNNAMED:
                del self.refused[symbol]
            wanted += [Wanted(named, instrument, topic) for topic in TOPICS]
        return wanted

    def _request_changes(self) -> None:
        """Request what was added and removed, all at once, as soon as everything else is sent.

        So what comes and goes meanwhile costs the venue no request.
        """
        if self._connection is None or self._connection.has_unsent:
            return
        leaving, self._leaving = self._leaving, []
        joining, self._joining = self._joining, {}
        self._unsubscribe(leaving)
        if wanted := self._wanted(joining):
            self._subscribe(wanted)
        if self._renewing and not self._connection.has_unsent:
            renewing, self._renewing = self._renewing, {}
            self.resubscribe(renewing)

    def _still_wanted(self, wanted: Sequence[Wanted]) -> list[Wanted]:
        """Leave out instruments that were removed after they were requested."""
        return [each for each in wanted if each.instrument.symbol in self._config.instruments]

    def _resubscribe(self, wanted: Sequence[Wanted], refused: Set[str]) -> None:
        if self._connection and wanted:
            self._unsubscribe(self._subscribed(wanted, refused))
            self._subscribe(wanted)

    def _subscribed(self, wanted: Sequence[Wanted], refused: Set[str]) -> list[Wanted]:
        """Leave out refused instruments: they have no subscription, and ending it might be refused, too."""
        return [
            each
            for each in wanted
            if (symbol := each.instrument.symbol) not in refused
            and not self._resubscriptions.is_refused_for_now(symbol)
        ]

    def _unsubscribe(self, subscribed: Sequence[Wanted]) -> None:
        if subscribed and (unsubscribe := getattr(self._reader, "unsubscribe", None)):
            self._queue(unsubscribe, subscribed)

    def _subscribe(self, wanted: Sequence[Wanted]) -> None:
        assert self._reader is not None
        self._queue(self._reader.subscribe, wanted)

    def _queue(self, make: _Make, wanted: Sequence[Wanted]) -> None:
        """Queue the requests that the handler creates; a bug in it ends the session."""
        assert self._connection is not None
        try:
            self._connection.queue(bounded(make, wanted, self._config.request_bytes))
        except Exception as bug:
            log.exception("error in a handler", extra={"source": self._config.source})
            self._on_bug(bug)

    def _log_refusal(self, what: str, reason: str, symbols: Sequence[str]) -> None:
        """Log a refusal, once a minute for each symbol or batch of symbols."""
        about = f"{symbols[0] if len(symbols) == 1 else ''} {what} {reason}"
        # The watched instrument may be the culprit of a refused batch; halving it will show.
        is_user_visible = not symbols or self._config.watched.isdisjoint(symbols)
        is_new = is_user_visible and self._throttle.due(about)
        extra = {"source": self._config.source, "symbol": few(symbols), "reason": reason}
        log.log(logging.WARNING if is_new else logging.DEBUG, what, extra=extra)


def _symbols(wanted: Iterable[Wanted]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(each.instrument.symbol for each in wanted))


def bounded(make: _Make, wanted: Sequence[Wanted], max_bytes: int) -> list[Request]:
    """Create requests of at most `max_bytes` each, splitting down to one topic if necessary."""
    requests: list[Request] = []
    for request in make(wanted):
        pieces = -(-len(request.text.encode()) // max_bytes)
        count = -(-len(request.wanted) // pieces)
        if pieces == 1 or len(request.wanted) <= 1:
            requests.append(request)
            continue
        for start in range(0, len(request.wanted), count):
            requests += bounded(make, request.wanted[start : start + count], max_bytes)
    return requests
