"""Protocols: uvicorn's, with the transport handed on, and the sockets they listen on.

REST needs the transport to reset a connection for the test bench. The WebSocket side writes ready
frames to it: one encoding of a tick serves every subscriber, and a burst is one system call.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable, MutableMapping
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.http11 import Request

from domain.errors import ConfigurationFault

LOOPBACK = "127.0.0.1"
PING_INTERVAL_S = PING_TIMEOUT_S = 20.0  # `openalgo.md` 7
KEEP_ALIVE_S = 3600  # longer than any client idles: no request meets a closing connection
WS_MESSAGE_BYTES_MAX = 1_000_000
TRANSPORT = "sandbox.transport"
PROTOCOL = "sandbox.protocol"


class RestProtocol(HttpToolsProtocol):
    """HTTP/1.1; puts its transport into every request's scope."""

    def on_message_begin(self) -> None:
        """As uvicorn's."""
        super().on_message_begin()
        self.scope[TRANSPORT] = self.transport  # type: ignore[literal-required]


class FrameProtocol(WebSocketsSansIOProtocol):
    """WebSocket; puts itself into the connection's scope and tells when writing may go on."""

    when_writable: Callable[[], None] | None = None

    def handle_connect(self, event: Request) -> None:
        """As uvicorn's."""
        super().handle_connect(event)
        if not self.close_sent:
            self.scope[PROTOCOL] = self  # type: ignore[literal-required]

    def resume_writing(self) -> None:
        """As uvicorn's, and wakes the one who waits to write."""
        super().resume_writing()
        if self.when_writable:
            self.when_writable()

    @property
    def can_write(self) -> bool:
        """False while the peer is slow."""
        return self.writable.is_set()


def reset_connection(scope: MutableMapping[str, Any]) -> None:
    """Ends a request's connection with a reset, as a broken network does."""
    abort(scope[TRANSPORT])


def abort(transport: asyncio.Transport) -> None:
    """Closes at once; the peer sees a reset, not an orderly end."""
    raw = transport.get_extra_info("socket")
    if raw is not None and raw.fileno() >= 0:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


def listen(port: int, what: str) -> socket.socket:
    """A listening loopback socket; raises ConfigurationFault naming a port that is taken."""
    # With the protocol named, asyncio sends small answers at once (it sets TCP_NODELAY).
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((LOOPBACK, port))
        listener.listen(128)
    except OSError as refused:
        listener.close()
        raise ConfigurationFault(
            f"port {port} for the {what} cannot be opened: {refused.strerror}. "
            "Another program holds it, perhaps a second start of this one."
        ) from refused
    listener.setblocking(False)
    return listener


class AppServer:
    """One ASGI application on one socket of the running loop."""

    def __init__(self, app: Any, listener: socket.socket, *, websocket: bool = False) -> None:
        self._listener = listener
        self._state = ServerState()
        self._config = uvicorn.Config(
            app,
            http=RestProtocol,
            ws=FrameProtocol if websocket else "none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            ws_max_size=WS_MESSAGE_BYTES_MAX,
            ws_ping_interval=PING_INTERVAL_S,
            ws_ping_timeout=PING_TIMEOUT_S,
            ws_per_message_deflate=False,
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._config.load()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Begins to accept."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, sock=self._listener)

    async def stop(self) -> None:
        """Accepts no more, ends connections, waits for what is being answered."""
        if self._server is not None:
            self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        tasks = list(self._state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _protocol(self) -> asyncio.Protocol:
        return RestProtocol(config=self._config, server_state=self._state, app_state={})
