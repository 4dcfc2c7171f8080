"""May this structure be opened now? Regime, position, margin and credit gates (`tomic.md` 7.4-7.7,
15.3).

Each gate is a function that returns None, or the refusal of the first rule that says no.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from domain.charges import ChargeRates, round_trip_charges
from domain.intents import (
    STRATEGY_TRAITS,
    Bias,
    Refusal,
    ResolvedStructure,
    Signal,
    StrategyType,
)
from domain.prices import money
from domain.readings import MarginState, Phase, Regime, VixFlag

MARGIN_MAX_AGE_S = 60
UNDERLYING_MAX = 1  # strategies per underlying and order side (`tomic.md` 2.3)
# Credit after costs, as a share of the width (`tomic.md` 15.3, 2).
CREDIT_SHARE_MIN = {
    StrategyType.BULL_PUT_SPREAD: 0.25,
    StrategyType.BEAR_CALL_SPREAD: 0.25,
    StrategyType.IRON_CONDOR: 0.20,
}
_S = StrategyType
_PHASE_BLOCKS = {
    Phase.BEARISH: (_S.DITM_CALL, _S.BULL_PUT_SPREAD, _S.RISK_REVERSAL),
    Phase.BULLISH: (_S.DITM_PUT, _S.BEAR_CALL_SPREAD),
    Phase.CONGESTION: (_S.DITM_CALL, _S.DITM_PUT),
}


@dataclass(frozen=True, slots=True)
class NakedPolicy:
    """What the user's settings say of naked premium (`config.md`, `design.md` 9)."""

    allowed: bool
    jade_lizard: bool
    short_strangle: bool
    short_straddle: bool
    live: bool
    acknowledged: bool

    def enabled(self, strategy: StrategyType) -> bool:
        """The strategy's own switch."""
        switches = {
            StrategyType.JADE_LIZARD: self.jade_lizard,
            StrategyType.SHORT_STRANGLE: self.short_strangle,
            StrategyType.SHORT_STRADDLE: self.short_straddle,
        }
        return switches.get(strategy, True)


def check_regime(
    signal: Signal, regime: Regime, now_ns: int, policy: NakedPolicy, collared: bool = True
) -> Refusal | None:
    """The regime gate in the order of `tomic.md` 7.4. `collared` is for a risk reversal with its
    put bought back further out."""
    if regime.version == 0:
        return Refusal("REGIME_UNKNOWN", "no regime has been read yet")
    age_s = (now_ns - regime.as_of_ns) / 1e9
    if age_s > regime.stale_after_s:
        return Refusal(
            "STALE_REGIME",
            f"the regime is {age_s:.0f} s old, it may be {regime.stale_after_s:.0f} s",
        )
    return (
        _vix_rules(signal, regime)
        or _phase_rules(signal, regime)
        or _naked_rules(signal, regime, policy)
        or _collar_rule(signal, regime, collared)
    )


def _vix_rules(signal: Signal, regime: Regime) -> Refusal | None:
    if not STRATEGY_TRAITS[signal.strategy].premium_selling:
        return None
    if VixFlag.HALT_SHORT_VEGA in regime.vix_flags:
        return Refusal("HALT_SHORT_VEGA", f"VIX {regime.vix:.1f}: no premium is sold above 40")
    if VixFlag.PREMIUMS_TOO_LOW in regime.vix_flags:
        return Refusal("PREMIUMS_TOO_LOW", f"VIX {regime.vix:.1f}: premium is not worth selling")
    if VixFlag.UNKNOWN in regime.vix_flags:
        return Refusal("VIX_UNKNOWN", "VIX is not known, so no premium is sold")
    return None


def _phase_rules(signal: Signal, regime: Regime) -> Refusal | None:
    if regime.phase is Phase.BLOWOFF:
        return Refusal("BLOWOFF", "the market is in a blow-off: no fresh entry")
    if signal.strategy in _PHASE_BLOCKS.get(regime.phase, ()):
        return Refusal(
            f"{regime.phase}_BLOCKS", f"{signal.strategy} is not opened in a {regime.phase} market"
        )
    return None


def _naked_rules(signal: Signal, regime: Regime, policy: NakedPolicy) -> Refusal | None:
    name = signal.strategy
    if not STRATEGY_TRAITS[name].naked:
        return None
    if regime.phase is not Phase.CONGESTION:
        return Refusal("NAKED_NEEDS_CONGESTION", f"{name} is sold in CONGESTION only")
    if VixFlag.DEFINED_RISK_ONLY in regime.vix_flags:
        return Refusal("DEFINED_RISK_ONLY", f"VIX {regime.vix:.1f}: no naked premium above 25")
    if signal.direction != "SELL":
        return Refusal("DIRECTION", f"{name} is SELL only")
    if not policy.allowed:
        return Refusal("NAKED_NOT_ALLOWED", "TOMIC_ALLOW_NAKED_PREMIUM is off")
    if not policy.enabled(name):
        return Refusal("NAKED_NOT_ENABLED", f"TOMIC_ENABLE_{name} is off")
    if policy.live and not policy.acknowledged:
        return Refusal(
            "NAKED_NOT_ACKNOWLEDGED",
            f"{name} with real money needs TOMIC_NAKED_LIVE_ACK",
        )
    return None


def _collar_rule(signal: Signal, regime: Regime, collared: bool) -> Refusal | None:
    uncollared = signal.strategy is StrategyType.RISK_REVERSAL and not collared
    if uncollared and VixFlag.DEFINED_RISK_ONLY in regime.vix_flags:
        return Refusal(
            "DEFINED_RISK_ONLY", f"VIX {regime.vix:.1f}: a risk reversal needs its put bought back"
        )
    return None


@dataclass(frozen=True, slots=True)
class ActiveStrategy:
    """A structure that is open, or an entry on its way; margin in rupees as quoted when it was
    made."""

    strategy_id: str
    underlying: str
    strategy: StrategyType
    direction: str
    bias: Bias
    margin: Decimal = Decimal(0)
    pending: bool = False


def check_positions(
    signal: Signal, active: Iterable[ActiveStrategy], allow_pyramiding: bool
) -> Refusal | None:
    """The position gate (`tomic.md` 7.5). Strategies count, not legs, and entries on their way
    too."""
    same = [row for row in active if row.underlying == signal.instrument]
    twin = [r for r in same if r.strategy is signal.strategy and r.direction == signal.direction]
    if twin:
        return Refusal("STRATEGY_ACTIVE", f"{_named(twin[0])} is already {_state(twin[0])}")
    side = [row for row in same if row.direction == signal.direction]
    if len(side) >= UNDERLYING_MAX:
        return Refusal(
            "UNDERLYING_LIMIT",
            f"{_named(side[0])} is {_state(side[0])}; one {signal.direction} each",
        )
    alike = [row for row in same if row.bias is signal.bias]
    if alike and not allow_pyramiding:
        return Refusal(
            "SAME_BIAS_OPEN",
            f"{_named(alike[0])} is {_state(alike[0])} with the same {signal.bias} view",
        )
    return None


def check_reconciled(structure: ResolvedStructure, unexplained: Iterable[str]) -> Refusal | None:
    """No entry on an instrument whose difference with the broker is unexplained (`tomic.md`
    8.11)."""
    held = set(unexplained) & {f"{leg.exchange}:{leg.symbol}" for leg in structure.legs}
    if not held:
        return None
    return Refusal(
        "RECONCILE_OPEN", f"{min(held)} differs from the broker's book and is not yet explained"
    )


def check_prices(structure: ResolvedStructure) -> Refusal | None:
    """No entry that could not be left: a short needs a bid to be sold at and an ask to be bought
    back at (exits are measured on them), a long an ask."""
    for leg in structure.legs:
        short = leg.direction == "SELL"
        if not leg.ask > 0 or (short and not leg.bid > 0):
            side = "bids for" if short and leg.ask > 0 else "offers"
            return Refusal("NO_EXECUTABLE_PRICE", f"nobody {side} {leg.symbol}")
    return None


def check_margin_known(margin: MarginState | None, now_ns: int) -> Refusal | None:
    """Unknown margin is no margin (`tomic.md` 7.7)."""
    if margin is None or margin.as_of_ns == 0:
        return Refusal("MARGIN_UNKNOWN", "the broker has not told its funds yet")
    age_s = (now_ns - margin.as_of_ns) / 1e9
    if age_s > MARGIN_MAX_AGE_S:
        return Refusal(
            "MARGIN_UNKNOWN", f"the broker's funds are {age_s:.0f} s old, at most 60 s will do"
        )
    return None


def check_credit(
    strategy: StrategyType, structure: ResolvedStructure, rates: ChargeRates
) -> Refusal | None:
    """Is the premium worth selling (`tomic.md` 5.5, 5.6, 15.3)?"""
    traits = STRATEGY_TRAITS[strategy]
    if not traits.premium_selling or strategy is StrategyType.RISK_REVERSAL:
        return None
    if not structure.credit_executable > 0:
        return Refusal(
            "NO_NET_CREDIT",
            f"selling at bid and buying at ask brings {structure.credit_executable:.2f} a unit",
        )
    if strategy is StrategyType.JADE_LIZARD and structure.credit_executable < structure.width:
        return Refusal(
            "JADE_CREDIT_BELOW_WIDTH",
            f"credit {structure.credit_executable:.2f} is less than the call spread's width"
            f" {structure.width:.2f}",
        )
    needed = CREDIT_SHARE_MIN.get(strategy)
    if needed is None:
        return None
    share = (structure.credit - estimated_cost(structure, rates)) / structure.width
    if share >= needed:
        return None
    return Refusal(
        "CREDIT_TOO_THIN", f"credit {share:.0%} of width after costs, needs {needed:.0%}"
    )


def estimated_cost(structure: ResolvedStructure, rates: ChargeRates) -> float:
    """Rupees a unit for going in and out of one lot: half the spread of every leg twice, and
    charges.

    One lot bears the flat brokerage alone, so the estimate is on the careful side for more lots.
    """
    slippage = 2 * max(0.0, structure.credit - structure.credit_executable)
    lot = structure.legs[0].lot_size
    orders = [(leg.direction, lot * leg.ratio, money(leg.mid)) for leg in structure.legs]
    return slippage + float(round_trip_charges(orders, rates)) / lot


def _named(row: ActiveStrategy) -> str:
    return f"{row.strategy} on {row.underlying}"


def _state(row: ActiveStrategy) -> str:
    return "on its way" if row.pending else "open"
