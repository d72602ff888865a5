"""Shared fixtures of the tests of orders."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return the path of a file of orders that does not exist yet."""
    return tmp_path / "orders.db"
