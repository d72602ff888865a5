"""Which of several engines under one name is heard: the one of the greatest term. Pure, times in s."""

from __future__ import annotations

from crypto_stream.bus.interface import SILENCE_S


class Leadership:
    """This engine's right to publish: lost while another engine of a greater term announces itself."""

    def __init__(self, term: int) -> None:
        self.term = term
        self._rival_s: float | None = None

    @property
    def leads(self) -> bool:
        """Whether this engine may publish."""
        return self._rival_s is None

    def heard(self, term: int, now_s: float) -> bool:
        """Take an announcement, perhaps our own; return whether this engine must be silent from now on."""
        if term <= self.term:
            return False
        led, self._rival_s = self.leads, now_s
        return led

    def check(self, now_s: float) -> bool:
        """Return whether this engine may publish again, since the other one is gone."""
        if self._rival_s is None or now_s - self._rival_s <= SILENCE_S:
            return False
        self._rival_s = None
        return True
