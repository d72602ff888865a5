"""Metrics of gateways that share a port: all kinds, and without a folder to share them in."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from crypto_stream.gateway.web.shared_metrics import SharedMetrics

ALONE = [
    "# HELP viewers Viewers of any kind.",
    "# TYPE viewers gauge",
    'viewers{gateway="gateway-1"} 1.0',
    "# HELP frames_total Frames.",
    "# TYPE frames_total counter",
    'frames_total{event="a \\"strange\\" one",gateway="gateway-1"} 1.0',
    "# HELP flush_seconds Flush.",
    "# TYPE flush_seconds histogram",
    'flush_seconds_bucket{gateway="gateway-1",le="0.1"} 0.0',
    'flush_seconds_bucket{gateway="gateway-1",le="1.0"} 1.0',
    'flush_seconds_bucket{gateway="gateway-1",le="+Inf"} 1.0',
    'flush_seconds_count{gateway="gateway-1"} 1.0',
    'flush_seconds_sum{gateway="gateway-1"} 0.5',
]


def _counted(viewers: int) -> CollectorRegistry:
    own = CollectorRegistry()
    Gauge("viewers", "Viewers of any kind.", registry=own).set(viewers)
    Counter("frames", "Frames.", ["event"], registry=own).labels('a "strange" one').inc(viewers)
    Histogram("flush_seconds", "Flush.", buckets=(0.1, 1), registry=own).observe(0.5)
    return own


def _lines(shared: SharedMetrics) -> list[str]:
    """Scrape as /metrics does."""
    text = generate_latest(shared)
    return [line for line in text.decode().splitlines() if "_created" not in line]


def test_metrics_are_merged_by_family(tmp_path: Path) -> None:
    """Each family comes once, with the samples of each gateway and the label `gateway`."""
    folder = tmp_path / "metrics"
    first = SharedMetrics("gateway-1", _counted(1), folder)
    second = SharedMetrics("gateway-2", _counted(2), folder)
    _lines(first)
    lines = _lines(second)

    mine = [line for line in lines if "gateway-2" not in line]
    theirs = [line.replace("gateway-2", "gateway-1") for line in lines if "gateway-1" not in line]
    assert mine == ALONE
    assert theirs == [
        line.replace("} 1.0", "} 2.0") if line.startswith(("viewers", "frames")) else line for line in ALONE
    ]
    assert len(lines) == len(set(lines))


def test_no_counter_decreases_when_another_gateway_responds(tmp_path: Path) -> None:
    """A gateway writes its own values before it responds, so that the next response has nothing older."""
    counted = [CollectorRegistry(), CollectorRegistry()]
    counters = [Counter("asked", "SocketioPacket.", registry=own) for own in counted]
    shared = [SharedMetrics(f"gateway-{at}", own, tmp_path / "m") for at, own in enumerate(counted)]
    seen: list[float] = []
    for at in range(20):
        for counter in counters:
            counter.inc()
        seen.append(
            sum(float(line.split()[1]) for line in _lines(shared[at % 2]) if line.startswith("asked"))
        )

    assert seen == sorted(seen)


def test_a_stopped_gateway_is_left_out(tmp_path: Path) -> None:
    """A file not written for five seconds is ignored; so are damaged and unknown files."""
    folder = tmp_path / "metrics"
    _lines(SharedMetrics("gateway-2", _counted(2), folder))
    old = folder / "gateway-2.metrics"
    name, at_ns, families = msgspec.msgpack.decode(old.read_bytes())
    old.write_bytes(msgspec.msgpack.encode([name, at_ns - 6 * 10**9, families]))
    (folder / "gateway-3.metrics").write_bytes(b"nonsense")
    (folder / "gateway-4.metrics").mkdir()

    assert _lines(SharedMetrics("gateway-1", _counted(1), folder)) == ALONE


def test_without_a_writable_folder_a_gateway_returns_its_own_metrics(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged once, and no scrape fails."""
    (tmp_path / "metrics").write_text("a file")
    shared = SharedMetrics("gateway-1", _counted(1), tmp_path / "metrics")

    assert [_lines(shared) for _ in range(3)] == [ALONE] * 3
    assert [record.message for record in caplog.records] == ["cannot share metrics"]
