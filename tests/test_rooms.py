"""Every module of the pages has its room, and imports only rooms below it; see docs/architecture.md."""

from __future__ import annotations

import re
from pathlib import Path

from crypto_stream.layout import STATIC, TEMPLATES

_JS = (STATIC / "js").resolve()
_SHARED = ("text", "page", "live")  # lowest first
# The rooms of pages, with the scripts of these pages.
_PAGES: dict[str, tuple[str, ...]] = {
    "board": ("board",),
    "instrument": ("instrument",),
    "orders": ("orders",),
    "admin": ("instruments", "status"),
}
_IMPORT = re.compile(r"\b(?:from|import)\s*\(?\s*'([^']+)'")
_COMMENT = re.compile(r"/\*.*?\*/|^\s*//[^\n]*$", re.DOTALL | re.MULTILINE)


def _imports(*, types: bool) -> list[tuple[Path, Path]]:
    """List who imports whom; with `types` also those in JSDoc, which cost nothing at run time."""
    pairs = []
    for path in sorted(_JS.rglob("*.js")):
        text = path.read_text("utf-8")
        found = _IMPORT.findall(text if types else _COMMENT.sub("", text))
        pairs += [(path, (path.parent / name).resolve()) for name in found]
    assert pairs
    return [(path, to) for path, to in pairs if to.parent != (STATIC / "vendor").resolve()]


def _room(path: Path) -> str:
    return path.parent.relative_to(_JS).as_posix()


def _open_to(path: Path) -> set[str]:
    """Name the rooms that a module may know."""
    inside = _room(path)
    own = {inside} if inside != "." else {room for room, pages in _PAGES.items() if path.stem in pages}
    return {*_SHARED, *own}


def test_outside_the_rooms_are_only_the_scripts_of_templates() -> None:
    """A module that no template names is in a room."""
    html = "".join(path.read_text("utf-8") for path in TEMPLATES.glob("*.html"))
    named = re.findall(r'<script[^>]* src="{{ root }}static/js/([^"]+)"', html)

    assert sorted(path.name for path in _JS.glob("*.js")) == sorted(named)
    assert {path.name for path in _JS.iterdir() if path.is_dir()} == {*_SHARED, *_PAGES}


def test_every_import_is_of_a_file() -> None:
    """Those of types too, which no browser would miss."""
    assert [(path.name, str(to)) for path, to in _imports(types=True) if not to.is_file()] == []


def test_no_room_knows_a_page_that_is_not_its_own() -> None:
    """Neither a shared room nor another page's, not even by its types; `zone.js` is on every live page."""
    wrong = [
        (path.name, to.name)
        for path, to in _imports(types=True)
        if to != _JS / "zone.js" and _room(to) not in _open_to(path)
    ]

    assert wrong == []


def test_shared_rooms_load_only_those_below() -> None:
    """So text needs no page, and the parts of a page no connection; types may be of any shared room."""
    shared = [(path, to) for path, to in _imports(types=False) if _room(path) in _SHARED]

    assert shared
    assert [
        (path.name, to.name)
        for path, to in shared
        if _room(to) not in _SHARED[: _SHARED.index(_room(path)) + 1]
    ] == []
