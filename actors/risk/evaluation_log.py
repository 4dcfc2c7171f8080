"""Risk's own log: a ring of the newest evaluations and the counters of `tomic.md` 7.1.

A row follows its order: what the gate said of it, and how it ended, stands there too, so that no
refusal is without its code. An equal refusal is listed once a cool-down, and counted each time.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from domain.clock import iso_utc, seconds
from domain.intents import Refusal, Signal, SizingStep
from domain.readings import MarginState, Regime

KEPT = 200
SHOWN = 20
COUNTERS = (
    "evaluated", "blocked_regime", "blocked_position", "invalid_signal", "rejected_sizing",
    "enqueued", "duplicate", "blocked_freshness", "blocked_breaker",
)  # fmt: skip
ENQUEUED, INVALID, BREAKER = "enqueued", "invalid_signal", "blocked_breaker"
KILLED = "KILLED"
Row = dict[str, Any]


class EvaluationLog:
    """Newest first; rows JSON-ready under the names of `tomic.md` 13.4."""

    def __init__(self, cooldown_s: float) -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._cooldown_ns = seconds(cooldown_s)
        self._listed_ns: dict[tuple[str, ...], int] = {}
        self._rows: deque[Row] = deque(maxlen=KEPT)

    def add(
        self,
        signal: Signal,
        outcome: tuple[str, str, str],
        *,
        at_ns: int,
        regime: Regime,
        margin: MarginState | None,
        positions: int,
        steps: tuple[SizingStep, ...] = (),
        units: int = 0,
        lots: int = 0,
    ) -> Row:
        """Counts and keeps one evaluation; `outcome` is (counter, code, sentence)."""
        result, code, reason = outcome
        self.counters["evaluated"] += 1
        self.counters[result] += 1
        row = {
            "at": iso_utc(at_ns),
            "correlation_id": signal.correlation_id,
            "command_id": 0,
            "instrument": signal.instrument,
            "strategy_type": signal.strategy.value,
            "direction": signal.direction,
            "regime_phase": regime.phase.value,
            "regime_vix": regime.vix,
            "result": result,
            "code": code,
            "reason": reason,
            "final_units": units,
            "final_lots": lots,
            "sizing_chain": [_step(step) for step in steps],
            "free_margin_pct": None if margin is None else round(100 * margin.free_share, 2),
            "total_positions": positions,
        }
        same = (signal.instrument, signal.strategy.value, signal.direction, code)
        if result == ENQUEUED or not self._was_listed(same, at_ns):
            self._rows.appendleft(row)
        return row

    def recorded(self, correlation_id: str, command_id: int, duplicate: bool) -> None:
        """Execution has its row; from here the gate and execution speak of `command_id`."""
        self.counters["duplicate"] += duplicate
        for row in self._enqueued("correlation_id", correlation_id):
            row["command_id"] = command_id

    def not_recorded(self, correlation_id: str, refusal: Refusal) -> None:
        """Execution took no order of it."""
        for row in self._enqueued("correlation_id", correlation_id):
            self._settle(row, INVALID, refusal)

    def denied(self, command_id: int, refusal: Refusal, retry_after_s: float) -> None:
        """The gate said no, or with `retry_after_s` not yet."""
        for row in self._enqueued("command_id", command_id):
            if retry_after_s > 0:
                row |= {"code": refusal.code, "reason": f"it waits: {refusal.text}"}
            else:
                self._settle(row, BREAKER, refusal)

    def ended(self, command_id: int, status: str, refusal: Refusal | None) -> None:
        """Its command is over."""
        for row in self._enqueued("command_id", command_id):
            if refusal is None:
                row |= {"code": "", "reason": "its order is done"}
            elif refusal.code == KILLED:
                self._settle(row, BREAKER, refusal)
            else:
                text = f"its order ended {status.lower()}: {refusal.text}"
                row |= {"code": refusal.code, "reason": text}

    def body(self, pending: int) -> Row:
        """The risk part of the quality snapshot."""
        recent = [dict(self._rows[number]) for number in range(min(SHOWN, len(self._rows)))]
        return {
            "pending_signals": pending,
            "counters": dict(self.counters),
            "recent_evaluations": recent,
        }

    def _enqueued(self, key: str, value: Any) -> list[Row]:
        return [row for row in self._rows if row["result"] == ENQUEUED and row[key] == value]

    def _settle(self, row: Row, result: str, refusal: Refusal) -> None:
        """What counted as enqueued counts as this."""
        self.counters[ENQUEUED] -= 1
        self.counters[result] += 1
        row |= {"result": result, "code": refusal.code, "reason": refusal.text}

    def _was_listed(self, same: tuple[str, ...], at_ns: int) -> bool:
        recent = {
            key: listed_ns
            for key, listed_ns in self._listed_ns.items()
            if at_ns - listed_ns < self._cooldown_ns
        }
        self._listed_ns = recent if same in recent else recent | {same: at_ns}
        return same in recent


def _step(step: SizingStep) -> dict[str, Any]:
    return {
        "step": step.step,
        "name": step.name,
        "input": step.input,
        "output": step.output,
        "reason": step.reason,
    }
