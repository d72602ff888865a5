"""Several hosts of one venue, on real sockets: each is judged by what it delivers."""

from __future__ import annotations

import time

from tests.fakes import FakeOKX
from tests.fakes.venue import FakeVenue
from tests.feed.rig import SYMBOLS, running
from tests.waiting import until


def hosts(*fakes: FakeVenue) -> FakeOKX:
    """Create one venue with several fakes' addresses, the first one preferred."""

    class Hosts(FakeOKX):
        url = ",".join(fake.url for fake in fakes)
        rest_url = fakes[0].rest_url

    return Hosts([])


async def test_a_host_that_refuses_every_pair_is_replaced_by_the_first_one() -> None:
    """The first host, unreachable at the start, serves once the second one delivers nothing."""
    async with FakeOKX(SYMBOLS) as first, FakeOKX(SYMBOLS) as regional:
        both = hosts(first, regional)
        await first.unlisten()
        await regional.fault("error-ack", ",".join(SYMBOLS))
        async with running(both) as feed:
            line = feed.composition.loop.sources["okx"]
            await until(lambda: regional.connects)
            await first.listen()
            await until(lambda: feed.served() == {"okx"})

            assert first.clients
            assert "refuses every instrument" in (line.last_error or "")


async def test_an_incomplete_host_is_replaced_by_a_first_one_that_delivers_more() -> None:
    """The move causes no switch: the missing pair is served too, the others all the time."""
    async with FakeOKX(SYMBOLS) as first, FakeOKX(SYMBOLS) as regional:
        both = hosts(first, regional)
        await first.unlisten()
        await regional.fault("error-ack", "ethusdt")
        async with running(both, quiet_after=1.0) as feed:
            await until(lambda: feed.serving("btcusdt") == "okx" and feed.serving("xrpusdt") == "okx")
            dark = feed.serving("ethusdt")
            await first.listen()
            await until(lambda: feed.serving("ethusdt") == "okx")

            assert dark is None
            assert first.clients
            assert not any(change.symbol != "ethusdt" and change.after is None for change in feed.changes)


async def test_a_first_host_that_is_no_better_is_tried_and_abandoned() -> None:
    """The current connection continues meanwhile, and the missing pair remains unserved."""
    async with FakeOKX(SYMBOLS) as first, FakeOKX(SYMBOLS) as regional:
        both = hosts(first, regional)
        await first.unlisten()
        await regional.fault("error-ack", "ethusdt")
        await first.fault("error-ack", "ethusdt,btcusdt")
        async with running(both, quiet_after=0.5, connect_timeout=0.5, ack_timeout=0.5) as feed:
            await until(lambda: feed.serving("btcusdt") == "okx" and feed.serving("xrpusdt") == "okx")
            await first.listen()
            await until(lambda: first.connects and not first.clients)
            begun = time.monotonic_ns()
            await until(lambda: feed.received("okx", "btcusdt") > begun)

            assert not any(change.after is None for change in feed.changes)
            assert regional.clients


async def test_after_a_forbidden_host_the_next_one_is_tried_and_no_ban_is_stored() -> None:
    """HTTP 403 concerns one host: the next one is tried at once."""
    async with FakeOKX(SYMBOLS) as forbidden, FakeOKX(SYMBOLS) as other:
        await forbidden.fault("http:403")
        async with running(hosts(forbidden, other)) as feed:
            await until(lambda: feed.served() == {"okx"})

            assert len(forbidden.connects) == 1
            assert not feed.bans


async def test_all_hosts_forbidden_is_a_ban_that_is_stored() -> None:
    """The delay is respected and survives a restart."""
    async with FakeOKX(SYMBOLS) as one, FakeOKX(SYMBOLS) as two:
        await one.fault("http:403,300")
        await two.fault("http:403,600")
        async with running(hosts(one, two)) as feed:
            await until(lambda: "okx" in feed.bans)

            assert (len(one.connects), len(two.connects)) == (1, 1)
            assert 290_000 < feed.bans["okx"] - time.time() * 1000 <= 300_000
