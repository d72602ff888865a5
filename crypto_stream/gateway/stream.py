"""Socket.IO: viewers connecting and leaving, and their requests."""

from __future__ import annotations

import logging
from collections.abc import Sized
from typing import Any

from crypto_stream.errors import RefusedError
from crypto_stream.gateway.connection_log import ConnectionLog
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.viewers import Viewer
from crypto_stream.gateway.events import Events, refusal
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.pipes import close_transport, pipe_of
from crypto_stream.gateway.requests import parse_subscribe, parse_unsubscribe, resolve
from crypto_stream.gateway.subscriptions import Subscription
from crypto_stream.gateway.viewer_server import ViewerServer
from crypto_stream.gateway.watcher import Watcher
from crypto_stream.log_throttle import LogThrottle

log = logging.getLogger(__name__)


class Stream:
    """Handles the Socket.IO events of viewers, and acknowledges each."""

    def __init__(
        self,
        socketio: ViewerServer,
        delivery: Delivery,
        mirror: Mirror,
        counters: DeliveryMetrics,
        watch: Watcher,
    ) -> None:
        """Nothing is handled before `register`."""
        self._socketio = socketio
        self._delivery = delivery
        self._mirror = mirror
        self._counters = counters
        self._watch = watch
        self._throttle = LogThrottle()
        self.connection_log = ConnectionLog()

    def register(self, max_viewers: int, rate: int, others: Sized = ()) -> None:
        """Handle the events of the default namespace, at most `rate` a second of each viewer.

        At most `max_viewers` may join; `others` count as viewers too.
        """
        self._max_viewers = max_viewers
        self._others = others
        self._socketio.on_event("connect", self._connected)
        self._socketio.on_event("disconnect", self._disconnected)
        handlers = {"subscribe": self._subscribe, "unsubscribe": self._unsubscribe}
        for event, answer in handlers.items():
            self._socketio.on_event(event, answer)
        self._socketio.on_error_default(self._broken)
        Events(
            self._socketio.server,
            tuple(handlers),
            self._counters,
            rate=rate,
            takes=self._takes,
            admits=self._admits,
            joined=self._joined,
        )

    def close(self) -> None:
        """Close the transport of every viewer."""
        for connection in list(self._socketio.server.eio.sockets.values()):
            close_transport(connection)

    def resolve_subscriptions(self) -> None:
        """Resolve the subscriptions accepted before the instruments were known."""
        self._delivery.resolve_subscriptions(lambda subscription: resolve(self._mirror, subscription))
        self._watch.refresh_if_changed()

    def _connected(self, viewer_id: str) -> None:
        server = self._socketio.server
        session = server.manager.eio_sid_from_sid(viewer_id, "/")
        self._delivery.add(Viewer(viewer_id, pipe_of(server.eio.sockets[session])))
        self.connection_log.connected(viewer_id, self._address(session))

    def full(self) -> bool:
        """Return whether the limit of viewers is reached."""
        return len(self._delivery.viewers) + len(self._others) >= self._max_viewers

    def _admits(self, session: str) -> bool:
        """Return whether a session that was opened before the gateway became full may still join."""
        if not self.full():
            return True
        self._counters.refused += 1
        text = f"this gateway serves at most {self._max_viewers} viewers"
        self._counters.refusals.note("too_many_viewers", text, self._address(session))
        return False

    def _address(self, session: str) -> str | None:
        address: str | None = self._socketio.server.environ.get(session, {}).get("REMOTE_ADDR")
        return address

    def _joined(self, viewer_id: str) -> None:
        """Send `hello` once the connection is accepted: any earlier event would be a protocol error."""
        viewer = self._delivery.viewers.get(viewer_id)
        if viewer is not None:
            self._delivery.send_hello(viewer)

    def _disconnected(self, viewer_id: str, reason: str = "") -> None:
        self._delivery.remove(viewer_id)
        self._watch.refresh_if_changed()
        self.connection_log.left(viewer_id, reason)

    def _subscribe(self, viewer_id: str, *payload: object) -> dict[str, Any]:
        return self._change(viewer_id, parse_subscribe, self._delivery.subscribe, payload)

    def _unsubscribe(self, viewer_id: str, *payload: object) -> dict[str, Any]:
        return self._change(viewer_id, parse_unsubscribe, self._delivery.unsubscribe, payload)

    def _change(self, viewer_id: str, parse: Any, apply: Any, payload: tuple[object, ...]) -> dict[str, Any]:
        """Parse a request, apply the new subscription, and return the acknowledgement."""
        viewer = self._delivery.viewers.get(viewer_id)
        if viewer is None or self._delivery.cut_if_overloaded(viewer):
            return refusal("not_connected", "this connection is closed")
        channel = self._delivery.channels.of(viewer.id)
        present = channel.subscription if channel else None
        try:
            subscription: Subscription = parse(self._mirror, present, payload)
        except RefusedError as refused:
            self._counters.refused_events[refused.code] += 1
            return refusal(refused.code, str(refused))
        seq, symbols = self._mirror.seq, subscription.symbols.among(self._mirror.catalogue.positions)
        if self._mirror.epoch is None and not subscription.symbols.everything:
            symbols = sorted(subscription.symbols.names)
        apply(viewer, subscription)
        self._watch.refresh_if_changed()
        return {
            "ok": True,
            "symbols": symbols,
            "interval_ms": subscription.interval_ms,
            "epoch": self._mirror.epoch,
            "seq": seq,
        }

    def _takes(self, viewer_id: str) -> bool:
        viewer = self._delivery.viewers.get(viewer_id)
        return viewer is not None and not self._delivery.cut_if_overloaded(viewer)

    def _broken(self, error: Exception) -> dict[str, Any]:
        if self._throttle.due(type(error).__name__):
            log.error("a viewer's event failed", exc_info=error)
        return refusal("internal_error", "internal error in the gateway")
