"""Published quotes: numbered one by one, never a price under another source's name."""

from __future__ import annotations

import asyncio
import time

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from crypto_stream.bus.messages import Quotes, Switched, ToGateway
from crypto_stream.engine.publisher import Publisher
from crypto_stream.feed.facts import FailoverTimes
from crypto_stream.feed.failover import Change, Failover
from crypto_stream.market.book import Book
from crypto_stream.market.events import Trade, Update
from crypto_stream.market.instruments import Instruments, pair
from crypto_stream.market.quotes import Quote
from tests.instruments import named

SYMBOLS = ("btcusdt", "ethusdt")
SOURCES = ("one", "two")


class Desk:
    """A publisher, the book and the serving sources behind it, and what it published."""

    def __init__(self) -> None:
        self.book = Book()
        self.failover = Failover(dict.fromkeys(SYMBOLS, SOURCES), self.book, FailoverTimes(5, 60, 30))
        self.published: list[ToGateway] = []
        self.publisher = Publisher(
            Instruments(map(pair, SYMBOLS)),
            self.book,
            self.failover,
            self.published.append,
            epoch="e1",
            seq=1,
        )
        self._key = 0

    def say(self, source: str, symbol: str = "btcusdt") -> None:
        """Let a source give price and top of book, all of which name it."""
        self._key += 1
        text = f"{SOURCES.index(source) + 1}.{self._key}"
        for event in (
            Trade(named(symbol), "trades", self._key, self._key, text, None),
            Update(
                named(symbol), "top", self._key, self._key, bid=text, bid_size="1", ask=text, ask_size="1"
            ),
        ):
            self.book.of(source).apply(event, self._key)
            self.publisher.accepted(source, event)

    def serve(self, source: str | None, *symbols: str, reason: str = "a reason") -> None:
        """Let `source` serve from now on."""
        changes = [
            Change(symbol, self.failover.serving[symbol], source, reason) for symbol in symbols or SYMBOLS
        ]
        for symbol in symbols or SYMBOLS:
            self.failover.serving[symbol] = source
            self.failover.reasons[symbol] = reason
        self.publisher.switched([change for change in changes if change.before != source])

    @property
    def quotes(self) -> list[Quote]:
        """Return all published quotes in order."""
        return [
            quote for message in self.published if isinstance(message, Quotes) for quote in message.quotes
        ]


async def turn() -> None:
    """Let one turn of the event loop pass."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_at_the_start_nothing_is_known() -> None:
    """Every instrument has a quote from the start: no source, no price, stale."""
    desk = Desk()
    quotes = list(desk.publisher.quotes.values())

    assert [quote.symbol for quote in quotes] == list(SYMBOLS)
    assert all(quote.stale and quote.source is None and quote.price is None for quote in quotes)
    assert quotes[0].seq < quotes[1].seq == desk.publisher.seq


async def test_each_published_change_is_one_step() -> None:
    """What came in one turn is one change; each changed quote has a higher number, by the clock."""
    begun_us = time.time_ns() // 1000
    desk = Desk()
    desk.serve("one")
    await turn()
    for _ in range(3):
        desk.say("one")
        desk.say("one")
        desk.say("one", "ethusdt")
        await turn()
    messages = [message for message in desk.published if isinstance(message, Quotes)]

    numbers = [quote.seq for quote in desk.quotes]
    assert len(numbers) == 8
    assert numbers == sorted(set(numbers))
    assert [message.seq for message in messages] == numbers[1::2]
    assert begun_us <= numbers[0] <= numbers[-1] <= time.time_ns() // 1000 + 10


async def test_numbers_go_on_above_those_of_an_earlier_run() -> None:
    """Also where the clock was set back between the runs."""
    ahead = time.time_ns() // 1000 + 10**12
    publisher = Publisher(
        Instruments(map(pair, SYMBOLS)), Book(), Desk().failover, lambda _: None, epoch="e1", seq=ahead
    )

    assert publisher.seq == ahead + len(SYMBOLS)


async def test_what_another_source_says_publishes_nothing() -> None:
    """Only the serving source's events are published."""
    desk = Desk()
    desk.serve("one")
    desk.say("one")
    await turn()
    before = len(desk.published)
    desk.say("two")
    await turn()

    assert len(desk.published) == before


async def test_switched_quote_is_wholly_the_new_sources() -> None:
    """After a switch no part of the quote is the old source's; before it there is word of the switch."""
    desk = Desk()
    desk.say("one")
    desk.say("two")
    desk.serve("one")
    await turn()
    desk.serve("two", reason="one: connection cut (1006)")
    await turn()
    quote = desk.publisher.quotes["btcusdt"]
    switch = desk.published[-2]

    assert {quote.source, (quote.price or "")[0], (quote.bid or "")[0], (quote.ask or "")[0]} == {"two", "2"}
    assert not quote.stale
    assert isinstance(switch, Switched)
    assert switch.switch.symbols == list(SYMBOLS)
    assert (switch.switch.from_, switch.switch.to) == ("one", "two")
    assert switch.switch.reason == "one: connection cut (1006)"


async def test_what_never_served_is_shown_stale() -> None:
    """An instrument whose source ended before anything served it shows the price that is known, stale."""
    desk = Desk()
    desk.say("two")
    desk.publisher.adopt_first_prices()
    await asyncio.sleep(0)

    (quote,) = desk.quotes
    assert (quote.symbol, quote.source, quote.price, quote.stale) == ("btcusdt", "two", "2.1", True)


async def test_lost_quote_keeps_price_and_source_and_says_why() -> None:
    """When nothing live serves it a quote stays as it was, stale, and the message carries the reason."""
    desk = Desk()
    desk.say("one")
    desk.serve("one")
    await turn()
    before = desk.publisher.quotes["btcusdt"]
    desk.serve(None, "btcusdt", reason="one: no data for 5 s")
    await turn()
    after, message = desk.publisher.quotes["btcusdt"], desk.published[-1]

    assert (after.price, after.source, after.time) == (before.price, "one", before.time)
    assert (before.stale, after.stale) == (False, True)
    assert isinstance(message, Quotes)
    assert message.reasons == {"btcusdt": "one: no data for 5 s"}
    assert before.seq < after.seq == desk.publisher.seq


class Publishing(RuleBasedStateMachine):
    """Sources speak and serve in any order; every published quote is true."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        self.desk: Desk = self.loop.run(self._begin())

    async def _begin(self) -> Desk:
        return Desk()

    @rule(
        steps=st.lists(
            st.tuples(
                st.sampled_from([*SOURCES, "serve one", "serve two", "lose"]), st.sampled_from(SYMBOLS)
            ),
            max_size=4,
        )
    )
    def one_turn(self, steps: list[tuple[str, str]]) -> None:
        async def run() -> None:
            for step, symbol in steps:
                if step in SOURCES:
                    self.desk.say(step, symbol)
                else:
                    self.desk.serve({"serve one": "one", "serve two": "two", "lose": None}[step], symbol)
            await turn()

        self.loop.run(run())

    @invariant()
    def quotes_are_true(self) -> None:
        """Numbers only grow, nothing is under a wrong name, stale is who has no serving source."""
        desk = self.desk
        numbers = [quote.seq for quote in desk.quotes]
        assert numbers == sorted(set(numbers))
        assert numbers[-1:] in ([], [desk.publisher.seq])
        for quote in desk.quotes:
            mark = str(SOURCES.index(quote.source) + 1) if quote.source else None
            assert {text[0] for text in (quote.price, quote.bid, quote.ask) if text} <= {mark}
        for symbol, quote in desk.publisher.quotes.items():
            serving = desk.failover.serving[symbol]
            assert quote.stale == (serving is None)
            assert serving is None or quote.source == serving
            entry = desk.book.entry(serving, symbol) if serving else None
            assert serving is None or quote.price == (entry.price if entry else None)

    def teardown(self) -> None:
        self.loop.close()


Publishing.TestCase.settings = settings(max_examples=30, stateful_step_count=15, deadline=None)
TestPublishing = Publishing.TestCase
