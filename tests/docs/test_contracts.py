"""docs/contracts.md against the code: what it names exists, what exists is named."""

from __future__ import annotations

import json
import re
from pathlib import Path

from crypto_stream.bus.interface import WATCH_REFRESH_S
from crypto_stream.engine.topics import MAX_WATCHED
from crypto_stream.gateway.web.openapi import DESCRIPTION
from crypto_stream.market.quotes import Quote

TEXT = (Path(__file__).parents[2] / "docs" / "contracts.md").read_text("utf-8")


def test_the_quote_has_the_documented_fields() -> None:
    """The example quote has exactly the fields of a quote, in their order."""
    example = json.loads(re.search(r"\{\"symbol\".*?\}", TEXT, re.DOTALL)[0])  # type: ignore[index]

    assert tuple(example) == Quote.__struct_fields__


def test_every_path_is_documented() -> None:
    """Each path of the HTTP description stands in the document."""
    paths = [path.replace("{symbol}", "btcusdt") for path in DESCRIPTION["paths"]]

    assert [path for path in paths if f"{path}`" not in TEXT and f"{path} " not in TEXT] == []


def test_the_number_of_topics_is_the_one_that_the_engine_serves() -> None:
    """And the gateways look for room as often as the text says."""
    assert f"{MAX_WATCHED:,} different topics" in TEXT
    assert f"which is looked for every {WATCH_REFRESH_S:g} s" in TEXT
