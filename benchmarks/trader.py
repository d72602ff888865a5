"""The clients of an order gateway in one process and one epoll loop: `python -m benchmarks.trader JSON`.

JSON: port, connections, seconds, warm_s, rate (orders a second over all connections, sent at moments fixed
beforehand; 0: each connection sends its next order when one is answered), window (orders a connection may
have unanswered then), places (the `message` of the orders, dealt out over the connections).

Every answer must be an active ExecutionReport with a new id; answers must come in the order of a
connection's orders. An order's time starts when it was due to be sent, even if it was sent late. Prints
{"ready": connections}, begins at a line, prints what was seen, and ends at the next line or end of input.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from array import array
from collections import deque
from typing import Any

import msgspec

from benchmarks.wire import bounds

_READ = 256 * 1024
_DRAIN_S = 20.0
_ACTIVE = 1
_REPORT = 3
_TEXT, _PING, _PONG = 0x81, 0x89, 0x8A


class _Told(msgspec.Struct):
    order_id: str = ""
    order_status: int = 0
    reason: str = ""


class _Answer(msgspec.Struct):
    messageType: int  # noqa: N815 - the protocol's name
    message: _Told


_decode = msgspec.json.Decoder(_Answer).decode


class Session:
    """One connection: its encoded order, and when the unanswered ones were due."""

    def __init__(self, port: int, place: dict[str, Any]) -> None:
        """Connect."""
        text = json.dumps({"messageType": 3, "message": place}).encode()
        size = len(text)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2, "big")
        self.frame = bytes([_TEXT]) + length + b"\0\0\0\0" + text
        self.due: deque[float] = deque()
        self.rest = b""
        self.unsent = b""
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(
            f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self.rest:
            if not (data := self.socket.recv(_READ)):
                raise SystemExit(f"no WebSocket at /ws: {self.rest[:200]!r}")
            self.rest += data
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise SystemExit(f"no WebSocket at /ws: {head[:200]!r}")
        self.socket.setblocking(False)

    def send(self, due: list[float]) -> None:
        """Send an order for each time in `due`; what the socket does not accept is sent later."""
        self.due.extend(due)
        self.unsent += self.frame * len(due)
        try:
            self.unsent = self.unsent[self.socket.send(self.unsent) :]
        except BlockingIOError:
            return


class Trader:
    """All connections of this process."""

    def __init__(self, wish: dict[str, Any]) -> None:
        """Connect them all."""
        self._wish = wish
        places = wish["places"]
        count = wish["connections"]
        self._sessions = [Session(wish["port"], places[each % len(places)]) for each in range(count)]
        self._by_fd = {session.socket.fileno(): session for session in self._sessions}
        self.count = count
        self._poll = select.epoll()
        for fd in self._by_fd:
            self._poll.register(fd, select.EPOLLIN)
        self._ids: set[str] = set()
        self._refused: list[str] = []
        self._sent = 0
        self._taken = array("d")
        self._from_s = self._to_s = 0.0

    def run(self) -> dict[str, Any]:
        """Send orders for the warm-up and the measured seconds, wait for all answers, return the results."""
        wish = self._wish
        began = time.perf_counter()
        self._from_s = began + wish["warm_s"]
        self._to_s = self._from_s + wish["seconds"]
        if wish["rate"]:
            self._at_rate(began, wish["rate"])
        else:
            self._in_turn(wish["window"])
        used = os.times()
        deadline = time.perf_counter() + _DRAIN_S
        while any(session.due for session in self._sessions) and time.perf_counter() < deadline:
            self._turn(0.1, 0)
        return {**self._seen(), "cpu_s": used.user + used.system}

    def _at_rate(self, began: float, rate: float) -> None:
        """Send order N at time N / rate, whether or not the others have been answered."""
        number = 0
        count = len(self._sessions)
        while (now := time.perf_counter()) < self._to_s:
            wanted = int((now - began) * rate) + 1
            due: dict[int, list[float]] = {}
            while number < wanted:
                due.setdefault(number % count, []).append(began + number / rate)
                number += 1
            for place, moments in due.items():
                self._sessions[place].send(moments)
            self._sent = number
            self._turn(max(0.0, began + number / rate - time.perf_counter()), 0)

    def _in_turn(self, window: int) -> None:
        """Keep `window` orders of each connection pending."""
        for session in self._sessions:
            session.send([time.perf_counter()] * window)
            self._sent += window
        while time.perf_counter() < self._to_s:
            self._turn(0.1, 1)

    def _turn(self, seconds: float, next_orders: int) -> None:
        """Read the answers; with `next_orders` send another order for each."""
        for fd, _ in self._poll.poll(seconds):
            session = self._by_fd[fd]
            try:
                data = session.socket.recv(_READ)
            except BlockingIOError:
                continue
            if not data:
                raise SystemExit("the gateway closed a connection")
            answers = self._read(session, data)
            following = answers * next_orders
            if following or session.unsent:
                session.send([time.perf_counter()] * following)
                self._sent += following

    def _read(self, session: Session, data: bytes) -> int:
        if session.rest:
            data = session.rest + data
        now = time.perf_counter()
        counts = self._from_s <= now < self._to_s
        at = answers = 0
        while True:
            begin, end = bounds(data, at)
            if end > len(data):
                break
            if data[at] == _PING:
                session.unsent += bytes([_PONG, 0x80 | end - begin]) + b"\0\0\0\0" + data[begin:end]
            elif data[at] == _TEXT:
                self._take(data[begin:end])
                due = session.due.popleft()
                answers += 1
                if counts:
                    self._taken.append(now - due)
            else:
                self._refused.append(f"frame {data[at:begin]!r}")
            at = end
        session.rest = data[at:]
        return answers

    def _take(self, payload: bytes) -> None:
        answer = _decode(payload)
        told = answer.message
        good = answer.messageType == _REPORT and told.order_status == _ACTIVE
        if good and told.order_id not in self._ids:
            self._ids.add(told.order_id)
        else:
            self._refused.append(payload[:200].decode("utf-8", "replace"))

    def _seen(self) -> dict[str, Any]:
        missing = sum(len(session.due) for session in self._sessions)
        ms = sorted(1000 * remaining for remaining in self._taken)
        if not ms:
            raise SystemExit(f"no order was answered in time; {self._refused[:3]}")
        return {
            "sent": self._sent,
            "accepted": len(self._ids),
            "missing": missing,
            "refused": len(self._refused),
            "first_refused": self._refused[:3],
            "orders_per_s": len(ms) / self._wish["seconds"],
            "p50_ms": ms[len(ms) // 2],
            "p99_ms": ms[len(ms) * 99 // 100],
            "worst_ms": ms[-1],
        }


def main() -> None:
    """Connect, wait for a line, trade, print the results, wait for a line."""
    trader = Trader(json.loads(sys.argv[1]))
    print(json.dumps({"ready": trader.count}), flush=True)
    sys.stdin.readline()
    print(json.dumps(trader.run()), flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    main()
