"""One module knows where the program's files are; tests/process/test_wheel.py shows the same for a wheel."""

from __future__ import annotations

import re
from pathlib import Path

from crypto_stream import layout
from tests.process.programs import ROOT

# A module's own place, the environment of a checkout, the package of its handlers.
_PLACES = re.compile(r"__file__|__path__|\.venv\b|[\"']handlers[\"'.]")


def test_a_checkout_has_the_folders_beside_the_package() -> None:
    """Also where it is not installed, and whatever the current folder is."""
    places = [layout.HANDLERS, layout.TEMPLATES, layout.STATIC, layout.BRIDGES]

    assert not layout.INSTALLED
    assert places == [ROOT / name for name in ("handlers", "templates", "static", "bridges")]
    assert all(place.is_dir() for place in places)


def test_nothing_else_knows_where_anything_is() -> None:
    """What looks beside its own file, or names a checkout's environment, would fail in a wheel."""
    package = [*(ROOT / "crypto_stream").rglob("*.py"), *layout.HANDLERS.glob("*.py")]
    sources = [*package, *layout.TEMPLATES.glob("*.html"), *(layout.STATIC / "js").rglob("*.js")]
    found = {_name(path) for path in sources if _PLACES.search(path.read_text("utf-8"))}

    assert found == {"crypto_stream/layout.py"}


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
