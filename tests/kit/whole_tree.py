"""The default tree, every node of topology.yaml, with crash points on its order's way.

Nothing stands in for anybody: a signal is posted as a person posts it, and the market, the agents
and the sandbox exchange of the tree make an order of it, or refuse it. The exchange's books outlive
its process, as a broker's do.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import shutil
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from domain.intents import StrategyType
from launch.processes import end_session
from tests.kit.crashing_actors import IN_PLACE_OF
from tests.kit.kill_cases import EVERYTHING, GROUP, WHOLE, tree_of, victims_of
from tests.kit.pressure import Deadline
from tests.kit.running_tree import session_of
from tests.kit.trading_system import BETWEEN_SIGNALS_S, TradingSystem, condor

# Restarts are not held back and orders not counted: a matrix makes in a minute what a year makes.
ROOM = {
    "max_restarts: 3": "max_restarts: 200",
    "backoff_s: [0, 10]": "backoff_s: [0, 0.1]",
    "rule: order_rate}": "rule: order_rate, orders_max: 1000}",
}
QUIET = {"TOMIC_SIGNAL_LOOP_ENABLED": "false", "TOMIC_STARTUP_ENQUEUE_GRACE_S": "0"}
SIGNALS_MAX, SIGNAL_WITHIN_S, LOOK_EVERY_S = 6, 60.0, 0.1
REFUSED = "refused"
HTTP_TAKEN, HTTP_WRONG = 202, 400
AWAY = (OSError, http.client.HTTPException, json.JSONDecodeError, psutil.Error)


def crashing_topology() -> dict[str, str]:
    """What is another in topology.yaml: room for a matrix, and crash points in the order's way."""
    changes = dict(ROOM)
    for path, kind in IN_PLACE_OF.items():
        if path.startswith("actors."):
            changes[f"actor: {path}, "] = f"actor: {kind.__module__}.{kind.__name__}, "
    return changes


class WholeTree(TradingSystem):
    """One launcher, one data folder, 71 nodes."""

    NAMES = frozenset(victims_of(tree_of(WHOLE))) - {EVERYTHING}
    ENTERS_WITHIN_S = 30.0
    MAY_REST = True  # a short may find no buyer for minutes; the close ends that
    ENTRIES_MAX = 3  # until the step of a case was reached

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, QUIET, crashing_topology())
        self.data_dir = folder / "var"
        self._posted = ""

    # -- life --

    def revive(self) -> None:
        """A launcher that was killed is started again, as a person would."""
        if self.process is not None and self.process.poll() is not None:
            self.start()

    def end(self) -> None:
        """Nothing of it lives on, nor its folder."""
        if self.process is not None and self.process.poll() is None:
            try:
                self.stop()
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        session = session_of(self.data_dir)
        if session:
            end_session(session)
        shutil.rmtree(self.folder, ignore_errors=True)

    # -- processes --

    def pids(self) -> dict[str, int]:
        """Living processes by name, with admin, logger and launcher; none while the pages are
        away."""
        assert self.process is not None
        try:
            nodes = self.nodes()
            found = {
                name: int(row["pid"])
                for name, row in nodes.items()
                if row["state"] == "running" and self._is(name, int(row["pid"]))
            }
            admin = psutil.Process(found["root"]).parent()
            assert admin is not None
            others = [child.pid for child in admin.children() if child.pid != found["root"]]
        except (*AWAY, KeyError):
            return {}
        found |= {
            "launcher": self.process.pid,
            "admin": admin.pid,
            GROUP: -session_of(self.data_dir),
        }
        if others:
            found["logger"] = others[0]
        return found

    @staticmethod
    def _is(name: str, pid: int) -> bool:
        path = Path(f"/proc/{pid}/comm")
        return path.exists() and path.read_text().strip() == name[:15]

    # -- an entry --

    def propose(self, _number: int, strategy: StrategyType, _lots: int, _fence: int) -> str:
        """Posts signals until one became a command; its strategy id, "" when all were refused."""
        for _ in range(SIGNALS_MAX):
            self._posted = self._post_signal(strategy)
            strategy_id = self._until(self._fate)
            if strategy_id != REFUSED:
                return str(strategy_id)
            threading.Event().wait(BETWEEN_SIGNALS_S)
        return ""

    def close(self, strategy_id: str, _number: int) -> None:
        """Asks for its close, as a person does, until somebody takes the request."""
        path = f"/tomic/positions/{strategy_id}/close"
        self._until(lambda: self.post(path, {"reason": "matrix"})[0] in (202, 404))

    def answer(self, _strategy_id: str) -> str | None:
        """What became of the last signal, None while nobody said."""
        rows = self.rows("SELECT result FROM injections WHERE correlation_id = ?", self._posted)
        return rows[0]["result"] if rows else None

    def ask(self, endpoint: str, **body: Any) -> Any:
        """A read of the broker; OSError while it cannot be read."""
        try:
            return self.broker(endpoint, **body)
        except AssertionError as refusal:
            raise OSError(f"{endpoint}: {refusal}") from None

    def _post_signal(self, strategy: StrategyType) -> str:
        """Its correlation id; the key makes one signal of what is posted twice."""
        if strategy is not StrategyType.IRON_CONDOR:
            raise ValueError(f"the market of the sandbox is no place for a {strategy}")
        body = condor(idempotency_key=secrets.token_hex(8))

        def posted() -> str:
            status, answer = self.post("/tomic/signals", body)
            if status == HTTP_WRONG:
                raise ValueError(f"the signal is wrong: {answer}")
            return str(answer["correlation_id"]) if status == HTTP_TAKEN else ""

        return str(self._until(posted))

    def _fate(self) -> str:
        """The strategy id that the last signal got, or that it was refused; "" before that."""
        query = "SELECT strategy_id FROM commands WHERE correlation_id = ?"
        rows = self.rows(query, self._posted)
        if rows:
            return str(rows[0]["strategy_id"])
        return REFUSED if self.answer("") else ""

    def _until(self, fact: Callable[[], Any]) -> Any:
        """What `fact()` gives once it is true; nothing after a minute that was really there."""
        deadline = Deadline(SIGNAL_WITHIN_S)
        while not deadline.is_over():
            self.revive()
            with contextlib.suppress(*AWAY, sqlite3.OperationalError):
                found = fact()
                if found:
                    return found
            threading.Event().wait(LOOK_EVERY_S)
        return ""
