"""One gateway: all parts of the process, joined; it starts, watches over itself, and stops."""

from __future__ import annotations

import importlib
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

from crypto_stream import descriptors
from crypto_stream.bus.backends import gateway_port
from crypto_stream.bus.messages import Snapshot, Switched, ToGateway
from crypto_stream.bus.orders import OrderNews
from crypto_stream.gateway.app import MOST_SENT, create_app
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.delivery.heartbeat import Heartbeat
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.presence import Presence
from crypto_stream.gateway.delivery.subscriptions import INTERVALS_MS
from crypto_stream.gateway.delivery.upgrades import EngineioUpgrade, Upgrades
from crypto_stream.gateway.engineio_parts import take_pings
from crypto_stream.gateway.greetings import Greetings
from crypto_stream.gateway.http.connections import Connections
from crypto_stream.gateway.http.intake import Manners
from crypto_stream.gateway.http.line import Line
from crypto_stream.gateway.http_cache.responder import Respond, Responder, respond_never
from crypto_stream.gateway.joining import Joining
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.order_sessions.limits import SessionLimits
from crypto_stream.gateway.order_sessions.routing import OrderRouting
from crypto_stream.gateway.order_sessions.sessions import OrderSessions
from crypto_stream.gateway.startup import StartupGrace
from crypto_stream.gateway.stream import Stream, Watcher
from crypto_stream.gateway.web.admission import AdmissionRules
from crypto_stream.gateway.web.forwarded import Forwarded, Network
from crypto_stream.gateway.web.metrics import EngineMetrics, GatewayMetrics, registry
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.root_path import RootPath
from crypto_stream.gateway.web.shared_metrics import SharedMetrics
from crypto_stream.log_throttle import LogThrottle
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)

# Connections besides viewers: pages, programs that ask over HTTP, polls.
_OTHERS = 1024
# Descriptors that are no connection of a client: the bus, the log, files that are read.
_OWN = 64
# engine.io sessions besides viewers: those that were refused, or have not yet joined.
_UNJOINED = 256
_STATUS_S = 5.0
_STATUS_CHANGED_S = 0.25
_TICK_S = 0.25
_BEAT_S = 1.0
# Seconds that the farewell to viewers, and the answers to what was asked, may take before the process ends.
_FAREWELL_S = 0.5
_ANSWERS_S = 2.0


class Gateway:
    """All parts of one gateway process, wired."""

    def __init__(self, settings: Settings, bus_path: Path, name: str) -> None:
        """Build the parts of the gateway `name`; nothing runs before `start`."""
        self._library: Any = importlib.import_module(f"crypto_stream.gateway.servers.{settings.server}")
        self._mirror = Mirror()
        self._first = True  # nothing was heard of the engine yet
        self._counters = DeliveryMetrics()
        self._port = gateway_port(bus_path)
        greetings = Greetings(self._mirror)
        self._delivery = Delivery(
            self._mirror,
            self._counters,
            greetings.hello,
            greetings.status,
            time.monotonic,
            lambda: time.sleep(0),
            settings.patience,
        )
        self._watch = Watcher(self._delivery, self._mirror, self._port)
        hub = self._library.Hub()
        limits = SessionLimits(
            rate=settings.order_rate,
            subscriptions=settings.max_subscriptions,
            slow_client_timeout_s=settings.patience,
            sessions=settings.max_sessions,
        )
        self._orders = OrderSessions(self._mirror, self._port, hub, limits)
        counted = GatewayMetrics(self._delivery, self._counters, self._orders.counters)
        self._shared = (
            SharedMetrics(name, counted, bus_path.with_name("metrics")) if settings.workers > 1 else None
        )
        presence = Presence(settings.max_per_address)
        upgrades = Upgrades(hub, self._counters, presence=presence, most_received=MOST_SENT)
        token = settings.admin_token
        web = create_app(
            self._mirror,
            self._port,
            registry(EngineMetrics(self._mirror), self._shared or counted),
            admin_token=token.get_secret_value() if token else None,
            origins=settings.origins,
            async_mode=self._library.ASYNC_MODE,
            websocket=EngineioUpgrade(upgrades, self._counters, compression=settings.compression),
            admission=AdmissionRules(
                max_sessions=settings.max_viewers + _UNJOINED,
                presence=presence,
                counters=self._counters,
                full=self._full,
                polling=settings.workers == 1 if settings.polling is None else settings.polling,
            ),
        )
        self._app, self._sessions = web.app, web.sessions
        proxies = [ip_network(one) for one in settings.trusted_proxies]
        startup = StartupGrace(self._mirror)
        self._orders.startup = startup
        self._wrap(settings, upgrades, proxies, startup)
        most = min(settings.max_viewers + _OTHERS, max(_OWN, descriptors.open_file_limit() - _OWN))
        self._connections = Connections(most, self._counters, lambda: upgrades.open)
        self._manners = Manners(
            road=self._responder(settings, web.responses, startup),
            connections=self._connections,
            counters=self._counters,
            most_body=MOST_SENT,
            throttle=LogThrottle(),
            line=Line(hub, self._library.Pause),
            join=Joining(
                web.socketio.server.eio,
                upgrades,
                self._counters,
                web.admission.refused,
                origins=settings.origins,
                trusted=proxies,
                root_path=settings.root_path,
                compression=settings.compression,
            ),
        )
        self._pulse = Heartbeat(web.socketio.server.eio)
        take_pings(web.socketio.server.eio, self._pulse.due)
        self._stream = Stream(web.socketio, self._delivery, self._mirror, self._counters, self._watch)
        self._stream.register(settings.max_viewers, settings.viewer_rate, self._orders)

    def _wrap(
        self, settings: Settings, upgrades: Upgrades, proxies: Sequence[Network], startup: StartupGrace
    ) -> None:
        """Put the middleware around the application; the last one sees a request first."""
        wsgi: Any = OrderRouting(
            self._app.wsgi_app,
            upgrades,
            self._orders,
            origins=settings.origins,
            max_connections=settings.max_viewers,
            viewers=self._delivery.viewers,
            refusals=self._counters.refusals,
        )
        if proxies:
            wsgi = Forwarded(wsgi, proxies)
        wsgi = startup.wrap(wsgi)
        if settings.root_path:
            wsgi = RootPath(wsgi, settings.root_path)
        self._app.wsgi_app = wsgi  # type: ignore[method-assign]

    def _responder(self, settings: Settings, responses: ResponseCache, startup: StartupGrace) -> Respond:
        """Return what answers simple requests; there are none while we wait for the engine's first state."""
        if not settings.prebuilt:
            return respond_never
        respond = Responder(
            responses, settings.origins, self._counters, self._library.KEPT_ALIVE, settings.root_path
        )
        return lambda came: None if startup.active() else respond(came)

    def start(self, listener: socket.socket) -> None:
        """Start serving and following the engine."""
        _spawn("bus", self._port.run, self._receive, self._orders.engine_lost)
        _spawn("watch", self._watch.run)
        _spawn("status", self._tell_status)
        _spawn("pulse", self._pulse.run)
        _spawn("orders", self._orders.run)
        if self._shared:
            _spawn("metrics", self._shared.run)
        for interval_ms in INTERVALS_MS:
            _spawn(f"flush {interval_ms}", self._flush_for_ever, interval_ms)
        host, port = listener.getsockname()[:2]
        self._server = self._library.Server(self._app, listener, self._manners)
        shown = f"[{host}]" if ":" in host else host
        log.info(
            "gateway serving", extra={"url": f"http://{shown}:{port}", "server": self._library.ASYNC_MODE}
        )

    def watch_over(self, stopping: list[int], beat: Callable[[], None]) -> int:
        """Beat, notice silence and slow viewers, until a signal comes or the server ends by itself."""
        next_beat = 0.0
        while not stopping:
            now = time.monotonic()
            if not self._server.running:
                log.error("the server ended by itself")
                return 1
            if self._mirror.check(now):
                log.warning("engine unreachable: every quote is shown as stale")
                self._delivery.flush(0)
            if self._mirror.end_recovery(now):
                self._delivery.flush(0)
            if now >= next_beat:
                next_beat = max(next_beat + _BEAT_S, now)
                beat()
                self._connections.sweep()
                self._server.sweep()
                self._sessions.sweep()
                self._stream.connection_log.flush()
                for viewer in self._delivery.cut_slow():
                    log.warning("slow client disconnected", extra={"client": viewer})
            time.sleep(_TICK_S)
        log.info("gateway stopping", extra={"signal": signal.Signals(stopping[0]).name})
        return 0

    def stop(self) -> None:
        """Accept no more, say goodbye to everybody, answer what was asked, leave the bus."""
        self._server.stop()
        self._stream.close()
        self._orders.close()
        began = time.monotonic()
        while self._has_company(time.monotonic() - began):
            self._connections.end_waiting()
            time.sleep(0.01)
        self._stream.connection_log.flush()
        self._port.close()
        time.sleep(0.05)  # what is in the sockets' queues gets out

    def _has_company(self, after_s: float) -> bool:
        """Say whether anybody is still there who may take so long to be seen off, or answered."""
        if after_s < _FAREWELL_S and (self._delivery.viewers or self._orders.busy()):
            return True
        return after_s < _ANSWERS_S and self._connections.busy

    def _full(self) -> bool:
        return self._stream.full()

    def _receive(self, messages: Sequence[ToGateway]) -> None:
        """Take what one read of the bus brought; what it changes is flushed once."""
        version = self._mirror.version
        for message in messages:
            self._take(message)
        if self._mirror.version != version:
            self._delivery.flush(0)

    def _take(self, message: ToGateway) -> None:
        is_other = self._mirror.receive(message, time.monotonic())
        if isinstance(message, Snapshot):
            self._watch.refresh()
            self._orders.attach()
        elif isinstance(message, OrderNews):
            self._orders.deliver(message.news)
        if is_other:
            if self._first:
                self._first = False
                self._stream.settle()
            log.info(
                "other data or instruments", extra={"epoch": self._mirror.epoch, "seq": self._mirror.seq}
            )
            self._delivery.restart()
        elif (
            isinstance(message, Switched) and (switch := self._mirror.unseen_part(message.switch)) is not None
        ):
            self._delivery.switched(switch)

    def _flush_for_ever(self, interval_ms: int) -> None:
        """Flush on the beat of the interval; 0 is flushed at each change, here only for who was behind."""
        period = (interval_ms or 100) / 1000
        due = time.monotonic() + period
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            self._delivery.flush(interval_ms)
            due = max(due + period, time.monotonic())

    def _tell_status(self) -> None:
        """Tell everybody how the sources are, on the beat and soon after a change."""
        told: object = None
        told_s = 0.0
        while True:
            time.sleep(_STATUS_CHANGED_S)
            now_s = time.monotonic()
            states = (self._mirror.verdict(), self._mirror.states())
            if states != told or now_s >= told_s + _STATUS_S:
                told, told_s = states, now_s
                self._delivery.tell_status()


def _spawn(name: str, target: Callable[..., Any], *args: Any) -> None:
    """Run `target` for ever; its failure is ours: the process ends and is started anew."""

    def guarded() -> None:
        try:
            target(*args)
        except BaseException:
            log.critical("a part of the gateway failed", exc_info=True, extra={"part": name})
            logging.shutdown()
            os._exit(70)

    threading.Thread(target=guarded, name=name, daemon=True).start()
