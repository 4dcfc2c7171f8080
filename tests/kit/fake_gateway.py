"""A gateway without a runtime: parts as the test sets them, answers as the test scripts them."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Any

from persistence.database import JournalBase, MainBase, MarketBase, open_engine
from tests.kit.recording_context import make_runtime
from web_status.app import make_app
from web_status.gateway import Answer, Part

NS_PER_S = 1_000_000_000
API_KEY = "k" * 40


class FakeGateway:
    """Implements web_status.gateway.Gateway. `answers` maps an action to its answer; None =
    silence.
    """

    def __init__(self) -> None:
        self.started_ns = 0
        self.asked: list[tuple[str, dict[str, Any], str]] = []
        self.answers: dict[str, Answer | None] = {}
        self.clock_ns = 100 * NS_PER_S
        self._parts: dict[str, Part] = {}
        self._tree: Part | None = None

    def ask(self, action: str, body: dict[str, Any], by: str) -> Future[Answer]:
        self.asked.append((action, body, by))
        future: Future[Answer] = Future()
        answer = self.answers.get(action, Answer(200, {"status": "success", "message": "done"}))
        if answer is not None:
            future.set_result(answer)
        return future

    def report(
        self,
        name: str,
        body: dict[str, Any],
        age_s: float = 0.0,
        *,
        bus: dict[str, Any] | None = None,
    ) -> None:
        self._parts[name] = Part(body, self.clock_ns - round(age_s * NS_PER_S), bus or {})

    def report_tree(self, tree: dict[str, Any]) -> None:
        self._tree = Part(tree, self.clock_ns)

    def parts(self) -> dict[str, Part]:
        return dict(self._parts)

    def tree(self) -> Part | None:
        return self._tree

    def alerts(self) -> list[dict[str, Any]]:
        return []

    def now_ns(self) -> int:
        return self.clock_ns

    def monotonic_ns(self) -> int:
        return self.clock_ns


def make_test_app(folder: Path, gateway: FakeGateway) -> Any:
    """The real app on a fake gateway and empty databases in `folder`."""
    runtime = make_runtime(folder, keys={"http": API_KEY})
    MainBase.metadata.create_all(open_engine(runtime.database_url))
    JournalBase.metadata.create_all(open_engine(runtime.journal_url))
    MarketBase.metadata.create_all(open_engine(runtime.market_url))
    return make_app(gateway, runtime)


def node(name: str, *children: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """One node of a reported tree."""
    plain = {
        "name": name, "actor": "", "strategy": "one_for_one" if children else "",
        "state": "running", "pid": 7, "node": "here", "restarts": 0, "last_restart_reason": "",
        "uptime_s": 5.0, "mailbox": 0, "mailbox_high": 3, "handled": 11, "dead_letters": 0,
        "mail_refused": 0, "busy_pct": 0.5,
        "rss_mb": 30.0, "last_heartbeat_age_s": 1.0, "effect_if_down": "",
        "children": list(children),
    }  # fmt: skip
    return plain | changes
