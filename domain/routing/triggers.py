"""When a plan becomes a signal, and when a jump of volatility makes plans anew (`tomic.md` 12.3).

The four entry modes: `morning_plan` and `event_driven` begin here, `continuous` with the agents
that scan, `expiry_gamma` with the expiry specialist. Times are epoch ns.
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.clock import exchange_time, seconds
from domain.intents import STRATEGY_TRAITS, DailyPlan, Refusal, Signal

SOURCE = "PLAN"
REPEAT_NS = seconds(900.0)  # an unfilled plan is tried again
JUMP_SHARE, JUMP_WINDOW_NS = 0.15, seconds(1_800.0)
TOLERANCE = 1e-9
# Holds of the loop that pass by themselves: a plan they held has not been tried.
_PASSING = (
    "STOPPED", "NOT_CONTROL_INSTANCE", "KILLED", "OPENING_BLOCK", "START_GRACE", "NO_LIVE_TICK",
    "MARKET_CLOSED", "AWAITING_RISK", "COOLDOWN",
)  # fmt: skip

Trail = tuple[tuple[int, float], ...]


def with_vix(trail: Trail, at_ns: int, vix: float) -> Trail:
    """The trail of (time, VIX) with one more; what is older than the window goes, but for the
    newest of it, which is the value of half an hour ago.
    """
    if not vix > 0:
        return trail
    rows = [*trail, (at_ns, vix)]
    old = [index for index, (when, _) in enumerate(rows) if at_ns - when >= JUMP_WINDOW_NS]
    return tuple(rows[old[-1] :] if old else rows)


def vix_jump(trail: Trail) -> str:
    """A sentence when VIX moved 15 % against half an hour ago; empty while it did not, or while
    half an hour is not known.
    """
    if not trail or trail[-1][0] - trail[0][0] < JUMP_WINDOW_NS:
        return ""
    before, now = trail[0][1], trail[-1][1]
    change = now / before - 1
    if abs(change) < JUMP_SHARE - TOLERANCE:
        return ""
    word = "rose" if change > 0 else "fell"
    return f"VIX {word} {abs(change):.0%} in half an hour, from {before:.1f} to {now:.1f}"


def plan_hold(plan: DailyPlan, sent_ns: int, now_ns: int) -> Refusal | None:
    """Why this active plan is no signal now; `sent_ns` is when it last was one, 0 for never."""
    name = plan.instrument
    if now_ns >= plan.valid_until_ns:
        return Refusal("PLAN_EXPIRED", f"{name}: the hour of its plan is over")
    if sent_ns and now_ns - sent_ns < REPEAT_NS:
        again = exchange_time(sent_ns + REPEAT_NS)
        text = f"{name}: its plan was tried; it is tried again at {again:%H:%M}"
        return Refusal("PLAN_TRIED", text)
    return None


def has_passed(code: str) -> bool:
    """True for a hold after which a plan may be tried again at once."""
    return code in _PASSING or code.startswith("MODE_")


def plan_signals(
    plans: Sequence[DailyPlan], now_ns: int, *, regime_version: int, valid_s: float
) -> tuple[Signal, ...]:
    """The signals of plans that are due."""
    return tuple(
        Signal(
            correlation_id=f"{SOURCE}:{plan.plan_id}:{now_ns}",
            source=SOURCE,
            instrument=plan.instrument,
            strategy=plan.strategy,
            direction=STRATEGY_TRAITS[plan.strategy].direction,
            bias=STRATEGY_TRAITS[plan.strategy].bias,
            legs=plan.legs,
            strength=plan.strength,
            reason=plan.rationale,
            expiry=plan.expiry,
            entry_mode=plan.entry_mode,
            lots_max=plan.lots,
            valid_until_ns=min(now_ns + seconds(valid_s), plan.valid_until_ns),
            regime_version=regime_version,
            extras={
                "plan_id": plan.plan_id,
                "vix_at_signal": f"{plan.vix_at_plan:.2f}",
                "pcr_at_entry": f"{plan.pcr_at_plan:.4f}",
            },
        )
        for plan in plans
    )
