"""The wheel: it contains what a checkout runs with, clashes with nothing, and runs in any folder."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from email import message_from_bytes
from pathlib import Path
from zipfile import ZipFile

import httpx
import pytest

from crypto_stream import layout
from crypto_stream.feed.loading import known_handlers
from tests.process.programs import ROOT, address, clean_environment, program
from tests.waiting import SCALE, until

pytestmark = pytest.mark.timeout(300 * SCALE)

_BUILT_FROM = ("pyproject.toml", "setup.py", "requirements.txt", "README.md", "LICENSE")
_RUNTIME = ("crypto_stream", "handlers", "templates", "static", "bridges")
_VENDOR = Path("static", "vendor")
_PAGES = ("/", "/ticker_00", "/markets", "/instruments", "/orders", "/status", "/docs")
_ACME = re.compile(r"```python\n(.*?)```", re.DOTALL)


def _runtime_files() -> list[str]:
    """List what a checkout runs with: what is or may be committed, and the scripts that npm installs."""
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *_RUNTIME]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    scripts = [str(_VENDOR / path.name) for path in (ROOT / _VENDOR).glob("[!.]*")]
    return sorted({*(name for name in listed if (ROOT / name).is_file()), *scripts})


def _run(*command: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=cwd, env={**clean_environment(), "PYTHONPATH": "", **environment},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        timeout=240 * SCALE, check=False,
    )  # fmt: skip


def _build(source: Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Build a wheel into `folder` as `make wheel` does, from a tree or a source distribution."""
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    return _run(sys.executable, "-m", "pip", "wheel", *offline, "--wheel-dir", folder, source, cwd=folder)


def _built(source: Path, folder: Path) -> Path:
    done = _build(source, folder)
    assert done.returncode == 0, done.stdout
    (wheel,) = folder.iterdir()
    return wheel


def _contents(wheel: Path) -> dict[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the wheel is built from, so that the checkout gets no build folder."""
    folder = tmp_path_factory.mktemp("tree")
    for name in [*_BUILT_FROM, *_runtime_files(), str(_VENDOR / ".installed")]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def wheel(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build it."""
    return _built(tree, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install it into a new environment that borrows this one's packages; return that one's `bin`."""
    folder = tmp_path_factory.mktemp("environment")
    made = _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    assert made.returncode == 0, made.stdout
    pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python", "install")
    done = _run(*pip, "--no-index", "--no-deps", wheel, cwd=folder)
    assert done.returncode == 0, done.stdout
    (packages,) = folder.glob("lib/python*/site-packages")
    borrowed = [place for place in sys.path if place.endswith("-packages")]
    (packages / "borrowed.pth").write_text("\n".join(borrowed))
    return folder / "bin"


def test_it_contains_what_a_checkout_runs_with(wheel: Path) -> None:
    """The same bytes, all below `crypto_stream`, beside which only pip's own folder is installed."""
    wanted = {_place(name): (ROOT / name).read_bytes() for name in _runtime_files()}
    contents = _contents(wheel)
    ours = {name: data for name, data in contents.items() if name.startswith("crypto_stream/")}
    others = {name.partition("/")[0] for name in contents.keys() - ours.keys()}

    assert ours.keys() == wanted.keys()
    assert [name for name in ours if ours[name] != wanted[name]] == []
    assert others == {f"{'-'.join(wheel.name.split('-')[:2])}.dist-info"}


def _place(name: str) -> str:
    if name.startswith("bridges/"):
        return f"crypto_stream/programs/{name}"
    return name if name.startswith("crypto_stream/") else f"crypto_stream/{name}"


def test_it_requires_what_the_checkout_does(wheel: Path) -> None:
    """pip installs the packages of requirements.txt with it."""
    (metadata,) = (data for name, data in _contents(wheel).items() if name.endswith("/METADATA"))
    lines = (ROOT / "requirements.txt").read_text("utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]

    assert message_from_bytes(metadata).get_all("Requires-Dist") == wanted


def test_one_from_the_source_distribution_is_the_same(tree: Path, wheel: Path, tmp_path: Path) -> None:
    """Some tools build it by way of one."""
    build = "import sys; from setuptools import build_meta; build_meta.build_sdist(sys.argv[1])"
    done = _run(sys.executable, "-c", build, tmp_path, cwd=tree)
    assert done.returncode == 0, done.stdout
    (source,) = tmp_path.iterdir()
    (dist := tmp_path / "dist").mkdir()

    assert _contents(_built(source, dist)) == _contents(wheel)


def test_the_documents_name_the_file(wheel: Path) -> None:
    """Whoever copies the commands copies the version, too."""
    for document in (ROOT / "README.md", ROOT / "docs" / "operations.md"):
        assert {*re.findall(r"dist/(\S+?\.whl)", document.read_text("utf-8"))} == {wheel.name}


def test_none_is_built_without_the_scripts_of_the_pages(tree: Path, tmp_path: Path) -> None:
    """The line says what to run instead."""
    bare = shutil.copytree(tree, tmp_path / "bare", ignore=shutil.ignore_patterns("vendor", "build"))
    (dist := tmp_path / "dist").mkdir()
    done = _build(bare, dist)

    assert done.returncode != 0
    assert "static/vendor is empty: `make wheel` installs the pages' scripts first" in done.stdout
    assert [*dist.iterdir()] == []


async def test_it_serves_everything_in_any_folder(installed: Path, tmp_path: Path) -> None:
    """Prices, pages and each of their files, also in a folder with modules of the same names."""
    anywhere = tmp_path / "anywhere"
    for name in ("handlers", "crypto_stream", "flask"):
        (anywhere / name).mkdir(parents=True)
        (anywhere / name / "__init__.py").write_text("raise SystemError('not the installed one')\n")
    run = ["run", "--port", "0", "--sources", "synthetic"]
    names = [name for name in _runtime_files() if name.startswith("static/")]
    script = str(installed / layout.SCRIPT)
    with program(run, tmp_path, executable=script, cwd=anywhere, PYTHONPATH="") as running:
        url = await address(running)
        await until(lambda: httpx.get(f"{url}/courses", trust_env=False).status_code == 200)
        async with httpx.AsyncClient(base_url=url, trust_env=False) as http:
            quotes = (await http.get("/courses")).json()
            pages = {path: await http.get(path, headers={"Accept": "text/html"}) for path in _PAGES}
            files = {name: await http.get(f"/{name}") for name in names}

    assert len(quotes) == 103
    assert {path: page.status_code for path, page in pages.items()} == dict.fromkeys(_PAGES, 200)
    assert f"<code>{layout.SCRIPT} token</code>" in pages["/status"].text
    assert [name for name, answer in files.items() if answer.content != (ROOT / name).read_bytes()] == []
    assert {path.name for path in anywhere.iterdir()} - {"handlers", "crypto_stream", "flask"} == {
        "app.log",
        "data",
    }


def test_it_lists_every_handler_and_those_of_a_folder(installed: Path, tmp_path: Path) -> None:
    """The venues of a checkout, in the package, and that of docs/adding-a-venue.md in one's own folder."""
    block = _ACME.search((ROOT / "docs" / "adding-a-venue.md").read_text("utf-8"))
    assert block is not None
    (tmp_path / "acme.py").write_text(block[1])
    done = _run(installed / layout.SCRIPT, "sources", "--handlers-dir", tmp_path, cwd=tmp_path)
    places = {line.split()[0]: line for line in done.stdout.splitlines()[1:]}

    assert done.returncode == 0, done.stdout
    assert places.keys() == {*known_handlers(), "acme"}
    assert "cannot be loaded" not in done.stdout
    assert str(tmp_path / "acme.py") in places.pop("acme")
    assert all(f"site-packages/crypto_stream/handlers/{name}.py" in line for name, line in places.items())


@pytest.mark.parametrize("is_on_path", [True, False])
def test_what_it_suggests_can_be_pasted(installed: Path, tmp_path: Path, is_on_path: bool) -> None:
    """By its name where the shell finds it by that, else by its path."""
    script = installed / layout.SCRIPT
    path = f"{installed}:/usr/bin:/bin" if is_on_path else "/usr/bin:/bin"
    done = _run(script, "switch", cwd=tmp_path, PATH=path)

    assert done.returncode == 2
    assert done.stdout.endswith(f" See: {layout.SCRIPT if is_on_path else script} switch --help\n")
