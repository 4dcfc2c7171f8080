"""status_board: the status actor. Keeps the newest part of every actor and serves HTTP from it.

Hears HealthReported, TreeReported, TradingModeChanged and DeskAnswered; tells control_desk what
people ask. A new life announces ReportsWanted. The web server runs in a thread of this process and
reaches the actor through a socket pair the loop watches.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections import deque
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

from actors.actor import Actor
from messages.control import DeskAnswered, DeskRequest
from messages.lifecycle import AlertRaised, HealthReported, ReportsWanted, TreeReported
from messages.trading import TradingModeChanged
from web_status.app import WebServer
from web_status.gateway import Answer, Part

DESK = "control_desk"
ALERTS_KEPT = 200


class StatusBoard(Actor):
    """Parts in, pages out. Implements web_status.gateway.Gateway for the server thread."""

    STEPPED = False

    def start(self) -> None:
        runtime = self.context.runtime
        self._parts: dict[str, Part] = {}
        self._tree: Part | None = None
        self._killed = False
        self._pausing = {node.name for node in runtime.tree.walk() if node.pause_on_kill}
        self._alerts: deque[dict[str, Any]] = deque(maxlen=ALERTS_KEPT)
        self._futures: dict[str, Future[Answer]] = {}
        self._asked: deque[DeskRequest] = deque()
        self._count = itertools.count(1)
        self._lock = threading.Lock()
        self._inner, self._outer = socket.socketpair()
        self._inner.setblocking(False)
        self.context.watch(self._inner.fileno(), self._forward)
        self.started_ns = self.context.monotonic_ns()
        self._server = WebServer(self, runtime)
        self._server.start()
        if self.context.life > 1:
            self.context.announce(ReportsWanted())

    def stop(self) -> None:
        self._server.stop()

    # -- on the actor's thread --

    def on_health_reported(self, message: HealthReported) -> None:
        with self._lock:
            self._parts[message.name] = Part(message.body, self.context.monotonic_ns(), message.bus)

    def on_tree_reported(self, message: TreeReported) -> None:
        with self._lock:
            self._tree = Part(message.tree, self.context.monotonic_ns())

    def on_trading_mode_changed(self, message: TradingModeChanged) -> None:
        with self._lock:
            self._killed = message.killed

    def on_alert_raised(self, message: AlertRaised) -> None:
        with self._lock:
            self._alerts.append(
                {"level": message.level, "text": message.text, "at_ns": message.at_ns}
            )

    def on_desk_answered(self, message: DeskAnswered) -> None:
        with self._lock:
            future = self._futures.pop(message.request, None)
        if future is not None:
            future.set_result(Answer(message.http_status, message.body))

    def _forward(self) -> None:
        try:
            while self._inner.recv(4096):
                pass
        except BlockingIOError:
            pass  # drained: the descriptor is edge-triggered
        while self._asked:
            self.context.tell(DESK, self._asked.popleft())

    # -- on the server's threads (web_status.gateway.Gateway) --

    def ask(self, action: str, body: dict[str, Any], by: str) -> Future[Answer]:
        request = f"{self.context.life}:{next(self._count)}"
        future: Future[Answer] = Future()
        with self._lock:
            self._futures[request] = future
        self._asked.append(DeskRequest(request=request, action=action, body=body, by=by))
        self._outer.send(b"\0")
        return future

    def parts(self) -> dict[str, Part]:
        with self._lock:
            return dict(self._parts)

    def tree(self) -> Part | None:
        with self._lock:
            told, killed = self._tree, self._killed
        if told is None or not killed:
            return told
        return replace(told, body=_paused(told.body, self._pausing))

    def alerts(self) -> list[dict[str, Any]]:
        with self._lock:
            return list(self._alerts)

    def now_ns(self) -> int:
        return self.context.now_ns()

    def monotonic_ns(self) -> int:
        return self.context.monotonic_ns()


def _paused(node: Mapping[str, Any], pausing: Collection[str]) -> dict[str, Any]:
    """The tree while the kill switch is set: who runs and is told to pause then does nothing."""
    pauses = node["name"] in pausing and node["state"] == "running"
    children = [_paused(child, pausing) for child in node["children"]]
    return {**node, "state": "paused" if pauses else node["state"], "children": children}
