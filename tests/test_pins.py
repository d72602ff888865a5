"""What `make setup` installs is what was tested: the same versions, each by its hashes."""

from __future__ import annotations

import re

from tests.process.programs import ROOT

_PINNED = re.compile(r"^([\w.-]+)(?:\[\w+\])?==(\S+)", re.MULTILINE)


def _pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text("utf-8")
    return {re.sub(r"[-_.]+", "-", package).lower(): version for package, version in _PINNED.findall(text)}


def test_the_lock_has_the_tested_versions() -> None:
    """Every package of the lock has the version of constraints.txt; every requirement is in it."""
    locked, tested = _pins("requirements.lock"), _pins("constraints.txt")
    asked = re.findall(r"^[\w-]+", (ROOT / "requirements.txt").read_text("utf-8"), re.MULTILINE)

    assert locked.items() <= tested.items()
    assert set(asked) <= locked.keys()


def test_every_locked_package_has_hashes() -> None:
    """pip refuses a file whose hash is not in the lock, and the whole lock where one has none."""
    parts = re.split(r"^(?=[a-z])", (ROOT / "requirements.lock").read_text("utf-8"), flags=re.MULTILINE)[1:]

    assert len(parts) == len(_pins("requirements.lock"))
    assert all("--hash=sha256:" in part for part in parts)


def test_what_is_asked_for_is_what_was_tested() -> None:
    """A lower bound, where an older version lacks something, is none that the tested version fails."""
    text, tested = (ROOT / "requirements.txt").read_text("utf-8"), _pins("constraints.txt")
    bounds = dict(re.findall(r"^([\w-]+)(?:\[\w+\])?>=([\d.]+)$", text, re.MULTILINE))

    assert set(bounds) == {"hiredis", "psycopg"}
    assert all(_numbers(tested[package]) >= _numbers(bound) for package, bound in bounds.items())


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]
