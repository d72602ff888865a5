"""A source's sessions: the serving one, and during a move the successor that will replace it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Set

from crypto_stream.feed.handler import Instrument
from crypto_stream.feed.session import FeedSession
from crypto_stream.feed.session_config import SessionConfig


class Sessions:
    """Begin, replace and end the sessions of a source, which `carries` these symbols (a live view)."""

    def __init__(self, config: SessionConfig, carries: Set[str]) -> None:
        self.serving: FeedSession | None = None
        self.successor: FeedSession | None = None
        self._config = config
        self._carries = carries
        self._generation = 0
        # How long a successor at another host may take to become as complete.
        self._trial_ns = round(config.connect_s * 1e9) + config.ack_ns + config.stale_after_ns

    @property
    def address(self) -> str | None:
        """The host of the serving session."""
        return self.serving.address if self.serving else None

    def begin(self, tasks: asyncio.TaskGroup, address: str | None) -> FeedSession:
        """Begin a session at `address`: the serving one, or the successor if there is one already."""
        self._generation += 1
        session = FeedSession(self._config, address, self._generation)
        if self.serving:
            session.is_successor = True
            self.successor = session
        else:
            self.serving = session
        session.start(tasks)
        return session

    def add(self, instruments: Sequence[Instrument]) -> None:
        """Subscribe the open sessions to more instruments."""
        for session in (self.serving, self.successor):
            if session:
                session.add(instruments)

    def remove(self, symbols: Sequence[str]) -> None:
        """Unsubscribe the open sessions from instruments."""
        for session in (self.serving, self.successor):
            if session:
                session.remove(symbols)

    def check(self, now_ns: int) -> None:
        """Check the sessions for silence, overdue acknowledgements and age; abort an unsuccessful move."""
        for session in (self.serving, self.successor):
            if session:
                session.check(now_ns)
        if (
            (trial := self.successor)
            and self.serving
            and trial.address != self.serving.address
            and now_ns - trial.started_ns > self._trial_ns
        ):
            trial.abort("it delivers no more than the current host")

    def hand_over(self) -> bool:
        """Replace the serving session once its successor is as complete; return whether it was replaced."""
        if not (self.serving and self.successor and self._is_as_complete(self.successor, self.serving)):
            return False
        self.serving.stop()
        self.drop_serving()
        return True

    def drop_serving(self) -> None:
        """Replace a session that has ended by its successor, if there is one."""
        self.serving, self.successor = self.successor, None
        if self.serving:
            self.serving.is_successor = False

    def drop_successor(self) -> None:
        """Discard a successor that has ended."""
        self.successor = None

    def stop(self) -> None:
        """End and discard all sessions."""
        for session in (self.serving, self.successor):
            if session and not session.done:
                session.stop()
        self.serving = self.successor = None

    def _is_as_complete(self, successor: FeedSession, serving: FeedSession) -> bool:
        """Return whether `successor` is live; at another host it must also deliver the same instruments."""
        if successor.state != "live":
            return False
        return successor.address == serving.address or not (
            (serving.delivered - successor.delivered) & self._carries
        )
