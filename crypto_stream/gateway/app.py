"""The web application: Flask with its blueprints, Socket.IO, and the WSGI middleware around both."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

from flask import Flask
from prometheus_client import CollectorRegistry

from crypto_stream import layout
from crypto_stream.bus.interface import GatewayPort
from crypto_stream.gateway import engineio_parts
from crypto_stream.gateway.client_manager import ClientManager
from crypto_stream.gateway.engineio_sessions import EngineioSessions
from crypto_stream.gateway.mirror import Mirror
from crypto_stream.gateway.order_sessions.routing import order_gateway
from crypto_stream.gateway.viewer_server import ViewerPacket, ViewerServer
from crypto_stream.gateway.web import problems
from crypto_stream.gateway.web.admin import admin
from crypto_stream.gateway.web.admission import Admission, AdmissionRules
from crypto_stream.gateway.web.api import api
from crypto_stream.gateway.web.connect import connect
from crypto_stream.gateway.web.courses import courses
from crypto_stream.gateway.web.headers import Headers
from crypto_stream.gateway.web.history import history
from crypto_stream.gateway.web.origins import allowed
from crypto_stream.gateway.web.pages import pages
from crypto_stream.gateway.web.response_cache import ResponseCache
from crypto_stream.log_throttle import LogThrottle

# Largest request or frame of a client in bytes; it must hold a long list of symbols.
MAX_RECEIVED = 64 * 1024


class Web(NamedTuple):
    """The application, its Socket.IO server, which has no event yet, and what both need beside them.

    `responses` holds the prebuilt responses, `sessions` are engine.io's, `admission` limits them.
    """

    app: Flask
    socketio: ViewerServer
    responses: ResponseCache
    sessions: EngineioSessions
    admission: Admission


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

    `websocket` is the class for engine.io's WebSocket slot; `async_mode` names the green-thread library;
    `admission` limits engine.io's sessions, including those that never join a namespace.
    """
    app = Flask("crypto_stream", template_folder=layout.TEMPLATES, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_RECEIVED
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    problems.install(app)
    responses = ResponseCache(
        mirror, lambda name, **context: app.jinja_env.get_template(name).render(context), layout.STATIC
    )
    app.register_blueprint(api(mirror, port, registry, responses))
    app.register_blueprint(courses(mirror, responses))
    app.register_blueprint(connect(origins, admission.full))
    app.register_blueprint(history(mirror, port, admission.counters))
    app.register_blueprint(admin(mirror, port, admin_token))
    app.register_blueprint(order_gateway())
    app.register_blueprint(pages(mirror, responses, layout.STATIC))
    quiet = _throttle(logging.getLogger("crypto_stream.gateway.engineio"))
    socketio = ViewerServer(
        app,
        async_mode=async_mode,
        client_manager=ClientManager(),
        serializer=ViewerPacket,
        async_handlers=False,  # a viewer's requests are answered in order
        cors_allowed_origins=lambda origin, environ: allowed(origins, origin, environ),
        cors_credentials=False,
        max_http_buffer_size=MAX_RECEIVED,
        manage_session=False,
        logger=quiet,
        engineio_logger=quiet,
    )
    engineio_parts.patch(socketio.server.eio, websocket)
    sessions = EngineioSessions(socketio.server, admission.address_limit, admission.counters)
    admitted = Admission(app.wsgi_app, sessions, admission, origins)
    app.wsgi_app = Headers(admitted, origins)  # type: ignore[method-assign]
    return Web(app, socketio, responses, sessions, admitted)


class _ExceptionsOnly(logging.Filter):
    """Let only records with a traceback through, each message once a minute: a viewer can cause thousands.

    The others are engine.io's reports of invalid client messages, which are answered and counted elsewhere.
    """

    def __init__(self) -> None:
        super().__init__()
        self._throttle = LogThrottle()

    def filter(self, record: logging.LogRecord) -> bool:
        return record.exc_info is not None and self._throttle.due(record.msg)


def _throttle(logger: logging.Logger) -> logging.Logger:
    logger.setLevel(logging.ERROR)  # engine.io logs every packet at INFO
    if not logger.filters:
        logger.addFilter(_ExceptionsOnly())
    return logger
