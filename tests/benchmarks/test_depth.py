"""The measurement of books in its quick form: no figure is judged, only that each is measured."""

from __future__ import annotations

from pathlib import Path

from tests.benchmarks.test_commands import ran


def test_quotes_and_books_are_measured_together(tmp_path: Path) -> None:
    """Both arrive, and the table has their ratio."""
    printed, result = ran(tmp_path, "benchmarks.depth", "--only", "eventlet")
    row = result["medians"]["Crypto Stream, eventlet"]

    assert row["quotes"] > 20
    assert row["books"] > 20
    assert 0 < row["quote_p50_ms"] <= row["quote_p99_ms"]
    assert 0 < row["book_p50_ms"] <= row["book_p99_ms"]
    assert "book : quote" in printed
