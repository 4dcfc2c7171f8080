"""May this structure be opened in this regime, beside what is open? (`tomic.md` 7.4, 7.5)

Risk asks before it sizes, execution again before it sends (8.2, step 5): minutes of waiting for a
person may lie between. Each gate returns None, or the refusal of the first rule that says no.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from domain.intents import STRATEGY_TRAITS, Bias, Refusal, Signal, StrategyType
from domain.positions import BookSnapshot
from domain.readings import Phase, Regime, VixFlag
from domain.settings import Settings

UNDERLYING_MAX = 1  # strategies per underlying and order side (`tomic.md` 2.3)
# What a newer reading answers by itself; every other refusal of the regime is final.
NOT_READ = ("REGIME_UNKNOWN", "STALE_REGIME")
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


def naked_policy(settings: Settings) -> NakedPolicy:
    """The policy that these settings make."""
    return NakedPolicy(
        allowed=settings.allow_naked_premium,
        jade_lizard=settings.enable_jade_lizard,
        short_strangle=settings.enable_short_strangle,
        short_straddle=settings.enable_short_straddle,
        live=settings.mode != "sandbox",
        acknowledged=settings.naked_live_ack,
    )


def check_regime(
    signal: Signal, regime: Regime, now_ns: int, policy: NakedPolicy
) -> Refusal | None:
    """The regime gate in the order of `tomic.md` 7.4.

    Its rule 9 needs no look here: a risk reversal without its collar is no valid signal (7.2).
    """
    if signal.strategy is StrategyType.TAIL_HEDGE:
        return None  # no opinion of the market stops insurance (`tomic.md` 7.9)
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


def held_strategies(book: BookSnapshot) -> dict[str, ActiveStrategy]:
    """What stands in the book, by strategy_id; positions that are not ours have none."""
    held = {}
    for row in book.open_positions:
        if row.strategy_id and row.strategy in StrategyType.__members__:
            strategy = StrategyType(row.strategy)
            traits = STRATEGY_TRAITS[strategy]
            held[row.strategy_id] = ActiveStrategy(
                row.strategy_id, row.underlying, strategy, traits.direction, traits.bias
            )
    return held


def check_positions(
    signal: Signal, active: Iterable[ActiveStrategy], allow_pyramiding: bool
) -> Refusal | None:
    """The position gate (`tomic.md` 7.5). Strategies count, not legs, and entries on their way
    too. A hedge stands beside everything, but for another hedge."""
    same = [row for row in active if row.underlying == signal.instrument]
    if signal.strategy is not StrategyType.TAIL_HEDGE:
        same = [row for row in same if row.strategy is not StrategyType.TAIL_HEDGE]
    twin = [r for r in same if r.strategy is signal.strategy and r.direction == signal.direction]
    if twin:
        return Refusal("STRATEGY_ACTIVE", f"{_named(twin[0])} is already {_state(twin[0])}")
    if signal.strategy is StrategyType.TAIL_HEDGE:
        return None
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


def _named(row: ActiveStrategy) -> str:
    return f"{row.strategy} on {row.underlying}"


def _state(row: ActiveStrategy) -> str:
    return "on its way" if row.pending else "open"
