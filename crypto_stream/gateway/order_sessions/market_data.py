"""MarketDataUpdate: the newest quote to whoever subscribed, encoded once for all who write alike."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import NamedTuple, Protocol

from crypto_stream.gateway.delivery.frames import TEXT, Sendable, framed
from crypto_stream.gateway.delivery.metrics import OrderMetrics
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.orders.wire.fields import Form
from crypto_stream.orders.wire.replies import Style, update_around

# Seconds from one look at the quotes to the next: a changed one is sent once in it.
INTERVAL_S = 0.25
# Subscribers served before the others of this process get a turn.
_STRIDE = 200
# Subscriptions of all sessions of this gateway: some 25 MB.
MOST_SUBSCRIPTIONS = 50_000


class Subscriber(Protocol):
    """The session behind a subscription."""

    number: int
    style: Style

    def offer(self, frame: Sendable) -> int:
        """Send a frame of which only the newest counts; return its bytes, or 0 when the client is behind."""


class Subscription(NamedTuple):
    """One instrument for one session, under the name that the client gave it."""

    id: str
    symbol: str
    form: Form
    session: Subscriber


class _Whole(NamedTuple):
    """A frame for one client: compressing it would cost more than it saves."""

    plain: bytes

    @property
    def deflated(self) -> bytes:
        return self.plain


class _Topic:
    """All subscriptions of one instrument, by session; `late` are those that have not had the newest."""

    __slots__ = ("late", "members", "sent")

    def __init__(self, version: int) -> None:
        self.members: dict[int, Subscription] = {}
        self.late: set[int] = set()
        self.sent = version


class MarketData:
    """Send each subscriber the newest quote when it changed; who is behind gets the newest later."""

    def __init__(
        self,
        mirror: Mirror,
        counters: OrderMetrics,
        breathe: Callable[[], None],
        most: int = MOST_SUBSCRIPTIONS,
    ) -> None:
        """Serve from `mirror`, at most `most` subscriptions; `breathe` lets others run for a moment."""
        self._most = most
        self._mirror = mirror
        self._counters = counters
        self._breathe = breathe
        self._topics: dict[str, _Topic] = {}

    def full(self) -> bool:
        """Say whether there are as many subscriptions as there may be."""
        return self._counters.subscriptions >= self._most

    def of(self, session: int, symbol: str) -> Subscription | None:
        """Return this session's subscription of the instrument."""
        topic = self._topics.get(symbol)
        return topic.members.get(session) if topic else None

    def add(self, session: Subscriber, symbol: str, form: Form) -> Subscription:
        """Subscribe; the first update is sent by `begin`."""
        topic = self._topics.get(symbol)
        if topic is None:
            topic = self._topics[symbol] = _Topic(self._version(symbol))
        self._counters.subscriptions += 1
        made = topic.members[session.number] = Subscription(str(uuid.uuid4()), symbol, form, session)
        return made

    def begin(self, subscription: Subscription) -> None:
        """Send the first update now."""
        self._offer(self._topics[subscription.symbol], subscription, {})

    def remove(self, subscription: Subscription) -> None:
        """End a subscription that `add` made."""
        self._counters.subscriptions -= 1
        topic = self._topics[subscription.symbol]
        del topic.members[subscription.session.number]
        topic.late.discard(subscription.session.number)
        if not topic.members:
            del self._topics[subscription.symbol]

    def flush(self) -> None:
        """Send what changed since the last time, and the newest to those who were behind."""
        served = 0
        for symbol, topic in list(self._topics.items()):
            version = self._version(symbol)
            if version != topic.sent:
                topic.sent = version
                targets = list(topic.members)
            else:
                targets = list(topic.late)
            written: dict[tuple[Form, Style], tuple[bytes, bytes]] = {}
            for number in targets:
                if subscription := topic.members.get(number):
                    self._offer(topic, subscription, written)
                    served += 1
                    if not served % _STRIDE:
                        self._breathe()

    def _offer(
        self,
        topic: _Topic,
        subscription: Subscription,
        written: dict[tuple[Form, Style], tuple[bytes, bytes]],
    ) -> None:
        session = subscription.session
        key = (subscription.form, session.style)
        if key not in written:
            quote = self._mirror.quotes.get(subscription.symbol)
            rules = self._mirror.rules(subscription.symbol)
            written[key] = update_around(session.style, subscription.form, quote, rules)
            self._counters.encoded += 1
        before, behind = written[key]
        if session.offer(_Whole(framed(TEXT, before + subscription.id.encode() + behind))):
            topic.late.discard(session.number)
            self._counters.updates += 1
        elif session.number in topic.members:  # else it ended just now
            topic.late.add(session.number)

    def _version(self, symbol: str) -> int:
        return self._mirror.versions.get(symbol, 0)
