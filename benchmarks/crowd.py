"""Thousands of minimal viewers in one process and one epoll loop: `python -m benchmarks.crowd JSON`.

JSON: port, count, subscription (null: the server sends without being asked), socketio (false: a bare
WebSocket), compress (offer permessage-deflate), small (keep little in the kernel: many will stop reading).

Each different frame is decoded once and looked at in full; every other viewer's frame is compared with it
byte by byte. Each viewer's `seq` must grow. Prints {"ready": count, "took_s": seconds to connect them}, then
answers lines: `mark`, `halt N` (the first N stop reading), `resume`, `report LAST` (the newest quotes).
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from array import array
from collections import Counter
from typing import Any

import msgspec

from benchmarks.member import TEXT, Viewer
from benchmarks.wire import Shot, bounds, inflated, read_event

_READ = 256 * 1024
_SMALL_BUFFER = 8 * 1024
_TOGETHER = 100  # concurrent handshakes
_READY_S = 120.0
_KEPT = 256  # different frames kept for comparison
_SHOWN = 3  # errors reported in full
_CLOSE, _PING = 8, 9


class Crowd:
    """All viewers of this process."""

    def __init__(self, wish: dict[str, Any]) -> None:
        """Prepare; `connect` opens the connections."""
        self._wish = wish
        self._poll = select.epoll()
        self._by_fd: dict[int, Viewer] = {}
        self.viewers: list[Viewer] = []
        self._known: dict[bytes, Shot] = {}
        self._buffer = bytearray(_READ)
        self._newest: tuple[bytes, Shot | None] = (b"", None)
        self._waiting = 0
        self.errors: list[str] = []
        self.mark()

    def mark(self) -> dict[str, Any]:
        """Begin a measurement."""
        self._ages = array("Q")
        self._frames = self._bytes = self._repeated = 0
        for viewer in self.viewers:
            viewer.skipped = viewer.snapshots = 0
        return {"marked": len(self.viewers)}

    def connect(self) -> None:
        """Connect all viewers, some at a time, until each is ready."""
        deadline = time.monotonic() + _READY_S
        count = self._wish["count"]
        while len(self.viewers) < count or self._waiting:
            while len(self.viewers) < count and self._waiting < _TOGETHER:
                self._open()
            self.turn(0.1)
            if time.monotonic() > deadline or self.errors:
                raise SystemExit(f"{self._waiting} viewers are not ready: {self.errors[:_SHOWN]}")

    def watch(self, fd: int) -> None:
        """Make `turn` return True when this descriptor is readable."""
        self._poll.register(fd, select.EPOLLIN)

    def turn(self, seconds: float) -> bool:
        """Read from all readable viewers; return True if another descriptor is readable."""
        others = False
        by_fd = self._by_fd
        for fd, _ in self._poll.poll(seconds):
            viewer = by_fd.get(fd)
            if viewer is None:
                others = True
            else:
                self._read(viewer)
        return others

    def halt(self, count: int) -> dict[str, Any]:
        """Make the first `count` viewers stop reading."""
        for viewer in self.viewers[:count]:
            viewer.halted = True
            self._poll.unregister(viewer.socket.fileno())
        return {"halted": count}

    def resume(self) -> dict[str, Any]:
        """Make the halted viewers read again."""
        for viewer in self.viewers:
            if viewer.halted and not viewer.lost:
                viewer.snapshots = 0
                self._poll.register(viewer.socket.fileno(), select.EPOLLIN)
        return {}

    def report(self, last: dict[str, list[str]]) -> dict[str, Any]:
        """Report what was seen since the mark; `last` is what every viewer must have seen by now."""
        halted = [viewer for viewer in self.viewers if viewer.halted]
        rest = [viewer for viewer in self.viewers if not viewer.halted]
        errors = list(self.errors)
        errors += ["connection lost" for viewer in rest if viewer.lost]
        errors += [f"not the last: {viewer.shown()}" for viewer in rest if not viewer.is_newest(last)]
        ages = sorted(self._ages)
        return {
            "frames": self._frames,
            "bytes": self._bytes,
            "repeated": self._repeated,
            "skipped": sum(viewer.skipped for viewer in rest),
            "age_ms": {name: _at(ages, part) for name, part in _PARTS.items()},
            "halted": {
                "count": len(halted),
                "lost": sum(viewer.lost for viewer in halted),
                "skipped": sum(viewer.skipped for viewer in halted),
                "without_skips": sum(not viewer.skipped for viewer in halted),
                "snapshots": {str(n): k for n, k in Counter(v.snapshots for v in halted).items()},
                "newest": sum(viewer.is_newest(last) for viewer in halted if not viewer.lost),
            },
            "errors": len(errors),
            "first_errors": errors[:_SHOWN],
        }

    def _open(self) -> None:
        connected = socket.socket()
        timed = len(self.viewers) >= self._wish.get("small", 0)
        if not timed:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _SMALL_BUFFER)
        connected.settimeout(10)
        connected.connect(("127.0.0.1", self._wish["port"]))
        path = "/socket.io/?EIO=4&transport=websocket" if self._wish["socketio"] else "/"
        deflate = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        more = f"Sec-WebSocket-Extensions: {deflate}\r\n" if self._wish.get("compress") else ""
        connected.send(
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._wish['port']}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Version: 13\r\n{more}\r\n".encode()
        )
        connected.setblocking(False)
        viewer = Viewer(connected, timed=timed)
        self.viewers.append(viewer)
        self._by_fd[connected.fileno()] = viewer
        self._poll.register(connected.fileno(), select.EPOLLIN)
        self._waiting += 1

    def _read(self, viewer: Viewer) -> None:
        try:
            size = viewer.socket.recv_into(self._buffer)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        if not size:
            self._lose(viewer)
            return
        now_us = time.monotonic_ns() // 1000
        self._bytes += size
        frame, shot = self._newest
        if shot is not None and size == len(frame) and not viewer.rest and self._buffer.startswith(frame):
            self._see(
                viewer, shot, now_us
            )  # the usual case: one complete frame that another viewer had before
            return
        data = bytes(memoryview(self._buffer)[:size])
        if viewer.rest:
            data = viewer.rest + data
            viewer.rest = b""
        if not viewer.open:
            data = self._shake(viewer, data)
        self._split(viewer, data, now_us)

    def _split(self, viewer: Viewer, data: bytes, now_us: int) -> None:
        at = 0
        while not viewer.lost:
            begin, end = bounds(data, at)
            if end > len(data):
                break
            frame = data[at:end]
            shot = self._known.get(frame)
            if shot is None:
                self._take(viewer, frame, begin - at, now_us)
            else:
                self._newest = (frame, shot)
                self._see(viewer, shot, now_us)
            at = end
        viewer.rest = data[at:]

    def _see(self, viewer: Viewer, shot: Shot, now_us: int) -> None:
        if shot.name == "quotes":
            if shot.last <= viewer.seq:
                self._again(viewer, shot)
                return
            if viewer.seq and shot.first > viewer.seq + 1:
                viewer.skipped += shot.first - viewer.seq - 1
            self._frames += 1
            if viewer.timed:
                self._ages.append(max(0, now_us - shot.stamp_us))
        elif shot.name == "snapshot":
            if shot.last < viewer.seq:
                self.errors.append(f"a snapshot went back from {viewer.seq} to {shot.last}")
            viewer.skipped += max(0, shot.last - viewer.seq - 1) if viewer.seq else 0
            viewer.snapshots += 1
            self._be_ready(viewer)
        else:
            return
        viewer.seq = shot.last
        viewer.shot = shot

    def _again(self, viewer: Viewer, shot: Shot) -> None:
        """Count a repeated update: after joining, the first flush may repeat the snapshot."""
        if shot.last < viewer.seq:
            self.errors.append(f"seq went back from {viewer.seq} to {shot.last}")
        self._repeated += 1

    def _shake(self, viewer: Viewer, data: bytes) -> bytes:
        head, found, rest = data.partition(b"\r\n\r\n")
        if not found:
            viewer.rest = data
            return b""
        compressed = b"permessage-deflate" in head.lower()
        wanted = bool(self._wish.get("compress"))
        if not head.startswith(b"HTTP/1.1 101") or (wanted and not compressed):
            self.errors.append(f"handshake: {head[:300]!r}")
        viewer.open = True
        if not self._wish["socketio"]:
            self._be_ready(viewer)
        return rest

    def _take(self, viewer: Viewer, frame: bytes, begin: int, now_us: int) -> None:
        """Decode a frame that no viewer had before, or that is for one viewer alone."""
        opcode = frame[0] & 0x0F
        payload = inflated(frame[0], frame[begin:])
        if opcode == _CLOSE:
            self._lose(viewer)
        elif opcode == _PING:
            viewer.send(payload, 10)
        elif opcode != TEXT:
            self.errors.append(f"opcode {opcode}: {frame[:100]!r}")
        elif payload.startswith(b"42"):
            self._event(viewer, frame, payload, now_us)
        else:
            self._control(viewer, payload)

    def _event(self, viewer: Viewer, frame: bytes, payload: bytes, now_us: int) -> None:
        try:
            shot = read_event(payload[2:])
        except msgspec.MsgspecError as error:
            self.errors.append(f"{error}: {payload[:200]!r}")
            return
        if len(self._known) >= _KEPT:
            del self._known[next(iter(self._known))]
        self._known[frame] = shot
        self._newest = (frame, shot)
        self._see(viewer, shot, now_us)

    def _control(self, viewer: Viewer, payload: bytes) -> None:
        if payload[:1] == b"0":
            viewer.send(b"40")
        elif payload == b"2":
            viewer.send(b"3")
        elif payload.startswith(b"40"):
            if (wished := self._wish["subscription"]) is None:
                self._be_ready(viewer)
            else:
                viewer.send(b'420["subscribe",%s]' % json.dumps(wished).encode())
        elif not payload.startswith(b'430[{"ok":true'):
            self.errors.append(f"not understood: {payload[:200]!r}")

    def _be_ready(self, viewer: Viewer) -> None:
        if not viewer.ready:
            viewer.ready = True
            self._waiting -= 1

    def _lose(self, viewer: Viewer) -> None:
        viewer.lost = True
        if not viewer.ready:
            self.errors.append("connection lost before it was ready")
        self._poll.unregister(viewer.socket.fileno())
        del self._by_fd[viewer.socket.fileno()]
        viewer.socket.close()


_PARTS = {"p50": 0.5, "p99": 0.99, "p999": 0.999, "max": 1.0}


def _at(ages: list[int], part: float) -> float | None:
    return ages[min(len(ages) - 1, int(len(ages) * part))] / 1000 if ages else None


def main(wish: dict[str, Any]) -> None:
    """Connect, then answer the commands on standard input."""
    crowd = Crowd(wish)
    began = time.monotonic()
    crowd.connect()
    _say({"ready": len(crowd.viewers), "took_s": time.monotonic() - began})
    crowd.watch(sys.stdin.fileno())
    heard = b""
    while True:
        if not crowd.turn(1.0):
            continue
        said = os.read(sys.stdin.fileno(), _READ)
        if not said:
            return
        *lines, heard = (heard + said).split(b"\n")
        for line in lines:
            _say(_answer(crowd, *line.decode().partition(" ")[::2]))


def _answer(crowd: Crowd, word: str, given: str) -> dict[str, Any]:
    if word == "mark":
        return crowd.mark()
    if word == "halt":
        return crowd.halt(int(given))
    if word == "resume":
        return crowd.resume()
    return crowd.report(json.loads(given))


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
