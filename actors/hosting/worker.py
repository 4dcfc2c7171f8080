"""Worker: one thread for what blocks. It never touches the actor: results come back through a
socket pair."""

from __future__ import annotations

import queue
import socket
import threading
from collections.abc import Callable
from typing import Any

Call = Callable[[], Any]
Done = Callable[[Any], None]


class Worker:
    """Runs calls in order; `descriptor` is readable when `collect` has results."""

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[tuple[Call, Done]] = queue.SimpleQueue()
        self._results: queue.SimpleQueue[tuple[Done, Any]] = queue.SimpleQueue()
        self._near, self._far = socket.socketpair()
        self._near.setblocking(False)
        self.descriptor = self._near.fileno()
        threading.Thread(target=self._run, name=f"{name}-work", daemon=True).start()

    def submit(self, call: Call, done: Done) -> None:
        """Queues a call."""
        self._calls.put((call, done))

    def collect(self) -> list[tuple[Done, Any]]:
        """What is finished, in order."""
        try:
            while self._near.recv(4096):
                pass
        except BlockingIOError:
            pass  # the pair is empty: everything that was told is in the queue
        finished = []
        while not self._results.empty():
            finished.append(self._results.get())
        return finished

    def _run(self) -> None:
        while True:
            call, done = self._calls.get()
            self._results.put((done, outcome(call)))
            self._far.send(b".")


def outcome(call: Call) -> Any:
    """What `call` gave, or the exception it raised."""
    try:
        return call()
    except Exception as failure:
        return failure
