"""What every test may ask for; keep it small."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable

import pytest
from hypothesis import settings

# No test fails for being slow: these machines are shared. Under CI=true Hypothesis says so by itself.
settings.register_profile("shared", deadline=None)
if os.environ.get("CI") != "true":
    settings.load_profile("shared")

# A test run that was started in the background, or under nohup, may ignore these; so would every program that
# a test starts and asks to end.
for _sign in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_sign) is signal.SIG_IGN:
        signal.signal(_sign, signal.default_int_handler if _sign == signal.SIGINT else signal.SIG_DFL)


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
