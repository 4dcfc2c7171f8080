"""Risk's own log of evaluations: a ring of the newest and the counters of `tomic.md` 7.1."""

from __future__ import annotations

from collections import deque
from typing import Any

from domain.clock import iso_utc
from domain.intents import Signal, SizingStep
from domain.readings import MarginState, Regime

KEPT = 200
SHOWN = 20
COUNTERS = (
    "evaluated", "blocked_regime", "blocked_position", "invalid_signal", "rejected_sizing",
    "enqueued", "duplicate", "blocked_freshness", "blocked_breaker",
)  # fmt: skip


class EvaluationLog:
    """Newest first; rows JSON-ready under the names of `tomic.md` 13.4."""

    def __init__(self) -> None:
        self.counters = dict.fromkeys(COUNTERS, 0)
        self._rows: deque[dict[str, Any]] = deque(maxlen=KEPT)

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
    ) -> dict[str, Any]:
        """Counts and keeps one evaluation; `outcome` is (counter, code, sentence)."""
        result, code, reason = outcome
        self.counters["evaluated"] += 1
        self.counters[result] += 1
        row = {
            "at": iso_utc(at_ns),
            "correlation_id": signal.correlation_id,
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
        self._rows.appendleft(row)
        return row

    def body(self, pending: int) -> dict[str, Any]:
        """The risk part of the quality snapshot."""
        recent = [self._rows[number] for number in range(min(SHOWN, len(self._rows)))]
        return {
            "pending_signals": pending,
            "counters": dict(self.counters),
            "recent_evaluations": recent,
        }


def _step(step: SizingStep) -> dict[str, Any]:
    return {
        "step": step.step,
        "name": step.name,
        "input": step.input,
        "output": step.output,
        "reason": step.reason,
    }
