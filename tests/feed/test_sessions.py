"""A source's successive sessions, and the two of a move, without any socket."""

from __future__ import annotations

import asyncio

from crypto_stream.errors import VenueError
from crypto_stream.feed.handler import Instrument, Trade
from crypto_stream.feed.sources import Session, Source
from tests.feed.assembled import assembled
from tests.instruments import named
from tests.waiting import until

WALK = Instrument("walk_1", None, None, synthetic=True)


class Scripted(Source, frozen=True, kw_only=True):
    """A source whose first two sessions end together; the second one has delivered nothing by then."""

    runs: list[Session]
    cut: asyncio.Event

    async def run(self, session: Session) -> None:
        """Send a trade, then wait."""
        self.runs.append(session)
        number = len(self.runs)
        if number != 2:
            session.opened(None)
            session.take(Trade(named("walk_1"), "walk", number, None, "1", None))
        if number > 2:
            await asyncio.Event().wait()
        await self.cut.wait()
        raise VenueError(f"session {number} cut")


async def test_a_successor_that_ends_together_with_its_session_is_handled() -> None:
    """Both are cut in the same iteration: the source is lost with the last reason, and retried."""
    runs: list[Session] = []
    cut = asyncio.Event()
    source = Scripted(name="walk", location="here", carries=[WALK], synthetic=True, runs=runs, cut=cut)
    async with assembled(source, pairs="btcusdt") as feed:
        await until(lambda: feed.state("walk") == "live")
        feed.composition.loop.sources["walk"].move("a test moves it")
        await until(lambda: len(runs) == 2)
        during = feed.state("walk")
        cut.set()
        await until(lambda: len(runs) == 3 and feed.state("walk") == "live")

        assert during == "live"
        assert feed.composition.loop.sources["walk"].last_error == "session 2 cut"
        assert feed.composition.loop.sources["walk"].reconnects == 1
