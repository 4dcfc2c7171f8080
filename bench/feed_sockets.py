"""What one message costs on a market data socket, by what reads it.

    python bench/feed_sockets.py [--messages N] [--json FILE]

A process of its own sends ready frames as fast as they are read: one packet a message as two
brokers send (162 and 379 bytes), and 200 packets a message as the third does (37 kB). Readers:
websocket-client, a message a call; our walk over all the socket holds, on the same library's
connection; and picows where it is installed. Figures are medians of five.
"""

from __future__ import annotations

import asyncio
import importlib.util
import multiprocessing
import socket
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import websocket
from websockets.server import ServerProtocol

from adapters.frame_reader import FrameReader
from adapters.packet_reader import READ_BYTES
from bench.kit import machine, options, table, tell
from tests.kit.feed_servers.server import frame

RUNS = 5
CHUNK_BYTES = 1 << 20
SIZES = {"162 bytes": 162, "379 bytes": 379, "37 kB": 37_202}


def send(listener: socket.socket, size: int, messages: int) -> None:
    """Answers one handshake and sends so many messages."""
    connection, _ = listener.accept()
    protocol = ServerProtocol()
    request = None
    while request is None:
        protocol.receive_data(connection.recv(65_536))
        request = next(iter(protocol.events_received()), None)
    protocol.send_response(protocol.accept(request))
    connection.sendall(b"".join(protocol.data_to_send()))
    one = frame(bytes(size))
    many = max(1, CHUNK_BYTES // len(one))
    burst = one * many
    for _ in range(messages // many):
        connection.sendall(burst)
    connection.sendall(one * (messages % many))
    connection.recv(1)  # until the reader is done
    connection.close()


def by_library(url: str, messages: int) -> None:
    """A call a message."""
    connection = websocket.create_connection(url, skip_utf8_validation=True)
    for _ in range(messages):
        connection.recv_data_frame(control_frame=True)
    connection.shutdown()


def by_walk(url: str, messages: int) -> None:
    """All that the socket has, walked once."""
    connection = websocket.create_connection(url)
    reader, seen = FrameReader(), 0
    while seen < messages:
        got, _ = reader.read(connection.sock.recv(READ_BYTES))
        seen += len(got)
    connection.shutdown()


def by_picows(url: str, messages: int) -> None:
    """Its callback a message, on its own loop."""
    import picows

    class Listener(picows.WSListener):
        seen = 0

        def on_ws_frame(self, transport: Any, read: Any) -> None:
            read.get_payload_as_bytes()
            self.seen += 1
            if self.seen == messages:
                transport.disconnect()

    async def run() -> None:
        transport, _ = await picows.ws_connect(Listener, url)
        await transport.wait_disconnected()

    asyncio.run(run())


def measure(read: Callable[[str, int], None], size: int, messages: int) -> tuple[float, float]:
    """(wall, processor) seconds of one run."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        sender = multiprocessing.get_context("fork").Process(
            target=send, args=(listener, size, messages)
        )
        sender.start()
        wall_s, processor_s = time.perf_counter(), time.process_time()
        read(f"ws://127.0.0.1:{listener.getsockname()[1]}", messages)
        spent = time.perf_counter() - wall_s, time.process_time() - processor_s
        sender.join()
    return spent


def main() -> None:
    """Prints the table."""
    parser = options(__doc__)
    parser.add_argument("--messages", type=int, default=200_000)
    arguments = parser.parse_args()
    readers = {"websocket-client": by_library, "our walk": by_walk}
    if importlib.util.find_spec("picows"):
        readers["picows"] = by_picows
    rows = [("message", "reader", "messages/s", "processor us each")]
    figures = []
    for words, size in SIZES.items():
        messages = arguments.messages if size < 1000 else arguments.messages // 20
        for name, read in readers.items():
            runs = [measure(read, size, messages) for _ in range(RUNS)]
            wall_s, processor_s = (statistics.median(column) for column in zip(*runs, strict=True))
            each_us = processor_s / messages * 1e6
            rows.append((words, name, f"{messages / wall_s:,.0f}", f"{each_us:.2f}"))
            figures.append({"bytes": size, "reader": name, "messages_s": messages / wall_s,
                            "processor_us": each_us})  # fmt: skip
    table(f"Reading WebSocket messages, medians of {RUNS}", rows)
    tell({"readers": figures}, machine("websocket-client", "websockets"), arguments.json)


if __name__ == "__main__":
    main()
