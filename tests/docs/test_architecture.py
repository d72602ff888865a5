"""The walks of docs/architecture.md lead through functions that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "architecture.md").read_text("utf-8")
WALKS = TEXT[TEXT.index("## Four walks") : TEXT.index("## Two processes")]
STEPS = re.findall(r"^\d+\. `([\w/<>]+\.py)` `([\w.]+)`", WALKS, re.MULTILINE)


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_each_step_is_a_function(file: str, name: str) -> None:
    """Of the file that it is said to be in; a handler's stands for all."""
    path = ROOT / file.replace("<venue>", "binance")
    if not path.exists():
        path = ROOT / "crypto_stream" / file
    scope: ast.AST = ast.parse(path.read_text("utf-8"))
    for part in name.split("."):
        (scope,) = [
            each
            for each in ast.iter_child_nodes(scope)
            if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and each.name == part
        ]

    assert isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef))


def test_no_walk_is_longer_than_ten_steps() -> None:
    """Else nobody would keep it in mind."""
    numbers = [int(number) for number in re.findall(r"^(\d+)\. `", WALKS, re.MULTILINE)]

    assert numbers.count(1) == 4
    assert max(numbers) <= 10
    assert len(numbers) == len(STEPS)
