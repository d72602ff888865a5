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


@given(STEPS)
def test_the_changes_of_what_channels_watch_are_counted(
    steps: list[tuple[str, Subscription | None]],
) -> None:
    """Whenever other topics are wanted than before, not when a viewer joins or leaves others in a channel."""
    channels = Channels()
    for viewer, subscription in steps:
        before, counted = {one.subscription for one in channels}, channels.watching_changes
        alone = (channel := channels.of(viewer)) is not None and len(channel.members) == 1
        if subscription is None:
            channels.remove(viewer)
        else:
            channels.move(viewer, subscription, 0)
        after = {one.subscription for one in channels}

        if {one for one in before ^ after if one.watches}:
            assert channels.watching_changes > counted
        elif not alone:
            assert channels.watching_changes == counted
