"""A documented conversation had again: `> ` is sent, `< ` must come, other ids, prices and times aside."""

from __future__ import annotations

import asyncio
import re

from websockets.asyncio.client import ClientConnection

from tests.waiting import SCALE

_FILLED_WITHIN_S = 60 * SCALE
_ID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_SENT, _CAME = "> ", "< "
_UPDATE = '{"messageType":4,'
# What differs from run to run inside a frame: an id, a time in ms, a price or a value of the walk round 87.
_VARYING = re.compile(rf"(?P<id>{_ID})|(?P<time>\b\d{{13}}\b)|(?P<price>\b8[5-9]\d?\.\d{{1,2}}\b)")
_PRICE = r"8[5-9]\d?(?:\.\d{1,2})?"


def conversations(text: str) -> list[list[str]]:
    """Find the conversations of a document: blocks of indented lines that begin with `> `."""
    blocks = re.findall(r"(?:^    [<>] .*\n)+", text, re.MULTILINE)
    return [[line.removeprefix("    ") for line in block.splitlines()] for block in blocks]


class Replay:
    """One connection on which documented conversations are had again."""

    def __init__(self, connection: ClientConnection) -> None:
        """Talk on `connection`."""
        self._connection = connection
        self._ids: dict[str, str] = {}
        self._early: list[str] = []

    async def run(self, lines: list[str]) -> None:
        """Say and hear each line; AssertionError names the one that does not come, or came too much."""
        for line in lines:
            if line.startswith(_SENT):
                await self._connection.send(self._known(line.removeprefix(_SENT)))
            else:
                await self._hear(line.removeprefix(_CAME))
        assert [frame for frame in self._early if not frame.startswith(_UPDATE)] == []

    async def _hear(self, documented: str) -> None:
        """Wait for a frame like `documented`; what comes by itself may come before it."""
        for frame in list(self._early):
            if self._matches(documented, frame):
                self._early.remove(frame)
                return
        try:
            async with asyncio.timeout(_FILLED_WITHIN_S):
                while True:
                    frame = str(await self._connection.recv())
                    if self._matches(documented, frame):
                        return
                    self._early.append(frame)
        except TimeoutError:
            raise AssertionError(f"{documented} did not come, but {self._early}") from None

    def _matches(self, documented: str, frame: str) -> bool:
        ids: list[str] = []
        pattern, at = "", 0
        for found in _VARYING.finditer(documented):
            pattern += re.escape(documented[at : found.start()])
            at = found.end()
            if found["id"] and found["id"] in self._ids:
                pattern += self._ids[found["id"]]
            elif found["id"]:
                pattern += f"(?:({_ID}))" if found["id"] not in ids else rf"\{ids.index(found['id']) + 1}"
                ids += [found["id"]] if found["id"] not in ids else []
            else:
                pattern += r"\d{13}" if found["time"] else _PRICE
        match = re.fullmatch(pattern + re.escape(documented[at:]), frame)
        if match:
            self._ids.update(zip(ids, match.groups(), strict=True))
        return match is not None

    def _known(self, text: str) -> str:
        return re.sub(_ID, lambda found: self._ids.get(found[0], found[0]), text)
