"""One broker's connection breaker: closed, open, half-open (`design.md` 4, `tomic.md` 8.3)."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from domain.clock import NS_PER_S
from domain.risk.breaker import CLEAR, DENY, KILL, Action, Breaker, Kill, Question, Verdict


@dataclass
class Connection(Breaker):
    """One broker's connection: closed, open after failures, half-open for one probe (`design.md`
    4).

    Open, entries are denied for `cool_down_s`; then one entry may try. Its answer closes the
    breaker or opens it again. `timeouts_to_kill` time-outs in a row are the kill switch (`tomic.md`
    8.3).
    """

    failures: int = field(default=0, init=False)
    timeouts: int = field(default=0, init=False)
    opened_ns: int = field(default=0, init=False)
    probe_ns: int = field(default=0, init=False)
    down: str = field(default="", init=False)
    kill_due: bool = field(default=False, init=False)

    NAME = "CONNECTION"

    def see_answer(self, failure: str, now_ns: int) -> None:
        self.probe_ns = 0
        if not failure:
            self.failures = self.timeouts = self.opened_ns = 0
            return
        self.failures += 1
        self.timeouts = self.timeouts + 1 if failure == "timeout" else 0
        if self.opened_ns or self.failures >= self.limits.failures_to_open:
            self.opened_ns = now_ns
        self.kill_due = self.timeouts >= self.limits.timeouts_to_kill

    def see_connection(self, connected: bool, reason: str, now_ns: int) -> None:
        self.down = "" if connected else reason or "not connected"

    @property
    def condition(self) -> str:
        """closed, open or half-open."""
        if self.opened_ns == 0:
            return "closed"
        return "half-open" if self.probe_ns else "open"

    def fault(self, now_ns: int) -> str:
        if self.down:
            return f"the broker's session is down: {self.down}"
        if not self.opened_ns or self._cooled(now_ns):
            return ""
        if self.timeouts >= self.limits.timeouts_to_kill:
            return f"{self.timeouts} orders in a row were not answered"
        wait_s = self.limits.cool_down_s - (now_ns - self.opened_ns) / NS_PER_S
        return f"{self.failures} orders in a row failed; next try in {math.ceil(wait_s)} s"

    def weigh(self, question: Question, now_ns: int) -> Verdict:
        verdict = super().weigh(question, now_ns)
        if verdict.action == DENY and self.timeouts >= self.limits.timeouts_to_kill:
            return Verdict(KILL, verdict.reason)
        if verdict.action != CLEAR or not self.opened_ns or not question.leg_orders:
            return verdict
        if question.early:
            return Verdict(DENY, "only what is about to leave may try the connection")
        if self.probe_ns and now_ns - self.probe_ns < self.limits.cool_down_s * NS_PER_S:
            return Verdict(DENY, "one order tries the connection; others wait for its answer")
        self.probe_ns = now_ns
        return verdict

    def judge(self, now_ns: int) -> list[Action]:
        actions = super().judge(now_ns)
        if self.kill_due:
            self.kill_due = False
            actions.insert(0, Kill(f"{self.timeouts} orders in a row were not answered"))
        return actions

    def figures(self, now_ns: int) -> dict[str, Any]:
        return {
            "threshold": self.limits.failures_to_open,
            "current": self.failures,
            "condition": self.condition,
        }

    def state(self) -> dict[str, Any]:
        names = ("failures", "timeouts", "opened_ns", "probe_ns", "down", "kill_due")
        return {name: getattr(self, name) for name in names}

    def restore(self, body: dict[str, Any], now_ns: int) -> None:
        for name, value in body.items():
            setattr(self, name, min(value, now_ns) if name.endswith("_ns") else value)

    def _cooled(self, now_ns: int) -> bool:
        return now_ns - self.opened_ns >= self.limits.cool_down_s * NS_PER_S
