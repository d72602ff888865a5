"""Wait for a condition instead of a time; one factor scales every deadline (CRYPTO_STREAM_TEST_SCALE)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

SCALE = float(os.environ.get("CRYPTO_STREAM_TEST_SCALE", "1"))
DEADLINE_S = 10.0 * SCALE
_STEP_S = 0.005


async def until(condition: Callable[[], object], seconds: float = DEADLINE_S) -> None:
    """Return as soon as `condition()` holds; raise TimeoutError when it does not within `seconds`."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(_STEP_S)
