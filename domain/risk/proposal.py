"""An approved signal as the intent that execution takes, and what is asked on the way to it.

Names, product, the orders of one lot for the margin's quote, and the sentence that goes with the
order (`tomic.md` 7.8, `design.md` 9).
"""

from __future__ import annotations

from decimal import Decimal

from domain.instruments import Kind
from domain.intents import (
    STRATEGY_TRAITS,
    Leg,
    ResolvedStructure,
    Signal,
    SizedIntent,
    StrategyType,
)
from domain.readings import Regime
from domain.risk.evaluation import Approval

SAME_DAY_MODES = ("morning_plan", "event_driven", "expiry_gamma")
DITM_DELTA = 0.90
_DEFAULT_LEGS = {
    StrategyType.DITM_CALL: (Leg(Kind.CALL, "BUY", delta_target=DITM_DELTA),),
    StrategyType.DITM_PUT: (Leg(Kind.PUT, "BUY", delta_target=DITM_DELTA),),
}


def tag_of(signal: Signal) -> str:
    """`TOMIC_{strategy}_{instrument}`: what a day's entries of one kind share."""
    return f"TOMIC_{signal.strategy}_{signal.instrument}"


def legs_of(signal: Signal) -> tuple[Leg, ...]:
    """The signal's legs, or the one leg a deep-in-the-money signal need not spell out."""
    return signal.legs or _DEFAULT_LEGS[signal.strategy]


def make_intent(
    signal: Signal,
    structure: ResolvedStructure,
    approval: Approval,
    regime: Regime,
    *,
    strategy_id: str,
    product: str,
    margin: Decimal,
    valid_until_ns: int,
    fencing_number: int = 0,
) -> SizedIntent:
    """The intent. Naked shorts are approved here only: the gates let none pass without their
    switches and a known margin."""
    return SizedIntent(
        strategy_id=strategy_id,
        strategy_tag=tag_of(signal),
        idempotency_key=f"{strategy_id}:entry",
        correlation_id=signal.correlation_id,
        signal=signal,
        structure=structure,
        quantity=approval.sizing.units,
        lots=approval.sizing.lots,
        product=product,
        loss_per_unit=approval.loss_per_unit,
        margin_required=margin,
        sizing=approval.sizing.steps,
        regime_version=regime.version,
        regime_phase=regime.phase.value,
        regime_score=regime.score,
        vix=regime.vix,
        entry_reason=entry_reason(signal, approval, regime),
        valid_until_ns=valid_until_ns,
        naked_approved=STRATEGY_TRAITS[signal.strategy].naked,
        fencing_number=fencing_number,
    )


def product_of(signal: Signal, default_product: str) -> str:
    """The signal's own; else intraday for the modes that end the same day (`design.md` 9)."""
    if signal.product:
        return signal.product
    return default_product if signal.entry_mode in SAME_DAY_MODES else "NRML"


def entry_reason(signal: Signal, approval: Approval, regime: Regime) -> str:
    """The sentence that goes with the order (`tomic.md` 7.8)."""
    extras = signal.extras
    side = extras.get("signal_direction", signal.direction)
    parts = (
        ("Router", extras.get("router_reason", "")),
        ("Signal", signal.reason),
        ("Pattern", signal.pattern),
        ("Scores", _scores(signal)),
        ("Regime", f"{regime.phase} (score {regime.score}, vix {regime.vix:.1f})"),
        ("Sizing", approval.sizing.steps[-1].reason),
        ("Action", f"{signal.strategy} {side} {approval.sizing.units}"),
    )
    return " | ".join(f"{name}: {text}" for name, text in parts if text)


def _scores(signal: Signal) -> str:
    word = "sniper" if signal.source == "SNIPER" else "vol"
    scores = [f"{word} {signal.strength:.2f}"] if signal.strength else []
    if signal.extras.get("rs_score"):
        scores.append(f"rs {float(signal.extras['rs_score']):.1f}")
    return ", ".join(scores)
