"""What every test may ask for; keep it small."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from hypothesis import settings

# No test fails for being slow: these machines are shared. Under CI=true Hypothesis says so by itself.
settings.register_profile("shared", deadline=None)
if os.environ.get("CI") != "true":
    settings.load_profile("shared")


@pytest.fixture(scope="session")
def require_program() -> Callable[[str], str]:
    """Return a function: the path of a program, else skip; under CI=true a missing one fails instead."""

    def find(name: str) -> str:
        path = shutil.which(name) or shutil.which(name, path="/usr/sbin")  # where Debian puts servers
        if path is None:
            missing = pytest.fail if os.environ.get("CI") == "true" else pytest.skip
            missing(f"{name} is not installed")
        return path

    return find
