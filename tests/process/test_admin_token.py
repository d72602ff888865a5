"""Who may pin: only who can read the secret in the data directory, wherever a request comes from."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from crypto_stream.admin_token import NAME, make_token, read_token
from crypto_stream.errors import UsageError
from tests.process.nginx import nginx
from tests.process.programs import address, command, program
from tests.waiting import DEADLINE_S, SCALE, until

pytestmark = pytest.mark.timeout(120 * SCALE)
FORGED: tuple[dict[str, str], ...] = (
    {},
    {"X-Forwarded-For": "127.0.0.1"},
    {"Authorization": "Bearer x"},
    {"Host": "localhost"},
)


def _arguments(half: str, folder: Path, *more: str) -> list[str]:
    files = ["--data-dir", str(folder / "data"), "--log-file", str(folder / "app.log")]
    return ["-m", "crypto_stream", half, "--sources", "synthetic", *files, *more]


@pytest.mark.parametrize("workers", ["1", "2"])
async def test_only_the_secret_of_the_data_directory_may_pin(
    tmp_path: Path, require_program: Callable[[str], str], workers: str
) -> None:
    """Neither loopback nor a proxy on this machine gives a right; `switch` and `token` read the file."""
    data = ("--data-dir", str(tmp_path / "data"))
    with program(_arguments("run", tmp_path, "--port", "0", "--workers", workers), tmp_path) as running:
        url = await address(running)
        secret = tmp_path / "data" / NAME
        with nginx(require_program("nginx"), f"location / {{ proxy_pass {url}; }}") as outside:
            for at in (url, outside.url):
                for headers in FORGED:
                    answer = await _pin(at, headers)
                    assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
            async with httpx.AsyncClient() as http:
                unpinned = (await http.get(f"{url}/sources")).json()["pinned"]
            told = command("token", *data)
            pinned = command("switch", "synthetic", "--url", outside.url, *data)
            elsewhere = command("switch", "auto", "--url", url, "--data-dir", str(tmp_path / "none"))
            far = command("switch", "auto", "--url", url.replace("127.0.0.1", "localhost.localdomain"), *data)

    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert unpinned is None
    assert told.stdout == secret.read_text()
    assert pinned.stdout.startswith("Pinned: only synthetic serves")
    assert (elsewhere.returncode, "--data-dir" in elsewhere.stderr) == (2, True)
    assert far.returncode != 0
    assert secret.read_text().strip() not in running.log + running.output


async def test_halves_started_apart_share_the_secret(tmp_path: Path) -> None:
    """A gateway of its own takes the same token as `switch` reads, also after it was started again."""
    (tmp_path / "gateway").mkdir()
    for _ in range(2):
        with program(
            _arguments("gateway", tmp_path, "--port", "0"), tmp_path / "gateway", TMPDIR=str(tmp_path)
        ) as running:
            await until(lambda: " gateway at http://" in running.output)
            url = running.output.split(" gateway at ")[-1].split(";")[0]
            bare = await _pin(url, {})
            proved = await _pin(url, {"Authorization": f"Bearer {read_token(tmp_path / 'data')}"})

        assert (bare.status_code, proved.status_code) == (401, 503)  # no engine: allowed, but in vain


async def _pin(url: str, headers: dict[str, str]) -> httpx.Response:
    async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
        return await http.post(f"{url}/sources/active", json={"source": "synthetic"}, headers=headers)


def test_of_many_starts_at_once_one_secret_holds(tmp_path: Path) -> None:
    """All processes of one start, and later ones, read the same; nothing else is left behind."""
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(make_token(tmp_path / "data"))) for _ in range(20)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert len(found) == 20
    assert set(found) == {read_token(tmp_path / "data")}
    assert [each.name for each in (tmp_path / "data").iterdir()] == [NAME]
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe"])
def test_a_secret_that_holds_none_is_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    """An empty file is no right for everybody."""
    (tmp_path / NAME).write_bytes(content)

    with pytest.raises(UsageError, match="admin_token: "):
        make_token(tmp_path)
