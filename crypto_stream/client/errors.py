"""Exceptions of the clients, in addition to RefusedError."""

from __future__ import annotations

from crypto_stream.errors import CryptoStreamError


class UnreachableError(CryptoStreamError):
    """No gateway can be reached at this address."""


class OrderError(CryptoStreamError):
    """A request about orders was refused or not answered (`no_answer`).

    `code` is stable (docs/orders.md lists them), `reason` is for people. After `no_answer` and
    `engine_unreachable` the outcome is unknown: place the order again with the same `client_order_id`.
    """

    def __init__(self, code: str, reason: str, client_order_id: str | None = None) -> None:
        """Create it; `client_order_id` is that of the order that was to be placed."""
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.client_order_id = client_order_id
