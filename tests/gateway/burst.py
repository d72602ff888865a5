"""Many viewers at once: `python -m tests.gateway.burst URL NUMBER`, in a process of their own.

It connects all of them and prints `connected`; at each line on stdin it goes on: all send their handshakes
(`sent`), all have been answered (`joined`, with how many were let in), all are reset (`gone`).
"""

from __future__ import annotations

import asyncio
import socket
import struct
import sys

from tests.gateway.raw import Raw, handshake, text


async def main(url: str, number: int) -> None:
    """Take the steps."""
    host, port = "127.0.0.1", int(url.rsplit(":", 1)[1])
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    clients = [Raw(*await asyncio.open_connection(host, port)) for _ in range(number)]
    await _print_and_wait("connected", lines)
    for client in clients:
        client.writer.write(handshake() + text("40"))
    await _print_and_wait("sent", lines)
    answers = [await client.reader.readuntil(b"\r\n\r\n") for client in clients]
    joined = sum(answer.startswith(b"HTTP/1.1 101 ") for answer in answers)
    await _print_and_wait(f"joined {joined}", lines)
    for client in clients:
        bare = client.writer.get_extra_info("socket")
        bare.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.writer.transport.abort()
    await asyncio.sleep(0)
    await _print_and_wait("gone", lines)


async def _print_and_wait(word: str, lines: asyncio.StreamReader) -> None:
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()
    await lines.readline()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
