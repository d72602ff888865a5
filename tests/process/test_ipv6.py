"""The program on an IPv6 address: clients are known by their own address."""

from __future__ import annotations

import socket
from pathlib import Path

import httpx
import pytest

from tests.process.programs import address, admin, program
from tests.waiting import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no ::1")
@pytest.mark.parametrize("server", ["eventlet", "gevent"])
async def test_the_token_counts_over_ipv6(tmp_path: Path, server: str) -> None:
    """Served on ::1, a loopback address gives no right and the token does, whichever server reads it."""
    own = ["--port", "0", "--data-dir", str(tmp_path / "data"), "--log-file", str(tmp_path / "app.log")]
    run = ["-m", "crypto_stream", "run", "--host", "::1", "--sources", "synthetic", "--server", server]
    with program([*run, *own], tmp_path) as running:
        url = await address(running)
        async with httpx.AsyncClient(base_url=url) as http:
            bare = await http.post("/sources/active", json={"source": "auto"})
            proof = admin(tmp_path)
            answers = [
                await http.post("/sources/active", json={"source": "auto"}, headers=proof) for _ in range(5)
            ]

    assert bare.status_code == 401
    assert [answer.status_code for answer in answers] == [200] * 5
