"""The metrics of the bus: as documented, and only those that are known."""

from __future__ import annotations

from pathlib import Path

from crypto_stream.bus.interface import BusFigures
from crypto_stream.gateway.web.bus_metrics import bus_metrics

DOCUMENT = Path(__file__).parents[2] / "docs" / "scale.md"


def _samples(figures: BusFigures) -> dict[str, float]:
    return {sample.name: sample.value for metric in bus_metrics(figures) for sample in metric.samples}


def test_all_are_documented() -> None:
    """docs/scale.md has a row for each."""
    rows = [line for line in DOCUMENT.read_text("utf-8").splitlines() if line.startswith("| `bus_")]
    figures = BusFigures("h:1", joins=3, holes=2, lag_s=0.5, relays=2, relays_up=1, term=3)

    for name, value in _samples(figures).items():
        assert any(f"`{name.removeprefix('crypto_stream_')}" in row for row in rows), name
        assert value in {1.0, 3.0, 2.0, 0.5}


def test_what_is_unknown_is_left_out() -> None:
    """Rather than 0, on which somebody might alert."""
    assert set(_samples(BusFigures(None, joins=0))) == {
        "crypto_stream_bus_joins_total",
        "crypto_stream_bus_holes_total",
    }


def test_a_lost_relay_is_reported_though_all_goes_on() -> None:
    """`degraded` of /readyz shows it: with the last relay everything would be lost."""
    assert BusFigures("h:1", joins=1, relays=2, relays_up=1).trouble() is not None
    assert BusFigures("h:1", joins=1, relays=2, relays_up=2).trouble() is None
    assert BusFigures("local", joins=1).trouble() is None
