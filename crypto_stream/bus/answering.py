"""How the engine's end answers a request, the same for all implementations of the bus."""

from __future__ import annotations

import asyncio
import logging

from crypto_stream.bus.codec import encode_value
from crypto_stream.bus.interface import Backend
from crypto_stream.bus.messages import Answer, BusRequest, GetHistory
from crypto_stream.errors import BusError, RefusedError

log = logging.getLogger(__name__)

# Concurrent requests per gateway; beyond that requests for history are refused. They are not left in the
# socket, since an order could be waiting behind them.
MAX_CONCURRENT = 256
# The fraction of a request's timeout that the engine may use; the rest is for sending the answer.
_ENGINE_SHARE = 0.9


async def answer(backend: Backend, gateway: str, request: BusRequest, running: int) -> Answer:
    """Answer or refuse one request, of which a gateway has `running` including this one.

    Raises BusError after an internal error, which is logged: the gateway must then be disconnected.
    """
    try:
        if running > MAX_CONCURRENT and isinstance(request.body, GetHistory):
            raise RefusedError("busy", "too many requests for history at once")
        async with asyncio.timeout(request.within_s * _ENGINE_SHARE):
            value = await backend.answer(gateway, request.body)
        return Answer(request.id, encode_value(value))
    except RefusedError as refused:
        return Answer(request.id, code=refused.code, reason=str(refused))
    except TimeoutError:
        return Answer(request.id, code="busy", reason="the engine is too busy to answer in time")
    except Exception:
        log.exception("a request of a gateway failed", extra={"link": gateway})
        raise BusError("a request of it failed") from None
