"""Shortcut: frames from host to host over local sockets (docs/decisions/0007).

Through the actor runtime a frame costs the better part of a millisecond on each side, here some
tens of microseconds. An address is a path in the run folder, which only this user enters.
"""

from __future__ import annotations

import contextlib
import mmap
import pickle
import select
import socket
from collections import deque
from pathlib import Path
from typing import Any

FRAME_BYTES_MAX = 4_000_000
CONNECTIONS_WAITING_MAX = 256
LOST = (ConnectionRefusedError, ConnectionResetError, BrokenPipeError, FileNotFoundError)


class Shortcut:
    """One host's end: a listening socket, and a connection to each host it speaks to."""

    def __init__(self, run_dir: Path, name: str, life: int) -> None:
        self.address = f"{run_dir}/{name}.{life}"
        self._buffer = mmap.mmap(-1, FRAME_BYTES_MAX)  # takes memory as it is used
        self._listener = _socket()
        self._listener.bind(self.address)
        self._listener.listen(CONNECTIONS_WAITING_MAX)
        # Some seventy connections lead to a host that everybody tells: they are noted once, not at
        # each turn. Not in the kernel (epoll): a child that inherits a descriptor would keep it
        # there after it was closed here.
        self._poll = select.poll()
        self._poll.register(self._listener, select.POLLIN)
        self._others: set[int] = set()
        self._incoming: dict[int, socket.socket] = {}
        self._outgoing: dict[str, socket.socket] = {}
        self._pending: dict[str, deque[bytes]] = {}

    def descriptors(self) -> list[int]:
        """Readable when a frame or a new connection waits."""
        return [self._listener.fileno(), *self._incoming]

    def owns(self, descriptor: int) -> bool:
        """True for one whose frames `take` reads."""
        return descriptor in self._incoming or descriptor == self._listener.fileno()

    def send(self, address: str, frame: Any) -> None:
        """Hands a frame over; never blocks. What a dead host does not take is dropped."""
        data = pickle.dumps((self.address, frame), protocol=pickle.HIGHEST_PROTOCOL)
        if len(data) > FRAME_BYTES_MAX:
            raise ValueError(f"a frame of {len(data)} bytes is too large")
        self._pending.setdefault(address, deque()).append(data)
        self.push()

    def push(self) -> bool:
        """Sends what waits; True when some must go on waiting for a busy host."""
        for address, waiting in list(self._pending.items()):
            try:
                while waiting:
                    self._connection(address).send(waiting[0])
                    waiting.popleft()
            except BlockingIOError:
                continue
            except LOST:
                self._hang_up(address)
            del self._pending[address]
        return bool(self._pending)

    def take(self, descriptor: int) -> list[tuple[Any, str]]:
        """Frames that wait behind a readable descriptor, each with its sender's address."""
        if descriptor == self._listener.fileno():
            with contextlib.suppress(BlockingIOError):  # the word of it was old: it is taken
                connection, _ = self._listener.accept()
                connection.setblocking(False)
                self._incoming[connection.fileno()] = connection
                self._poll.register(connection, select.POLLIN)
                self._others.discard(connection.fileno())  # of one that was closed
            return []
        frames: list[tuple[Any, str]] = []
        if descriptor not in self._incoming:
            return frames
        connection = self._incoming[descriptor]
        with contextlib.suppress(BlockingIOError):  # all is taken
            while size := connection.recv_into(self._buffer):
                sender, frame = pickle.loads(self._buffer[:size])  # noqa: S301 - our own folder
                frames.append((frame, sender))
            del self._incoming[descriptor]
            self._poll.unregister(connection)
            connection.close()
        return frames

    def wait(self, others: list[int], timeout_s: float | None) -> list[int]:
        """Readable ones of our descriptors and `others`, after at most that time (None: without
        limit); earlier and none when a busy host has room again."""
        self._watch(set(others))
        busy = [self._outgoing[name] for name in self._pending if name in self._outgoing]
        for connection in busy:
            self._poll.register(connection, select.POLLOUT)
        events = self._poll.poll(None if timeout_s is None else timeout_s * 1_000)
        for connection in busy:
            self._poll.unregister(connection)
        return [descriptor for descriptor, event in events if not event & select.POLLOUT]

    def _watch(self, others: set[int]) -> None:
        for descriptor in self._others - others:
            self._poll.unregister(descriptor)
        for descriptor in others - self._others:
            self._poll.register(descriptor, select.POLLIN)
        self._others = others

    def _connection(self, address: str) -> socket.socket:
        if address not in self._outgoing:
            made = _socket()
            made.connect(address)
            self._outgoing[address] = made
        return self._outgoing[address]

    def _hang_up(self, address: str) -> None:
        connection = self._outgoing.pop(address, None)
        if connection is not None:
            connection.close()


def _socket() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made.setblocking(False)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, FRAME_BYTES_MAX)
    return made
