"""Commands that the engine has not answered yet. Pure: callers pass the time (monotonic seconds)."""

from __future__ import annotations

from typing import NamedTuple

from crypto_stream.bus.orders import MAX_PENDING
from crypto_stream.orders.wire.fields import Form, RequestId

# Pending lists of one session; further ones are refused, because one list may take a megabyte.
MAX_LISTS = 4
# Seconds the engine may take for a command before the client is told that its outcome is unknown.
ANSWER_TIMEOUT_S = 10.0


class PendingCommand(NamedTuple):
    """One command: the client's request_id, when it is overdue, and its spelling of a list's instrument."""

    request_id: RequestId
    due_s: float
    form: Form | None
    is_list: bool


class Pending:
    """The pending commands of one session by `ref`, a number that counts from 1; oldest first."""

    __slots__ = ("_lists", "_refs", "_waiting")

    def __init__(self) -> None:
        self._refs = self._lists = 0
        self._waiting: dict[int, PendingCommand] = {}

    def add(self, request_id: RequestId, now_s: float, form: Form | None, *, is_list: bool) -> int:
        """Add a command; return its `ref`."""
        self._refs += 1
        self._lists += is_list
        self._waiting[self._refs] = PendingCommand(request_id, now_s + ANSWER_TIMEOUT_S, form, is_list)
        return self._refs

    def take(self, ref: int) -> PendingCommand | None:
        """Remove and return the command that was answered, if it is still pending."""
        taken = self._waiting.pop(ref, None)
        if taken is not None:
            self._lists -= taken.is_list
        return taken

    def take_overdue(self, now_s: float) -> list[PendingCommand]:
        """Remove and return the commands that are overdue."""
        overdue = [ref for ref, one in self._waiting.items() if one.due_s <= now_s]
        return [taken for ref in overdue if (taken := self.take(ref))]

    def take_all(self) -> list[PendingCommand]:
        """Remove and return every command."""
        taken, self._waiting, self._lists = self._waiting, {}, 0
        return list(taken.values())

    def full(self) -> bool:
        """Return whether the session's socket should not be read for now."""
        return len(self._waiting) >= MAX_PENDING

    def half_empty(self) -> bool:
        """Return whether reading may resume."""
        return len(self._waiting) < MAX_PENDING // 2

    def lists_full(self) -> bool:
        """Return whether a further list must be refused."""
        return self._lists >= MAX_LISTS
