"""The log of a machine as the rehearsal reads it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given
from hypothesis import strategies as st

from tests.rehearsal.journal import FOLLOWS, LEADS, Journal

_TEXT = (
    "T INFO supervisor s engine started pid=7\nT INFO engine l follows: another engine leads\n"
    "T INFO engine r source live source=binance\nT INFO engine l leads term=3\n"
    "T INFO engine e engine started epoch=é\nT WARNING supervisor s engine ended status=3\n"
    "T INFO supervisor s engine started pid=42\nT INFO engine l follows: another engine leads\n"
)


def test_what_was_said_since_the_last_start(tmp_path: Path) -> None:
    """Its place is the one said last; a start forgets all of it."""
    path = tmp_path / "app.log"
    journal = Journal(path, "engine")
    assert (journal.pids, journal.place, journal.is_warm) == ([], "", False)
    lines = _TEXT.splitlines(keepends=True)
    seen = []
    with path.open("a", encoding="utf-8") as file:
        for line in lines:
            file.write(line)
            file.flush()
            seen.append((len(journal.pids), journal.place, journal.is_warm))

    assert seen == [
        (1, "", False),
        (1, FOLLOWS, False),
        (1, FOLLOWS, True),
        *[(1, LEADS, True)] * 3,
        (2, "", False),
        (2, FOLLOWS, False),
    ]
    assert journal.pids == [7, 42]


@given(st.lists(st.integers(1, 60), max_size=20))
def test_lines_may_be_read_in_pieces(pieces: list[int]) -> None:
    """Whoever reads while a line is written sees it later."""
    data = _TEXT.encode()
    with TemporaryDirectory() as folder:
        path = Path(folder) / "app.log"
        journal = Journal(path, "engine")
        for size in [*pieces, len(data)]:
            with path.open("ab") as file:
                file.write(data[:size])
            data = data[size:]
            assert len(journal.pids) <= 2

        assert (journal.pids, journal.place, journal.is_warm) == ([7, 42], FOLLOWS, False)
