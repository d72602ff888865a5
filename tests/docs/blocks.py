"""Blocks of the documents, which tests run with what differs here."""

from __future__ import annotations

from collections.abc import Mapping

from tests.process.programs import ROOT


def block(document: str, language: str, changes: Mapping[str, str] | None = None) -> str:
    """Return the first block in `language` of docs/`document`, with each key of `changes` replaced."""
    text = (ROOT / "docs" / document).read_text("utf-8").split(f"```{language}\n")[1].split("```")[0]
    return changed(text, changes or {})


def changed(text: str, changes: Mapping[str, str]) -> str:
    """Return `text` with each key of `changes` replaced, which must be there."""
    for old, new in changes.items():
        assert old in text, f"{old!r} is no longer in the document"
        text = text.replace(old, new)
    return text
