"""Which host of a venue is tried next."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.feed.hosts import Hosts

_ALL = ("one", "two", "three")


def test_a_host_is_used_until_it_delivers_nothing() -> None:
    """A host that delivers something is used again; otherwise the next one is."""
    hosts = Hosts(_ALL, 60)
    seen = []
    for _ in range(4):
        seen.append(hosts.choose(0.0))
        hosts.advance(seen[-1])

    assert seen == ["one", "two", "three", "one"]


def test_only_the_current_host_can_be_abandoned() -> None:
    """If two connections end in succession, only the first changes the host."""
    hosts = Hosts(_ALL, 60)
    hosts.advance("one")
    hosts.advance("one")

    assert hosts.choose(0.0) == "two"


def test_a_banned_host_is_skipped() -> None:
    """While another may be tried there is no delay; if all banned us, the earliest end counts."""
    hosts = Hosts(_ALL, 60)
    hosts.ban("one", 100)
    hosts.ban("two", 50)
    chosen, waits = hosts.choose(0.0), hosts.delay(0.0)
    hosts.ban("three", 70)

    assert (chosen, waits) == ("three", 0.0)
    assert hosts.delay(10.0) == 40.0
    assert hosts.choose(50.0) == "two"


def test_the_first_host_is_tried_again_while_another_is_incomplete() -> None:
    """With growing delays; never while everything is delivered, or at the first host itself."""
    hosts = Hosts(_ALL, 60)
    hosts.advance("one")
    asked = [now for now in range(0, 1000, 10) if hosts.tries_first_host("two", now, complete=False)]

    assert asked == [60, 180, 420, 900]
    assert not any(hosts.tries_first_host("two", now, complete=True) for now in range(1000, 9000, 10))
    assert not any(hosts.tries_first_host("one", now, complete=False) for now in range(1000, 9000, 10))


def test_after_a_failed_trial_the_current_host_is_used() -> None:
    """The next connection goes where the data came from."""
    hosts = Hosts(_ALL, 60)
    hosts.advance("one")
    tried = [hosts.tries_first_host("two", now, complete=False) for now in (0.0, 60.0)]
    first = hosts.choose(60.0)
    hosts.return_to("two")

    assert tried == [False, True]
    assert first == "one"
    assert hosts.choose(61.0) == "two"


def test_without_a_host_there_is_nothing_to_choose() -> None:
    """A recording has none."""
    hosts = Hosts((), 60)
    hosts.advance(None)
    hosts.ban(None, 10)

    assert hosts.choose(0.0) is None
    assert hosts.delay(0.0) == 0.0
    assert not hosts.tries_first_host(None, 1000.0, complete=False)


@given(st.lists(st.tuples(st.sampled_from(_ALL), st.floats(0, 100)), max_size=20), st.floats(0, 100))
def test_no_banned_host_is_chosen_while_another_is_free(bars: list[tuple[str, float]], now_s: float) -> None:
    """Whatever happened before: either a host may be tried, or there is a delay."""
    hosts = Hosts(_ALL, 60)
    until = dict.fromkeys(_ALL, 0.0)
    for address, end in bars:
        hosts.ban(address, end)
        until[address] = end
    chosen, wait = hosts.choose(now_s), hosts.delay(now_s)

    assert chosen is not None
    assert (until[chosen] <= now_s) == (wait == 0)
    assert min(until.values()) <= now_s + wait + 1e-9
