"""Rules of the tree that no linter knows."""

from __future__ import annotations

import subprocess

from tests.process.programs import ROOT

_LONGEST = 330  # "about 300 lines": past that there is a second thing inside
# A venue stays one file: its requests, frames, books, lists and candles, and a sample of each frame.
_LONGEST_VENUE = 470


def _files(*patterns: str) -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()


def _longest(name: str) -> int:
    return _LONGEST_VENUE if name.startswith("handlers/") else _LONGEST


def test_no_file_is_long() -> None:
    """No source file is longer than about 300 lines; tests may list more cases."""
    lines = {
        name: len((ROOT / name).read_text("utf-8").splitlines())
        for name in _files("*.py", "*.js", "*.css", ":!tests")
    }

    assert lines
    assert {name: count for name, count in lines.items() if count > _longest(name)} == {}


def test_nothing_of_others_is_committed() -> None:
    """Installed scripts, minified code and recordings stay out of the repository."""
    assert _files("static/vendor", "node_modules", "*.min.js", "*.ndjson", "app.log*", "data") == []
