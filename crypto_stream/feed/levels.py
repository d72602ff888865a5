"""An order book by its levels, for venues that send it whole at first and then only changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal

_MOST = 1_000  # of a side; venues send far fewer

_Side = dict[Decimal, tuple[str, str]]  # price → price and size as text
Top = tuple[str | None, str | None, str | None, str | None]  # bid, its size, ask, its size


class Levels:
    """The levels of one book.

    They are unknown at first, and again after a loss, until the venue sends the whole book, which must be
    requested once: further losses until it arrives need no further request.
    """

    def __init__(self) -> None:
        self._bids: _Side = {}
        self._asks: _Side = {}
        self.known = False
        self._is_requested = False

    def lose(self) -> None:
        """Forget all levels, since a change was missed."""
        self._is_requested &= not self.known
        self.known = False

    def request_again(self) -> None:
        """Forget all levels, and that they were requested: the venue will not send them for that."""
        self.known = self._is_requested = False

    def must_be_requested(self) -> bool:
        """Return whether the whole book must be requested; True only once until it arrives."""
        must, self._is_requested = not (self.known or self._is_requested), True
        return must

    @contextmanager
    def changing(self, *, whole: bool) -> Iterator[None]:
        """Surround the calls of `put` for one frame, `whole` if it contains all levels.

        If one of them, or anything else in it, fails, the book is lost.
        """
        try:
            if whole:
                self._bids, self._asks = {}, {}
            yield
        except Exception:
            self.request_again()
            raise
        self.known = True

    def put(self, price: str, size: str | None, *, is_bid: bool) -> None:
        """Set a level to price and size, as the venue writes them; the size None removes it.

        Raises ValueError if there are too many.
        """
        side = self._bids if is_bid else self._asks
        if size is None:
            side.pop(Decimal(price), None)
        else:
            side[Decimal(price)] = (price, size)
        if len(side) > _MOST:
            raise ValueError(f"a book of more than {_MOST} levels")

    def top(self) -> Top:
        """Return bid and ask with their sizes; None for a side without levels."""
        bid, bid_size = self._bids[max(self._bids)] if self._bids else (None, None)
        ask, ask_size = self._asks[min(self._asks)] if self._asks else (None, None)
        return bid, bid_size, ask, ask_size
