"""The day's plans (`tomic.md` 12.2): which premium to sell on which index today, and until when.

`make_plan` gives a plan or the reason why there is none; `end_of` says when one is over;
`reentry_hold` whether another may follow it. Times are epoch ns, money rupees.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from domain.clock import NS_PER_S, exchange_time, seconds
from domain.instruments import format_expiry
from domain.intents import DailyPlan, Refusal, ResolvedStructure, StrategyType
from domain.readings import (
    MarketContext,
    PcrBias,
    Phase,
    Regime,
    UnderlyingContext,
    VixFlag,
    VixRegime,
)
from domain.signals.legs import plan_legs

MORNING, EVENT = "morning_plan", "event_driven"
DELTAS = {
    VixRegime.NORMAL: (0.25, 0.10),
    VixRegime.ELEVATED: (0.30, 0.12),
    VixRegime.HIGH: (0.20, 0.08),
}
_BY_PHASE = {
    Phase.BULLISH: StrategyType.BULL_PUT_SPREAD,
    Phase.BEARISH: StrategyType.BEAR_CALL_SPREAD,
    Phase.CONGESTION: StrategyType.IRON_CONDOR,
}
_AGAINST = {
    StrategyType.BULL_PUT_SPREAD: Phase.BEARISH,
    StrategyType.BEAR_CALL_SPREAD: Phase.BULLISH,
}
RICH_VIX = 18.0
WALL_DISTANCE = 0.03
STRENGTH_MAX = 100.0


@dataclass(frozen=True, slots=True)
class PlanRules:
    """The user's and the specification's limits. `short_delta_max` caps the table's short delta,
    which would bring strikes closer just as volatility rises. The window is told by the session:
    from so long after its open to so long before its intraday exit (9:45 to 14:00 of a usual one).
    """

    after_open_s: float = 1_800.0
    before_exit_s: float = 3_600.0
    lots: int = 1
    short_delta_max: float = 0.25
    context_age_max_s: float = 300.0
    reentries_max: int = 2
    reentry_left_s: float = 3_600.0
    margin_share_max: float = 0.85


@dataclass(frozen=True, slots=True)
class PlanView:
    """All that a plan is made of, at one moment; the window is when plans may be made."""

    context: MarketContext | None
    regime: Regime
    now_ns: int
    day: date
    from_ns: int
    until_ns: int
    event: str = ""  # the listed event within a session, in words; risk halves the size by it


def plan_window(
    rules: PlanRules, *, opens_ns: int, intraday_exit_ns: int, closes_ns: int, always_open: bool
) -> tuple[int, int]:
    """From when and until when plans of that session stand; a session that never closes is one
    window.
    """
    if always_open:
        return opens_ns, closes_ns
    last_ns = intraday_exit_ns - seconds(rules.before_exit_s)
    return opens_ns + seconds(rules.after_open_s), min(last_ns, closes_ns)


def make_plan(
    instrument: str,
    view: PlanView,
    rules: PlanRules,
    *,
    number: int,
    entry_mode: str = MORNING,
    reentry_count: int = 0,
) -> DailyPlan | Refusal:
    """The plan of this instrument now, its contracts still to be found, or why there is none."""
    blocked = _blocked(instrument, view, rules)
    if blocked:
        return blocked
    context = view.context
    assert context is not None  # _blocked has said so
    row = context.of(instrument) or UnderlyingContext(instrument, 0.0)
    strategy, why = choose_strategy(context.vix_regime, row.pcr_bias, view.regime.phase)
    short_delta, wing_delta = DELTAS[context.vix_regime]
    short_delta = min(short_delta, rules.short_delta_max)
    rationale = f"{why}; VIX {context.vix:.1f}, put/call {row.put_call_ratio:.2f}"
    if view.event:
        rationale += f"; half size: {view.event}"
    return DailyPlan(
        plan_id=f"{instrument}:{view.day}:{number}",
        day=view.day,
        instrument=instrument,
        strategy=strategy,
        entry_mode=entry_mode,
        vix_at_plan=context.vix,
        vix_regime=context.vix_regime,
        regime_at_plan=view.regime.phase.value,
        pcr_at_plan=row.put_call_ratio,
        short_delta=short_delta,
        wing_delta=wing_delta,
        legs=plan_legs(strategy, short_delta, wing_delta),
        lots=rules.lots,
        strength=strength_of(context.vix, view.regime.phase, row, reentry_count),
        rationale=rationale,
        made_ns=view.now_ns,
        valid_until_ns=view.until_ns,
        reentry_count=reentry_count,
    )


def choose_strategy(band: VixRegime, bias: PcrBias, phase: Phase) -> tuple[StrategyType, str]:
    """What to sell and why; for the bands and phases in which anything is sold."""
    if band is VixRegime.HIGH:
        return StrategyType.IRON_CONDOR, "VIX is high: a condor only, at half size"
    if bias is PcrBias.BULLISH and phase is not Phase.BEARISH:
        return StrategyType.BULL_PUT_SPREAD, "many puts are sold: put spread"
    if bias is PcrBias.BEARISH and phase is not Phase.BULLISH:
        return StrategyType.BEAR_CALL_SPREAD, "many calls are sold: call spread"
    return _BY_PHASE[phase], f"the market is in {phase.lower()}"


def strength_of(vix: float, phase: Phase, row: UnderlyingContext, reentry_count: int) -> float:
    """0-100 (`tomic.md` 12.3): rich premium, congestion, a first entry and far walls add to 50."""
    strength = 50.0 + 10.0 * (vix >= RICH_VIX) + 10.0 * (phase is Phase.CONGESTION)
    strength += 5.0 * (reentry_count == 0)
    if row.price > 0:
        below, above = 1 - row.put_wall / row.price, row.call_wall / row.price - 1
        if below >= WALL_DISTANCE and above >= WALL_DISTANCE:
            strength += 8.0
        elif below == below or above == above:  # NaN is no wall
            strength += 3.0
    return min(strength, STRENGTH_MAX)


def with_contracts(plan: DailyPlan, structure: ResolvedStructure) -> DailyPlan:
    """The plan on the contracts that were found: its expiry, and the width of all its lots as its
    margin.
    """
    first = structure.legs[0]
    margin = Decimal(str(structure.width)) * first.lot_size * plan.lots
    return replace(plan, expiry=first.expiry, margin_estimate=margin)


def beyond_margin(
    plans: Iterable[DailyPlan], capital: Decimal, rules: PlanRules
) -> tuple[DailyPlan, ...]:
    """Active plans to drop, weakest first, until the others need no more than the share of
    capital.
    """
    active = sorted(
        (plan for plan in plans if plan.is_active),
        key=lambda plan: (plan.strength, plan.instrument),
    )
    limit = capital * Decimal(str(rules.margin_share_max))
    needed = sum((plan.margin_estimate for plan in active), Decimal(0))
    dropped = []
    for plan in active:
        if needed <= limit:
            break
        needed -= plan.margin_estimate
        dropped.append(plan)
    return tuple(dropped)


def end_of(plan: DailyPlan, regime: Regime, now_ns: int) -> Refusal | None:
    """Why an active plan is over; None while it stands."""
    name = plan.instrument
    if now_ns >= plan.valid_until_ns:
        until = exchange_time(plan.valid_until_ns)
        return Refusal("PLAN_EXPIRED", f"{name}: the plan was valid until {until:%H:%M}")
    if regime.phase is Phase.BLOWOFF:
        return Refusal("BLOWOFF", f"{name}: the market is in a blow-off")
    contradicts = _AGAINST.get(plan.strategy) is regime.phase
    # A condor of a high VIX was chosen in spite of the phase.
    if plan.strategy is StrategyType.IRON_CONDOR and plan.vix_regime is not VixRegime.HIGH:
        contradicts = regime.phase is not Phase.CONGESTION
    if contradicts:
        text = f"{name}: the market has turned {regime.phase.lower()} since the plan was made"
        return Refusal("PLAN_CONTRADICTED", text)
    return None


def reentry_hold(
    plan: DailyPlan,
    net: Decimal,
    *,
    context: MarketContext | None,
    now_ns: int,
    is_halted: bool,
    rules: PlanRules,
) -> Refusal | None:
    """Why no second entry follows the close of this plan's structure; None when one may."""
    name = plan.instrument
    if net <= 0:
        return Refusal("REENTRY_AFTER_LOSS", f"{name}: no re-entry, it closed {net} rupees")
    if plan.reentry_count >= rules.reentries_max:
        text = f"{name}: no re-entry, {rules.reentries_max} a day are enough"
        return Refusal("REENTRY_LIMIT", text)
    left_s = (plan.valid_until_ns - now_ns) / NS_PER_S
    if now_ns + seconds(rules.reentry_left_s) > plan.valid_until_ns:
        text = f"{name}: no re-entry, {max(left_s, 0) / 60:.0f} minutes are left"
        return Refusal("REENTRY_TOO_LATE", text)
    if context is None or context.vix_regime is not plan.vix_regime:
        band = context.vix_regime.lower() if context else "unknown"
        text = f"{name}: no re-entry, VIX was {plan.vix_regime.lower()} and is {band}"
        return Refusal("REENTRY_VIX_CHANGED", text)
    if is_halted:
        return Refusal("REENTRY_HALTED", f"{name}: no re-entry while the gate is not active")
    return None


def plan_row(plan: DailyPlan) -> dict[str, Any]:
    """A plan under the names of GET /tomic/plan, JSON-ready."""
    return {
        "date": plan.day.isoformat(),
        "instrument": plan.instrument,
        "strategy_type": plan.strategy.value,
        "entry_mode": plan.entry_mode,
        "vix_at_plan": plan.vix_at_plan,
        "regime_at_plan": plan.regime_at_plan,
        "pcr_at_plan": plan.pcr_at_plan,
        "short_delta_target": plan.short_delta,
        "wing_delta_target": plan.wing_delta,
        "lots": plan.lots,
        "expiry_date": format_expiry(plan.expiry) if plan.expiry else "",
        "rationale": plan.rationale,
        "valid_until_hhmm": f"{exchange_time(plan.valid_until_ns):%H:%M}",
        "is_active": plan.is_active,
        "reentry_count": plan.reentry_count,
        "strength": plan.strength,
        "margin_estimate": float(plan.margin_estimate),
        "ended": plan.ended,
        "strategy_id": plan.strategy_id,
    }


def _blocked(instrument: str, view: PlanView, rules: PlanRules) -> Refusal | None:
    """The first reason of the day against any plan on this instrument."""
    regime, context, now_ns = view.regime, view.context, view.now_ns
    band = context.vix_regime if context else VixRegime.UNKNOWN
    context_age_ns = now_ns - context.as_of_ns if context else 0
    checks: Sequence[tuple[bool, str, str]] = (
        (now_ns < view.from_ns, "PLAN_TOO_EARLY",
         f"plans are made from {exchange_time(view.from_ns):%H:%M} on"),
        (now_ns >= view.until_ns, "PLAN_TOO_LATE",
         f"no plan is made after {exchange_time(view.until_ns):%H:%M}"),
        (regime.as_of_ns == 0, "REGIME_UNKNOWN", "the market's regime is not known yet"),
        (now_ns - regime.as_of_ns > seconds(regime.stale_after_s), "STALE_REGIME",
         "the market's regime is too old"),
        (context is None, "CONTEXT_UNKNOWN", "the market's context is not known yet"),
        (context_age_ns > seconds(rules.context_age_max_s), "CONTEXT_STALE",
         "the market's context is too old"),
        (band is VixRegime.UNKNOWN or VixFlag.UNKNOWN in regime.vix_flags, "VIX_UNKNOWN",
         "no live volatility index"),
        (band is VixRegime.TOO_LOW, "PREMIUMS_TOO_LOW",
         "VIX is too low: premium is not worth selling today"),
        (band is VixRegime.EXTREME, "VIX_EXTREME", "VIX is extreme: nothing is sold today"),
        (regime.phase is Phase.BLOWOFF, "BLOWOFF", "the market is in a blow-off"),
    )  # fmt: skip
    for is_so, code, text in checks:
        if is_so:
            return Refusal(code, f"{instrument}: {text}")
    return None
