"""What other users of the machine can see: no file of ours, and no secret in the list of processes."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crypto_stream.private_files import make_private
from crypto_stream.secret_options import without_secrets
from tests.process.programs import address, program
from tests.process.serving import trading
from tests.waiting import until


def _open_to_others(folder: Path) -> list[str]:
    return sorted(path.name for path in [folder, *folder.rglob("*")] if path.stat().st_mode & 0o077)


@pytest.mark.parametrize("older", [False, True])
async def test_nobody_else_reads_the_data_directory(tmp_path: Path, older: bool) -> None:
    """Neither what is made now, nor what an older version left open to everybody."""
    data = tmp_path / "data"
    if older:
        data.mkdir(mode=0o755)
        data.chmod(0o755)
        (data / "engine.lock").touch(mode=0o644)
        (data / "kept.db").touch(mode=0o644)
    async with trading(tmp_path):
        await until((data / "orders.db").exists)
        assert _open_to_others(data) == []


def test_a_folder_that_never_was_a_data_directory_keeps_its_mode(tmp_path: Path) -> None:
    """Somebody may name a folder that others use."""
    tmp_path.chmod(0o755)
    (tmp_path / "theirs").touch(mode=0o644)
    make_private(tmp_path)

    assert tmp_path.stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "theirs").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("form", [["--admin-token", "open sesame"], ["--admin-token=open sesame"]])
async def test_no_process_shows_the_admin_token(tmp_path: Path, form: list[str]) -> None:
    """The list of processes, which everybody may read, holds no secret; the token works all the same."""
    files = ["--data-dir", str(tmp_path / "data"), "--log-file", str(tmp_path / "app.log")]
    options = ["run", "--port", "0", "--sources", "synthetic", *form, *files]
    with program(["-m", "crypto_stream", *options], tmp_path) as running:
        await address(running)
        ours = psutil.Process(running.process.pid)
        shown = [" ".join(each.cmdline()) for each in [ours, *ours.children(recursive=True)]]

        assert len(shown) == 3
        assert not any("sesame" in line for line in shown)
        assert "sesame" not in running.log


@pytest.mark.parametrize(
    ("arguments", "kept", "secrets"),
    [
        (["switch", "okx", "--token", "t"], ["switch", "okx"], {"CRYPTO_STREAM_ADMIN_TOKEN": "t"}),
        (["order", "list", "--client-id=c"], ["order", "list"], {"CRYPTO_STREAM_CLIENT_ID": "c"}),
        (["run", "--admin-token", "--port"], ["run"], {"CRYPTO_STREAM_ADMIN_TOKEN": "--port"}),
        (["run", "--admin-token"], ["run", "--admin-token"], {}),
        (["watch", "--", "--token", "t"], ["watch", "--", "--token", "t"], {}),
    ],
)
def test_secrets_move_into_the_environment(
    arguments: list[str], kept: list[str], secrets: dict[str, str]
) -> None:
    """An option's value goes with it, in both forms; a missing value stays for the command to name."""
    assert without_secrets(arguments) == (kept, secrets)


@given(st.lists(st.text(max_size=5) | st.sampled_from(["--token", "--admin-token=x", "--client-id", "--"])))
def test_other_arguments_stay_as_they_are(arguments: list[str]) -> None:
    """Whatever else is given, in its order; a second look finds no more to move."""
    kept, _ = without_secrets(arguments)
    left = iter(arguments)

    assert all(any(each == other for other in left) for each in kept)
    assert without_secrets(kept)[0] == kept
