"""What gateways are told about orders: batched per turn of the event loop."""

from __future__ import annotations

from collections.abc import Callable

from crypto_stream.bus.orders import OrderNews, Told

# What one message to a gateway holds at most; reports of a long absence are cut into such pieces.
_MOST_AT_ONCE = 1_000


class News:
    """Gather what gateways are told in one turn of the event loop, in its order."""

    def __init__(
        self, tell: Callable[[int, OrderNews], None], soon: Callable[[Callable[[], None]], None]
    ) -> None:
        """Hand it to `tell` when `soon` calls back."""
        self._tell = tell
        self._soon = soon
        self._gathered: dict[int, list[Told]] = {}

    def add(self, gateway: int, told: Told) -> None:
        """Tell `gateway` in this turn."""
        if not self._gathered:
            self._soon(self._flush)
        self._gathered.setdefault(gateway, []).append(told)

    def _flush(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for gateway, news in gathered.items():
            for at in range(0, len(news), _MOST_AT_ONCE):
                self._tell(gateway, OrderNews(news[at : at + _MOST_AT_ONCE]))
