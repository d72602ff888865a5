"""Channels compared with a plain dict."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.gateway.delivery.channels import Channels
from crypto_stream.gateway.subscriptions import EVERYTHING, Subscription, Symbols

SUBSCRIPTIONS = st.builds(
    Subscription,
    st.sampled_from([EVERYTHING, Symbols(False, frozenset({"a"})), Symbols(False, frozenset({"a", "b"}))]),
    st.sampled_from([0, 100]),
    st.booleans(),
    st.booleans(),
)
STEPS = st.lists(st.tuples(st.sampled_from("vwxyz"), st.one_of(st.none(), SUBSCRIPTIONS)))


@given(STEPS)
def test_a_viewer_is_in_exactly_the_channel_of_its_newest_wish(
    steps: list[tuple[str, Subscription | None]],
) -> None:
    """After any moves there is one channel per subscription, with exactly its viewers, and none is empty."""
    channels, expected = Channels(), dict[str, Subscription]()
    for viewer, subscription in steps:
        if subscription is None:
            channels.remove(viewer)
            expected.pop(viewer, None)
        else:
            channels.move(viewer, subscription, 0)
            expected[viewer] = subscription

    held = {channel.subscription: set(channel.members) for channel in channels}
    assert held == {
        subscription: {viewer for viewer, other in expected.items() if other == subscription}
        for subscription in set(expected.values())
    }
    assert len(channels) == len(held)
    assert {one.subscription for interval in (0, 100) for one in channels.at(interval)} == set(held)
    for viewer in "vwxyz":
        channel = channels.of(viewer)
        assert (channel.subscription if channel else None) == expected.get(viewer)
