"""The network of a rehearsal: what it cannot do it says, and does not pretend."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.process.programs import ROOT
from tests.rehearsal.network import NetworkError, network
from tests.waiting import SCALE


def test_a_rehearsal_that_cannot_separate_machines_fails() -> None:
    """It names the reason, and the option by which it would do without: nothing is left out silently."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.rehearsal"],
        cwd=ROOT,
        env={**os.environ, "PATH": "/nowhere"},  # no program that makes namespaces
        capture_output=True,
        text=True,
        timeout=60 * SCALE,
        check=False,
    )

    assert done.returncode == 1
    assert "machines cannot have networks of their own here: " in done.stderr
    assert "--loopback" in done.stderr
    assert "rehearsed" not in done.stdout


async def test_no_machine_vanishes_from_a_loopback() -> None:
    """Its connections would be closed, and all would learn of it."""
    async with network(loopback=True) as net:
        host = net.add("one")

        with pytest.raises(NetworkError, match="one cannot vanish"):
            net.isolate(host)
