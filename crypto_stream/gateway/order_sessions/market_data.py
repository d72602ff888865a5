"""MarketDataUpdate: the newest quote for each subscriber, encoded once per style and spelling."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple, Protocol

from crypto_stream.gateway.delivery.frames import TEXT, Sendable, framed
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.orders.wire.fields import Form
from crypto_stream.orders.wire.replies import Style, update_around

# Seconds between two flushes; in each, a quote that changed is sent once.
INTERVAL_S = 0.25
# Subscribers served before control is yielded to the other green threads.
_STRIDE = 200
# For all sessions of this gateway; they take about 25 MB.
MAX_SUBSCRIPTIONS = 50_000


class Subscriber(Protocol):
    """The session that a subscription belongs to."""

    number: int
    style: Style

    def offer(self, frame: Sendable) -> int:
        """Send a frame unless the client is slow; return its size in bytes, or 0."""


class MarketDataSubscription(NamedTuple):
    """One session's subscription to one instrument; `form` is the client's spelling of it."""

    id: str
    symbol: str
    form: Form
    session: Subscriber


class _Uncompressed(NamedTuple):
    """A frame for one client, which would cost more to compress than that would save."""

    uncompressed: bytes

    @property
    def deflated(self) -> bytes:
        return self.uncompressed


class _Subscribers:
    """The subscriptions to one instrument by session number; `slow` ones lack the newest quote."""

    __slots__ = ("by_session", "sent_version", "slow")

    def __init__(self, version: int) -> None:
        self.by_session: dict[int, MarketDataSubscription] = {}
        self.slow: set[int] = set()
        self.sent_version = version


# Per spelling and style, a message's bytes before and after the subscription's id.
_Encoded = dict[tuple[Form, Style], tuple[bytes, bytes]]


class MarketData:
    """Send each subscriber the newest quote when it changes; slow clients get it later."""

    def __init__(
        self,
        mirror: Mirror,
        counters: OrderMetrics,
        yield_control: Callable[[], None],
        max_subscriptions: int = MAX_SUBSCRIPTIONS,
    ) -> None:
        """Serve quotes from `mirror`; `yield_control` lets other green threads run."""
        self._max_subscriptions = max_subscriptions
        self._mirror = mirror
        self._counters = counters
        self._yield_control = yield_control
        self._subscribers: dict[str, _Subscribers] = {}

    def full(self) -> bool:
        """Return whether the limit of subscriptions is reached."""
        return self._counters.subscriptions >= self._max_subscriptions

    def find(self, session: int, symbol: str) -> MarketDataSubscription | None:
        """Find this session's subscription to an instrument."""
        subscribers = self._subscribers.get(symbol)
        return subscribers.by_session.get(session) if subscribers else None

    def add(self, session: Subscriber, symbol: str, form: Form) -> MarketDataSubscription:
        """Subscribe; `send_first` sends the first update."""
        subscribers = self._subscribers.get(symbol)
        if subscribers is None:
            subscribers = self._subscribers[symbol] = _Subscribers(self._version(symbol))
        self._counters.subscriptions += 1
        added = MarketDataSubscription(str(uuid.uuid4()), symbol, form, session)
        subscribers.by_session[session.number] = added
        return added

    def send_first(self, subscription: MarketDataSubscription) -> None:
        """Send the first update now."""
        self._offer(self._subscribers[subscription.symbol], subscription, {})

    def remove(self, subscription: MarketDataSubscription) -> None:
        """End a subscription that `add` made."""
        self._counters.subscriptions -= 1
        subscribers = self._subscribers[subscription.symbol]
        del subscribers.by_session[subscription.session.number]
        subscribers.slow.discard(subscription.session.number)
        if not subscribers.by_session:
            del self._subscribers[subscription.symbol]

    def flush(self) -> None:
        """Send the quotes that changed since the last flush, and the newest ones to slow clients."""
        served = 0
        for symbol, subscribers in list(self._subscribers.items()):
            version = self._version(symbol)
            if version != subscribers.sent_version:
                subscribers.sent_version = version
                targets = list(subscribers.by_session)
            else:
                targets = list(subscribers.slow)
            encoded: _Encoded = {}
            for number in targets:
                if subscription := subscribers.by_session.get(number):
                    self._offer(subscribers, subscription, encoded)
                    served += 1
                    if not served % _STRIDE:
                        self._yield_control()

    def _offer(
        self, subscribers: _Subscribers, subscription: MarketDataSubscription, encoded: _Encoded
    ) -> None:
        session = subscription.session
        key = (subscription.form, session.style)
        if key not in encoded:
            quote = self._mirror.quotes.get(subscription.symbol)
            rules = self._mirror.rules(subscription.symbol)
            encoded[key] = update_around(session.style, subscription.form, quote, rules)
            self._counters.encoded += 1
        prefix, suffix = encoded[key]
        if session.offer(_Uncompressed(framed(TEXT, prefix + subscription.id.encode() + suffix))):
            subscribers.slow.discard(session.number)
            self._counters.updates += 1
        elif session.number in subscribers.by_session:  # else the failed send has just ended the session
            subscribers.slow.add(session.number)

    def _version(self, symbol: str) -> int:
        return self._mirror.versions.get(symbol, 0)
