"""Composition root of a gateway. Import `servers/<name>.py` first: it patches the standard library."""

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
from crypto_stream.bus.backends import gateway_port, is_local
from crypto_stream.bus.messages import InstrumentsChanged, Snapshot, Switched, ToGateway
from crypto_stream.bus.orders import OrderMessages
from crypto_stream.gateway.app import MAX_RECEIVED, Web, create_app
from crypto_stream.gateway.delivery.address_limit import AddressLimit
from crypto_stream.gateway.delivery.delivery import Delivery
from crypto_stream.gateway.delivery.heartbeat import Heartbeat
from crypto_stream.gateway.delivery.metrics import DeliveryMetrics
from crypto_stream.gateway.delivery.upgrades import EngineioUpgrade, Upgrades
from crypto_stream.gateway.engineio_parts import take_pings
from crypto_stream.gateway.http.connections import Connections
from crypto_stream.gateway.http.fair_queue import FairQueue
from crypto_stream.gateway.http.intake import ConnectionContext
from crypto_stream.gateway.http_cache.responder import Respond, Responder, respond_never
from crypto_stream.gateway.joining import Joining
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.order_sessions.limits import SessionLimits
from crypto_stream.gateway.order_sessions.routing import OrderRouting
from crypto_stream.gateway.order_sessions.sessions import OrderSessions
from crypto_stream.gateway.shared_frames import SharedFrames
from crypto_stream.gateway.startup import StartupGrace
from crypto_stream.gateway.status_schedule import StatusSchedule
from crypto_stream.gateway.stream import Stream
from crypto_stream.gateway.subscriptions import INTERVALS_MS
from crypto_stream.gateway.watcher import Watcher
from crypto_stream.gateway.web.admission import AdmissionRules
from crypto_stream.gateway.web.forwarded import Forwarded
from crypto_stream.gateway.web.metrics import EngineMetrics, GatewayMetrics, registry
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.gateway.web.root_path import RootPath
from crypto_stream.gateway.web.shared_metrics import SharedMetrics
from crypto_stream.log_throttle import LogThrottle
from crypto_stream.settings import Settings

log = logging.getLogger(__name__)

# Connections besides viewers: pages, HTTP clients, polls.
_OTHERS = 1024
# Descriptors other than client connections: the bus, the log, files.
_OWN = 64
# engine.io sessions besides viewers: refused ones, and those that have not joined yet.
_UNJOINED = 256
_TICK_S = 0.25
_BEAT_S = 1.0
# Seconds to close all viewers' connections, and to finish pending responses, before the process ends.
_CLOSE_TIMEOUT_S = 0.5
_RESPONSES_S = 2.0


class Gateway:
    """All parts of one gateway process."""

    def __init__(self, settings: Settings, bus_path: Path, name: str) -> None:
        """Build the parts of the gateway `name`; nothing runs before `start`."""
        self._settings = settings
        self._library: Any = importlib.import_module(f"crypto_stream.gateway.servers.{settings.server}")
        self._hub = self._library.Hub()
        self._proxies = [ip_network(one) for one in settings.trusted_proxies]
        self._mirror = Mirror()
        self._engine_seen = False
        self._counters = DeliveryMetrics()
        self._port = gateway_port(settings.bus.get_secret_value(), bus_path)
        self._delivery = self._make_delivery()
        self._watch = Watcher(self._delivery, self._mirror, self._port)
        self._orders = OrderSessions(self._mirror, self._port, self._hub, _session_limits(settings))
        metrics = GatewayMetrics(self._delivery, self._counters, self._orders.counters, self._port.figures)
        self._shared_metrics = (
            SharedMetrics(name, metrics, bus_path.with_name("metrics")) if settings.workers > 1 else None
        )
        address_limit = AddressLimit(settings.max_per_address)
        self._upgrades = Upgrades(
            self._hub, self._counters, address_limit=address_limit, max_message=MAX_RECEIVED
        )
        web = self._make_web(address_limit, self._shared_metrics or metrics)
        self._app, self._sessions = web.app, web.sessions
        startup = self._orders.startup = StartupGrace(self._mirror)
        self._wrap_app(startup)
        self._context = self._make_context(web, startup)
        self._heartbeat = Heartbeat(web.socketio.server.eio)
        take_pings(web.socketio.server.eio, self._heartbeat.schedule)
        self._stream = Stream(web.socketio, self._delivery, self._mirror, self._counters, self._watch)
        self._stream.register(settings.max_viewers, settings.viewer_rate, self._orders)

    def _make_delivery(self) -> Delivery:
        frames = SharedFrames(self._mirror)
        return Delivery(
            self._mirror,
            self._counters,
            frames.hello,
            frames.status,
            time.monotonic,
            self._hub.yield_control,
            self._settings.slow_client_timeout,
        )

    def _make_web(self, address_limit: AddressLimit, metrics: GatewayMetrics | SharedMetrics) -> Web:
        settings = self._settings
        token = settings.admin_token
        return create_app(
            self._mirror,
            self._port,
            registry(EngineMetrics(self._mirror, self._port.figures), metrics),
            admin_token=token.get_secret_value() if token else None,
            origins=settings.origins,
            async_mode=self._library.ASYNC_MODE,
            websocket=EngineioUpgrade(self._upgrades, self._counters, compression=settings.compression),
            admission=AdmissionRules(
                max_sessions=settings.max_viewers + _UNJOINED,
                address_limit=address_limit,
                counters=self._counters,
                full=lambda: self._stream.full(),  # noqa: PLW0108 - it does not exist yet
                polling=self._polls(),
            ),
        )

    def _polls(self) -> bool:
        """Return whether viewers may poll, of which each request must reach the same gateway."""
        settings = self._settings
        if settings.polling is not None:
            return settings.polling
        return settings.workers == 1 and is_local(settings.bus.get_secret_value())

    def _make_context(self, web: Web, startup: StartupGrace) -> ConnectionContext:
        settings = self._settings
        max_connections = min(settings.max_viewers + _OTHERS, max(_OWN, descriptors.open_file_limit() - _OWN))
        return ConnectionContext(
            respond=self._responder(web.responses, startup),
            connections=Connections(max_connections, self._counters, lambda: self._upgrades.open),
            counters=self._counters,
            max_body=MAX_RECEIVED,
            throttle=LogThrottle(),
            queue=FairQueue(self._hub, self._library.Pause),
            join=Joining(
                web.socketio.server.eio,
                self._upgrades,
                self._counters,
                web.admission.refused,
                origins=settings.origins,
                trusted=self._proxies,
                root_path=settings.root_path,
                compression=settings.compression,
            ),
        )

    def _wrap_app(self, startup: StartupGrace) -> None:
        """Put the middleware around the application; the last one sees a request first."""
        settings = self._settings
        wsgi: Any = OrderRouting(
            self._app.wsgi_app,
            self._upgrades,
            self._orders,
            origins=settings.origins,
            max_connections=settings.max_viewers,
            viewers=self._delivery.viewers,
            refusals=self._counters.refusals,
        )
        if self._proxies:
            wsgi = Forwarded(wsgi, self._proxies)
        wsgi = startup.wrap(wsgi)
        if settings.root_path:
            wsgi = RootPath(wsgi, settings.root_path)
        self._app.wsgi_app = wsgi  # type: ignore[method-assign]

    def _responder(self, responses: ResponseCache, startup: StartupGrace) -> Respond:
        """Return the function that answers cacheable requests; none are during the startup grace period."""
        settings = self._settings
        if not settings.prebuilt:
            return respond_never
        respond = Responder(
            responses, settings.origins, self._counters, self._library.KEEP_ALIVE, settings.root_path
        )
        return lambda received: None if startup.active() else respond(received)

    def start(self, listener: socket.socket) -> None:
        """Start serving and following the engine."""
        _spawn("bus", self._port.run, self._receive, self._orders.engine_lost)
        _spawn("watch", self._watch.run)
        _spawn("status", self._send_status_forever)
        _spawn("heartbeat", self._heartbeat.run)
        _spawn("orders", self._orders.run)
        if self._shared_metrics:
            _spawn("metrics", self._shared_metrics.run)
        for interval_ms in INTERVALS_MS:
            _spawn(f"flush {interval_ms}", self._flush_forever, interval_ms)
        host, port = listener.getsockname()[:2]
        self._server = self._library.Server(self._app, listener, self._context)
        shown = f"[{host}]" if ":" in host else host
        log.info(
            "gateway serving", extra={"url": f"http://{shown}:{port}", "server": self._library.ASYNC_MODE}
        )

    def supervise(self, stopping: list[int], beat: Callable[[], None]) -> int:
        """Do the periodic checks until a signal arrives or the server stops; return the exit status."""
        next_beat = 0.0
        while not stopping:
            now = time.monotonic()
            if not self._server.running:
                log.error("the server stopped by itself")
                return 1
            if self._mirror.check(now):
                log.warning("engine unreachable: every quote is shown as stale")
                self._delivery.flush(0)
            if self._mirror.end_recovery(now):
                self._delivery.flush(0)
            if now >= next_beat:
                next_beat = max(next_beat + _BEAT_S, now)
                beat()
                self._context.connections.sweep()
                self._server.sweep()
                self._sessions.sweep()
                self._stream.connection_log.flush()
                for viewer in self._delivery.cut_slow():
                    log.warning("slow client disconnected", extra={"client": viewer})
            time.sleep(_TICK_S)
        log.info("gateway stopping", extra={"signal": signal.Signals(stopping[0]).name})
        return 0

    def stop(self) -> None:
        """Stop accepting, close all viewers' connections, finish pending responses, leave the bus."""
        self._server.stop()
        self._stream.close()
        self._orders.close()
        began = time.monotonic()
        while self._has_clients(time.monotonic() - began):
            self._context.connections.end_waiting()
            time.sleep(0.01)
        self._stream.connection_log.flush()
        self._port.close()
        time.sleep(0.05)  # let the sockets send what is queued

    def _has_clients(self, after_s: float) -> bool:
        """Return whether to wait for clients that are still connected, or whose request is being served."""
        if after_s < _CLOSE_TIMEOUT_S and (self._delivery.viewers or self._orders.busy()):
            return True
        return after_s < _RESPONSES_S and self._context.connections.busy

    def _receive(self, messages: Sequence[ToGateway]) -> None:
        """Apply the messages of one read of the bus, and flush their changes once."""
        version = self._mirror.version
        for message in messages:
            self._take(message)
        if self._mirror.version != version:
            self._delivery.flush(0)

    def _take(self, message: ToGateway) -> None:
        is_new = self._mirror.receive(message, time.monotonic())
        if isinstance(message, Snapshot):
            self._watch.refresh()
            self._orders.attach()
        elif isinstance(message, OrderMessages):
            self._orders.deliver(message.messages)
        elif isinstance(message, InstrumentsChanged):
            self._delivery.send_instruments([one.symbol for one in message.added], message.removed)
            self._watch.refresh()
        if is_new:
            if not self._engine_seen:
                self._engine_seen = True
                self._stream.resolve_subscriptions()
            log.info(
                "the data set or the instruments have changed",
                extra={"epoch": self._mirror.epoch, "seq": self._mirror.seq},
            )
            self._delivery.restart()
        elif (
            isinstance(message, Switched) and (switch := self._mirror.unseen_part(message.switch)) is not None
        ):
            self._delivery.send_switch(switch)

    def _flush_forever(self, interval_ms: int) -> None:
        """Flush once per interval. Interval 0 is flushed at each change; here only slow viewers catch up."""
        period = (interval_ms or 100) / 1000
        due = time.monotonic() + period
        while True:
            time.sleep(max(0.0, due - time.monotonic()))
            self._delivery.flush(interval_ms)
            if not interval_ms:
                self._delivery.catch_up()
            due = max(due + period, time.monotonic())

    def _send_status_forever(self) -> None:
        """Send `status` whenever it is due."""
        schedule = StatusSchedule(self._mirror)
        while True:
            time.sleep(_TICK_S)
            if schedule.due(time.monotonic()):
                self._delivery.send_status()


def _session_limits(settings: Settings) -> SessionLimits:
    return SessionLimits(
        rate=settings.order_rate,
        subscriptions=settings.max_subscriptions,
        slow_client_timeout_s=settings.slow_client_timeout,
        sessions=settings.max_sessions,
    )


def _spawn(name: str, target: Callable[..., Any], *args: Any) -> None:
    """Run `target` in a thread; if it fails, the process ends, and the supervisor restarts it."""

    def guarded() -> None:
        try:
            target(*args)
        except BaseException:
            log.critical("a part of the gateway failed", exc_info=True, extra={"part": name})
            logging.shutdown()
            os._exit(70)

    threading.Thread(target=guarded, name=name, daemon=True).start()
