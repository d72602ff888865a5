"""Storage as the engine sees it; each way of keeping things is a file beside this one."""

from __future__ import annotations

from typing import Protocol


class StateStore(Protocol):
    """Small facts that must survive a restart: the pin, the ends of bans. Blocking; call it on a thread."""

    def load(self) -> dict[str, str]:
        """Return everything kept."""

    def save(self, state: dict[str, str]) -> None:
        """Replace everything kept, all or nothing; OSError when it could not be written."""
