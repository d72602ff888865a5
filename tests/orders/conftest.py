"""What tests of orders share."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Name a file of orders that is not there yet."""
    return tmp_path / "orders.db"
