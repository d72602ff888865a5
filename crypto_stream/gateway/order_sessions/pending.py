"""Commands that the engine has not answered yet. Pure: the time is handed in (monotonic seconds)."""

from __future__ import annotations

from typing import NamedTuple

from crypto_stream.orders.wire.fields import Form, RequestId

# Commands of one session that may wait for the engine; then no more is read from the client.
MOST_UNANSWERED = 256
# Lists among them: one may have a megabyte, so further ones are refused.
MOST_LISTS = 4
# Seconds the engine may take for a command before the client is told that its outcome is not known.
ANSWER_S = 10.0


class PendingCommand(NamedTuple):
    """One command: what the client calls it, when it is overdue, what it calls the instrument of a list."""

    request_id: RequestId
    due_s: float
    form: Form | None
    is_list: bool


class Pending:
    """The commands of one session by their number (`ref`), which counts from 1, oldest first."""

    __slots__ = ("_lists", "_refs", "_waiting")

    def __init__(self) -> None:
        self._refs = self._lists = 0
        self._waiting: dict[int, PendingCommand] = {}

    def add(self, request_id: RequestId, now_s: float, form: Form | None, *, is_list: bool) -> int:
        """Remember a command; return its number."""
        self._refs += 1
        self._lists += is_list
        self._waiting[self._refs] = PendingCommand(request_id, now_s + ANSWER_S, form, is_list)
        return self._refs

    def take(self, ref: int) -> PendingCommand | None:
        """Forget a command that is answered; return what was known of it."""
        taken = self._waiting.pop(ref, None)
        if taken is not None:
            self._lists -= taken.is_list
        return taken

    def take_overdue(self, now_s: float) -> list[PendingCommand]:
        """Forget the commands that wait for too long."""
        overdue = [ref for ref, one in self._waiting.items() if one.due_s <= now_s]
        return [taken for ref in overdue if (taken := self.take(ref))]

    def take_all(self) -> list[PendingCommand]:
        """Forget every command."""
        taken, self._waiting, self._lists = self._waiting, {}, 0
        return list(taken.values())

    def full(self) -> bool:
        """Say whether so many wait that no more should come."""
        return len(self._waiting) >= MOST_UNANSWERED

    def eased(self) -> bool:
        """Say whether there is room for many again."""
        return len(self._waiting) < MOST_UNANSWERED // 2

    def lists_full(self) -> bool:
        """Say whether no further list may be asked for."""
        return self._lists >= MOST_LISTS
