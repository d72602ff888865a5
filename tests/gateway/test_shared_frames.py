"""`hello` and `status`: one frame for all viewers while nothing in it changes."""

from __future__ import annotations

import json
from typing import Any

from crypto_stream.bus.messages import Beat
from crypto_stream.gateway.delivery.frames import Frame
from crypto_stream.gateway.shared_frames import SharedFrames
from tests.gateway.test_mirror import full, snapshot


def payload(frame: Frame) -> Any:
    """Parse an event's payload."""
    return json.loads(frame.data[1:])[1]


def test_hello_is_encoded_again_only_after_a_change() -> None:
    """Quotes and heartbeats change nothing in it; a new data set does."""
    mirror = full()
    frames = SharedFrames(mirror)

    first = frames.hello()
    mirror.receive(Beat(1, mirror.sources(0.0), None, 0.0), 1.0)
    same = frames.hello()
    mirror.receive(snapshot("e2"), 1.0)
    other = frames.hello()

    assert same is first
    assert (payload(first)["epoch"], payload(other)["epoch"]) == ("e1", "e2")


def test_status_is_shared_for_a_short_time() -> None:
    """It is encoded again later, and at once when a state has changed."""
    now_s = 1.0
    mirror = full()
    frames = SharedFrames(mirror, lambda: now_s)

    first, second = frames.status(), frames.status()
    now_s = 1.1
    later = frames.status()
    mirror.engine_lost()
    changed = frames.status()

    assert first is second
    assert later is not first
    assert payload(later).keys() == payload(first).keys() == {"time", "verdict", "sources"}
    assert payload(changed)["verdict"]["state"] == "unreachable"
    assert [one["state"] for one in payload(changed)["sources"].values()] == ["lost"]
