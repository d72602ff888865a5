"""The web application: Flask with its blueprints, Socket.IO beside it, the common headers around both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from flask import Flask
from prometheus_client import CollectorRegistry

from crypto_stream.bus.interface import GatewayPort
from crypto_stream.gateway import engineio_parts
from crypto_stream.gateway.members import Members
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.order_sessions.routing import order_gateway
from crypto_stream.gateway.sessions import Sessions
from crypto_stream.gateway.viewer_server import ViewerPacket, ViewerServer
from crypto_stream.gateway.web import problems
from crypto_stream.gateway.web.admin import admin
from crypto_stream.gateway.web.admission import Admission, AdmissionRules
from crypto_stream.gateway.web.api import api
from crypto_stream.gateway.web.connect import connect
from crypto_stream.gateway.web.headers import Headers
from crypto_stream.gateway.web.history import history
from crypto_stream.gateway.web.origins import allowed
from crypto_stream.gateway.web.pages import pages
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.log_throttle import LogThrottle

ROOT = Path(__file__).resolve().parents[2]
# Bytes a client may send at once, in a request or a frame: its largest wish is a list of symbols.
MOST_SENT = 64 * 1024


class Web(NamedTuple):
    """The application, its Socket.IO server, which has no event yet, and what both need beside them.

    `shelf` holds the prebuilt answers, `sessions` are engine.io's, `gate` admits them.
    """

    app: Flask
    socketio: ViewerServer
    shelf: ResponseCache
    sessions: Sessions
    gate: Admission


def create_app(
    mirror: Mirror,
    port: GatewayPort,
    registry: CollectorRegistry,
    *,
    admin_token: str | None,
    origins: Sequence[str],
    async_mode: str,
    websocket: Any,
    admission: AdmissionRules,
) -> Web:
    """Make the application and what belongs to it.

    `websocket` is the class for engine.io's WebSocket slot; `async_mode` says whose green threads these are;
    `admission` bounds engine.io's sessions, those included that never connect to a namespace.
    """
    app = Flask("crypto_stream", template_folder=ROOT / "templates", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MOST_SENT
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    problems.install(app)
    shelf = ResponseCache(
        mirror, lambda name, **context: app.jinja_env.get_template(name).render(context), ROOT / "static"
    )
    app.register_blueprint(api(mirror, port, registry, shelf))
    app.register_blueprint(connect(origins, admission.full))
    app.register_blueprint(history(mirror, port, admission.counters))
    app.register_blueprint(admin(mirror, port, admin_token))
    app.register_blueprint(order_gateway())
    app.register_blueprint(pages(mirror, shelf, ROOT / "static"))
    quiet = _throttle(logging.getLogger("crypto_stream.gateway.engineio"))
    socketio = ViewerServer(
        app,
        async_mode=async_mode,
        client_manager=Members(),
        serializer=ViewerPacket,
        async_handlers=False,  # a viewer's requests are answered in their order
        cors_allowed_origins=lambda origin, environ: allowed(origins, origin, environ),
        cors_credentials=False,
        max_http_buffer_size=MOST_SENT,
        manage_session=False,
        logger=quiet,
        engineio_logger=quiet,
    )
    engineio_parts.fit(socketio.server.eio, websocket)
    sessions = Sessions(socketio.server, admission.presence, admission.counters)
    gate = Admission(app.wsgi_app, sessions, admission, origins)
    app.wsgi_app = Headers(gate, origins)  # type: ignore[method-assign]
    return Web(app, socketio, shelf, sessions, gate)


class _Failures(logging.Filter):
    """Let only failures through, each once a minute: a viewer can cause thousands.

    What has no trace is engine.io telling that a client sent something wrong, which it was answered.
    """

    def __init__(self) -> None:
        super().__init__()
        self._throttle = LogThrottle()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None and self._throttle.due(record.msg)


def _throttle(logger: logging.Logger) -> logging.Logger:
    logger.setLevel(logging.ERROR)  # engine.io tells of every packet at INFO
    if not logger.filters:
        logger.addFilter(_Failures())
    return logger
