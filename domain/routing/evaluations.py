"""What risk said of signals: counters, and the newest evaluations (`tomic.md` 6.5, 7.1, 13.4)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from domain.clock import iso_utc, seconds
from domain.intents import SizingStep

EVALUATIONS_KEPT = 200
EVALUATIONS_SHOWN = 20
COUNTERS = (
    "evaluated", "blocked_regime", "blocked_position", "invalid_signal", "rejected_sizing",
    "enqueued", "duplicate", "blocked_freshness", "blocked_breaker",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One word of risk on one signal; `reason` is for people."""

    at_ns: int
    instrument: str
    strategy: str
    direction: str
    result: str
    reason: str
    regime_phase: str
    regime_vix: float
    units: int = 0
    lots: int = 0
    sizing: tuple[SizingStep, ...] = ()
    free_margin_share: float | None = None
    positions: int = 0
    correlation_id: str = ""


class EvaluationLog:
    """Counters of risk's answers, and the newest of them.

    An equal refusal within one cool-down is counted, but not listed again.
    """

    def __init__(self, cooldown_s: float) -> None:
        self._cooldown_ns = seconds(cooldown_s)
        self._listed_ns: dict[tuple[str, str, str, str], int] = {}
        self.counters: dict[str, int] = dict.fromkeys(COUNTERS, 0)
        self.newest: deque[Evaluation] = deque(maxlen=EVALUATIONS_KEPT)

    def add(self, evaluation: Evaluation) -> None:
        """Counts it, and lists it unless the same was listed just now."""
        self.counters["evaluated"] += 1
        self.counters[evaluation.result] = self.counters.get(evaluation.result, 0) + 1
        same = (evaluation.instrument, evaluation.strategy, evaluation.direction, evaluation.reason)
        is_repeat = (
            evaluation.at_ns - self._listed_ns.get(same, -self._cooldown_ns) < self._cooldown_ns
        )
        if evaluation.result != "enqueued" and is_repeat:
            return
        self._listed_ns = {
            key: at_ns
            for key, at_ns in self._listed_ns.items()
            if evaluation.at_ns - at_ns < self._cooldown_ns
        } | {same: evaluation.at_ns}
        self.newest.appendleft(evaluation)

    def rows(self) -> list[dict[str, Any]]:
        """The newest evaluations, JSON-ready, under the names of 13.4."""
        return [_evaluation_row(row) for row in list(self.newest)[:EVALUATIONS_SHOWN]]


def _evaluation_row(row: Evaluation) -> dict[str, Any]:
    return {
        "at": iso_utc(row.at_ns),
        "instrument": row.instrument,
        "strategy_type": row.strategy,
        "direction": row.direction,
        "regime_phase": row.regime_phase,
        "regime_vix": row.regime_vix,
        "result": row.result,
        "reason": row.reason,
        "final_units": row.units,
        "final_lots": row.lots,
        "sizing_chain": [
            {
                "step": step.step,
                "name": step.name,
                "input": step.input,
                "output": step.output,
                "reason": step.reason,
            }
            for step in row.sizing
        ],
        "free_margin_pct": None
        if row.free_margin_share is None
        else round(100 * row.free_margin_share, 2),
        "total_positions": row.positions,
        "correlation_id": row.correlation_id,
    }
