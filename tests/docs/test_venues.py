"""docs/venues.md is what the command prints, and each handler states what it is based on."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from crypto_stream.cli.program import cli
from crypto_stream.feed.loading import known_handlers, load_source
from crypto_stream.feed.sources import Venue
from crypto_stream.feed.venue_table import NOT_STATED, stated, venue_tables

ROOT = Path(__file__).parents[2]
VENUES = [source for name in known_handlers() if isinstance(source := load_source(name, None, {}), Venue)]


def test_the_file_is_what_the_command_prints() -> None:
    """After a change of a handler: .venv/bin/python -m crypto_stream venues > docs/venues.md."""
    printed = CliRunner().invoke(cli, ["venues"])

    assert printed.exit_code == 0
    assert printed.output == (ROOT / "docs" / "venues.md").read_text("utf-8")


@pytest.mark.parametrize("venue", VENUES, ids=lambda venue: venue.name)
def test_each_venue_states_its_evidence_and_what_it_lacks(venue: Venue) -> None:
    """In its file's docstring, so that nobody takes what was only read for what was seen."""
    assert stated(venue, "Evidence") != NOT_STATED
    assert stated(venue, "Not given") != NOT_STATED


def test_a_handler_of_ones_own_is_in_the_tables_too() -> None:
    """One that is polled has no requests; one without a word on its evidence says so."""
    text = venue_tables(ROOT / "tests" / "feed" / "odd_venues")

    assert "| `asked` | - | - | - | - | no | no | any number | polled every " in text
    assert f"| `asked` | {NOT_STATED} | {NOT_STATED} |" in text
    assert "| `synthetic` |" not in text
