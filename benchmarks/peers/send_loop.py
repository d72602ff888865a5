"""The minimum in Python: one WebSocket frame built per line, one non-blocking `send` per client.

python -m benchmarks.peers.send_loop PORT FEEDER
"""

from __future__ import annotations

import base64
import hashlib
import selectors
import socket
import sys

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def main(port: int, feeder: int) -> None:
    """Serve for ever; disconnect a client whose buffer is full."""
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    feed = socket.create_connection(("127.0.0.1", feeder))
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    selector.register(feed, selectors.EVENT_READ)
    clients: dict[socket.socket, None] = {}
    rest = b""
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                if client := _accept(listener):
                    clients[client] = None
                continue
            *lines, rest = (rest + feed.recv(1 << 20)).split(b"\n")
            for line in lines:
                _send_all(clients, _frame(b'42["quotes",' + line + b"]"))


def _send_all(clients: dict[socket.socket, None], frame: bytes) -> None:
    gone = []
    size = len(frame)
    for client in clients:
        try:
            if client.send(frame) != size:
                gone.append(client)
        except OSError:  # BlockingIOError too
            gone.append(client)
    for client in gone:
        del clients[client]
        client.close()


def _frame(payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes([0x81, size]) + payload
    if size < 1 << 16:
        return b"\x81\x7e" + size.to_bytes(2, "big") + payload
    return b"\x81\x7f" + size.to_bytes(8, "big") + payload


def _accept(listener: socket.socket) -> socket.socket | None:
    client, _ = listener.accept()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    while b"\r\n\r\n" not in request:
        data = client.recv(4096)
        if not data:  # a probe that only checked whether we are listening
            client.close()
            return None
        request += data
    key = next(line[18:].strip() for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key"))
    accept = base64.b64encode(hashlib.sha1(key + _GUID).digest())
    client.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
    )
    client.setblocking(False)
    return client


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
