"""Time a venue's parser and the book on recorded frames: `python -m benchmarks.parsing VENUE FILE`.

Prints the number of frames and the seconds of the best of five rounds.
"""

from __future__ import annotations

import sys
import timeit
from pathlib import Path

from crypto_stream.feed.handler import UNREADABLE, Trade, Update
from crypto_stream.feed.loading import load_source
from crypto_stream.feed.names import Discovered
from crypto_stream.feed.recordings import read
from crypto_stream.feed.sources import Venue
from crypto_stream.market.book import SourceBook

_ROUNDS = 5


def main(venue: str, file: Path) -> None:
    """Play the frames through parser and a fresh book in each round."""
    source = load_source(venue, None, {})
    assert isinstance(source, Venue)
    frames = [recorded.frame for recorded in read(file) if recorded.frame is not None]

    def play() -> None:
        book, reader = SourceBook(), source.reader(Discovered(source.pair_of, {}, {}))
        for number, frame in enumerate(frames):
            try:
                events = list(reader.read(frame))
            except UNREADABLE:
                continue
            for event in events:
                if isinstance(event, (Update, Trade)):
                    book.apply(event, number)

    print(len(frames), min(timeit.repeat(play, number=1, repeat=_ROUNDS)))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
