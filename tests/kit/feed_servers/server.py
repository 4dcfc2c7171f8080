"""FeedServer: one broker's market data server as far as all brokers are alike.

It runs on an event loop in a thread of its own, on a free loopback port. What comes in is parsed by
`websockets`; what goes out in bulk is framed once and written raw, so that any rate can be sent.
A broker's module says who may come in, what a request means and how a quote is packed.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from itertools import count
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

from websockets.frames import Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from tests.kit.feed_servers.quotes import Quote

LOOPBACK = "127.0.0.1"
BEAT_S = 0.02  # how often the server looks whether a heartbeat is due
WAIT_S = 10.0
BURST_FRAMES = 512
Result = TypeVar("Result")


class Refusal(Exception):
    """Raised when a handshake is answered with an HTTP error."""

    def __init__(self, status: int, text: str, **headers: str) -> None:
        super().__init__(text)
        self.status, self.text, self.headers = status, text, headers


def frame(payload: bytes, opcode: int = Opcode.BINARY) -> bytes:
    """One unfragmented, unmasked message as a server sends it (RFC 6455, 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack(">BB", 0x80 | opcode, size) + payload
    if size < 65_536:
        return struct.pack(">BBH", 0x80 | opcode, 126, size) + payload
    return struct.pack(">BBQ", 0x80 | opcode, 127, size) + payload


class Connection(asyncio.Protocol):
    """One socket of one client. `subscriptions` is mode by the broker's own key."""

    def __init__(self, server: FeedServer, number: int) -> None:
        self.number = number
        self.user: Any = None  # whom the connection limit counts
        self.subscriptions: dict[Any, Any] = {}
        self.is_open = False
        self.requests: list[Any] = []
        self.close_code: int | None = None  # as the client told it
        self.beat_at = self.heard_at = 0.0
        self.can_write = asyncio.Event()
        self.can_write.set()
        self._server = server
        self._protocol = ServerProtocol(max_size=None)
        self._part = b""
        self._transport: asyncio.Transport | None = None

    # -- asyncio --

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def connection_lost(self, _reason: Exception | None) -> None:
        self.is_open = False
        self.can_write.set()
        self._server.lost(self)

    def pause_writing(self) -> None:
        self.can_write.clear()

    def resume_writing(self) -> None:
        self.can_write.set()

    def data_received(self, data: bytes) -> None:
        self._protocol.receive_data(data)
        for event in self._protocol.events_received():
            if isinstance(event, Request):
                self._admit(event)
            elif event.opcode is Opcode.PONG:
                self.heard_at = self._server.now_s()
            elif event.opcode is Opcode.CLOSE:
                self.close_code = int.from_bytes(event.data[:2], "big")
            elif event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._part += event.data
                if event.fin:
                    message, self._part = self._part, b""
                    self._server.heard(self, message)
        self._flush()

    # -- the server's side --

    def write(self, raw: bytes) -> None:
        """Bytes as they are; nothing once the socket ended."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(raw)

    def say(self, message: Any) -> None:
        """One text message: JSON, or a word as it is."""
        text = message if isinstance(message, str) else json.dumps(message)
        self.write(frame(text.encode(), Opcode.TEXT))

    def ping(self) -> None:
        """A WebSocket ping."""
        self.write(frame(b"", Opcode.PING))

    def end(self, code: int, words: str = "") -> None:
        """Closes in order, with a code."""
        if self.is_open:
            self._protocol.send_close(code, words)
            self._flush()
            if self._transport:
                self._transport.close()

    def reset(self) -> None:
        """Closes as a broken network does."""
        raw = self._transport.get_extra_info("socket") if self._transport else None
        if raw is not None and raw.fileno() >= 0:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if self._transport:
            self._transport.abort()

    def _admit(self, request: Request) -> None:
        try:
            if self._server.closed_door:
                raise Refusal(503, "Service Unavailable")
            self.user = self._server.admit(
                dict(parse_qsl(urlsplit(request.path).query)), request.headers
            )
        except Refusal as refusal:
            response = self._protocol.reject(refusal.status, refusal.text)
            for name, value in refusal.headers.items():
                response.headers[name.replace("_", "-")] = value
            self._protocol.send_response(response)
            self._server.refusals.append(refusal.text)
            return
        self.is_open = True
        self.beat_at = self.heard_at = self._server.now_s()
        self._server.connections.append(self)  # known before the client knows
        self._protocol.send_response(self._protocol.accept(request))
        self._flush()
        self._server.opened(self)

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self.write(data)
            elif self._transport:
                self._transport.close()


class FeedServer(ABC):
    """Serves from `with` to its end. Everything public may be called from any thread.

    A broker overrides `admit`, `understand`, `pack`, and `beat` where it has heartbeats.
    """

    BEAT_EVERY_S = 2.5

    def __init__(
        self, *, beat_every_s: float | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        self.connections: list[Connection] = []  # all that were let in, in order
        self.requests: list[Any] = []  # all that any of them asked, in order
        self.refusals: list[str] = []  # why handshakes were refused
        self.quotes: dict[Any, Quote] = {}  # newest by key: what a subscriber is sent at once
        self.closed_door = False  # then no new socket is let in: HTTP 503
        self.muted = False  # then nothing but answers to pings leaves
        self._beat_s = self.BEAT_EVERY_S if beat_every_s is None else beat_every_s
        self._news, self._serving = threading.Condition(), threading.Event()
        self._numbers = count(1)
        self._loop = asyncio.new_event_loop()
        self._listener = socket.create_server((LOOPBACK, 0))
        self._tls = tls
        self.url = f"{'wss' if tls else 'ws'}://{LOOPBACK}:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._run, name="feed-server", daemon=True)

    def __enter__(self) -> Any:
        self._thread.start()
        assert self._serving.wait(WAIT_S)
        return self

    def __exit__(self, *_failure: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    # -- what a broker says --

    @abstractmethod
    def admit(self, query: dict[str, str], headers: Any) -> Any:
        """The user of a handshake; raises Refusal."""

    @abstractmethod
    def understand(self, connection: Connection, message: bytes) -> None:
        """Carries out one request of a client."""

    @abstractmethod
    def pack(self, connection: Connection, quotes: Sequence[Quote]) -> list[bytes]:
        """The binary messages in which these quotes go to this client, as it subscribed them."""

    def beat(self, connection: Connection) -> None:
        """Sends what keeps this connection alive."""

    # -- what a test does --

    @property
    def open_connections(self) -> list[Connection]:
        """Those that stand now, oldest first."""
        return [connection for connection in self.connections if connection.is_open]

    def send(self, *quotes: Quote) -> None:
        """To each client what it subscribed, in its mode."""
        self._call(lambda: self._send(quotes))

    def send_bytes(self, payload: bytes, *connections: Connection) -> None:
        """One binary message to these clients (all without a name): garbage, or anything else."""
        self._call(lambda: [one.write(frame(payload)) for one in connections or self._standing()])

    def send_raw(self, raw: bytes) -> None:
        """Bytes that need not be frames, to all clients."""
        self._call(lambda: [one.write(raw) for one in self._standing()])

    def say(self, message: Any) -> None:
        """One text message to all clients."""
        self._call(lambda: [one.say(message) for one in self._standing()])

    def drop(self, connection: Connection | None = None, code: int | None = None) -> None:
        """Ends this client's socket (the first that stands): a reset, or a close with a code."""
        one = connection or self._standing()[0]
        self._call(lambda: one.reset() if code is None else one.end(code))

    def play(
        self, connection: Connection, payloads: Sequence[bytes], *, rate_s: float, messages: int
    ) -> Future[None]:
        """Sends so many ready messages, round and round, at `rate_s` (inf: as fast as they are
        read); done when all have left."""
        frames = [frame(payload) for payload in payloads]
        call = self._play(connection, frames, rate_s, messages)
        return asyncio.run_coroutine_threadsafe(call, self._loop)

    def wait_for(self, what: Callable[[], Any], limit_s: float = WAIT_S) -> Any:
        """Waits for something that clients cause; AssertionError when it does not come."""
        with self._news:
            assert self._news.wait_for(what, limit_s), f"not so within {limit_s} s"
        return what()

    # -- what connections tell --

    def now_s(self) -> float:
        """The loop's clock."""
        return self._loop.time()

    def opened(self, _connection: Connection) -> None:
        """A handshake was accepted."""
        with self._news:
            self._news.notify_all()

    def lost(self, _connection: Connection) -> None:
        """A socket ended."""
        with self._news:
            self._news.notify_all()

    def heard(self, connection: Connection, message: bytes) -> None:
        """A client said something."""
        connection.heard_at = self.now_s()
        request: Any = message
        try:
            request = json.loads(message)
        except ValueError:
            request = message
        with self._news:
            connection.requests.append(request)
            self.requests.append(request)
            self.understand(connection, message)
            self._news.notify_all()

    def snapshot(self, connection: Connection, keys: Sequence[Any]) -> None:
        """What newly subscribed instruments stand at."""
        known = [self.quotes[key] for key in keys if key in self.quotes]
        if known and not self.muted:
            connection.write(b"".join(frame(payload) for payload in self.pack(connection, known)))

    def count_of(self, user: Any) -> int:
        """How many sockets this user holds."""
        return sum(connection.user == user for connection in self._standing())

    # -- the loop --

    def key_of(self, quote: Quote) -> Any:
        """What a subscription names this instrument by."""
        return quote.token

    def _standing(self) -> list[Connection]:
        return self.open_connections

    def _send(self, quotes: Sequence[Quote]) -> None:
        for quote in quotes:
            self.quotes[self.key_of(quote)] = quote
        for connection in self._standing() if not self.muted else ():
            messages = self.pack(connection, quotes)
            connection.write(b"".join(frame(payload) for payload in messages))

    async def _play(
        self, connection: Connection, frames: list[bytes], rate_s: float, messages: int
    ) -> None:
        start_s, sent = self.now_s(), 0
        while sent < messages and connection.is_open:
            due = BURST_FRAMES
            if rate_s != float("inf"):
                due = min(due, int((self.now_s() - start_s) * rate_s) - sent)
            due = min(due, messages - sent)
            if due:
                places = range(sent, sent + due)
                connection.write(b"".join([frames[at % len(frames)] for at in places]))
                sent += due
            await asyncio.sleep(0 if due == BURST_FRAMES else 0.001)
            await connection.can_write.wait()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(min(BEAT_S, self._beat_s))
            for connection in self._standing() if not self.muted else ():
                if self.now_s() - connection.beat_at >= self._beat_s:
                    connection.beat_at = self.now_s()
                    self.beat(connection)

    def _call(self, action: Callable[[], Result]) -> Result:
        async def on_the_loop() -> Result:
            return action()

        return asyncio.run_coroutine_threadsafe(on_the_loop(), self._loop).result(WAIT_S)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(
            self._loop.create_server(
                lambda: Connection(self, next(self._numbers)), sock=self._listener, ssl=self._tls
            )
        )
        beating = self._loop.create_task(self._beat())
        self._serving.set()
        self._loop.run_forever()
        beating.cancel()
        for connection in self._standing():
            connection.reset()
        self._listener.close()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()
