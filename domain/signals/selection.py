"""Which structures suit this volatility and this market: the selection table (`tomic.md` 5.3, 5.4).

Eleven rows of conditions; every row that matches gives a structure, every row that does not says
why in a trader's words.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domain.intents import STRATEGY_TRAITS, Refusal, StrategyType
from domain.readings import Phase, Regime, VixFlag, VolatilityReading
from domain.signals.volatility import RULES, TOLERANCE, VolatilityRules

_FLAG, _S = VixFlag, StrategyType


@dataclass(frozen=True, slots=True)
class Chosen:
    """A matching row: the structure, how much it is liked (0 or more), its DTE band, and why."""

    strategy: StrategyType
    direction: str
    strength: float
    is_income: bool
    reason: str


@dataclass(frozen=True, slots=True)
class View:
    """All that a row's conditions may look at; `history_days` is how many days of IV are known."""

    reading: VolatilityReading
    regime: Regime
    history_days: int
    rules: VolatilityRules = RULES

    @property
    def rank(self) -> float:
        """IV rank, 0 where unknown: every row that needs it asks `_rank_known` before."""
        return self.reading.iv_rank or 0.0

    @property
    def vix(self) -> float:
        return self.regime.vix

    def flagged(self, *flags: VixFlag) -> bool:
        """True when one of these flags is raised."""
        return any(flag in self.regime.vix_flags for flag in flags)


Condition = Callable[[View], Refusal | None]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of `tomic.md` 5.4. Conditions stand so that the first that fails tells the most."""

    strategy: StrategyType
    conditions: tuple[Condition, ...]
    strength: Callable[[View], float]
    reason: str
    vix_bias: bool = False
    is_income: bool = False


def select_structures(view: View) -> tuple[tuple[Chosen, ...], tuple[Refusal, ...]]:
    """Matching structures, strongest first, and the reasons of the rows that did not match."""
    chosen: dict[tuple[StrategyType, str], Chosen] = {}
    notes: dict[str, Refusal] = {}
    for row in ROWS:
        refusal = next((said for check in row.conditions if (said := check(view))), None)
        if refusal:
            notes.setdefault(refusal.code, refusal)
            continue
        direction = STRATEGY_TRAITS[row.strategy].direction
        found = Chosen(
            row.strategy, direction, _strength(row, direction, view), row.is_income, row.reason
        )
        key = (found.strategy, direction)
        if key not in chosen or found.strength > chosen[key].strength:
            chosen[key] = found
    ordered = sorted(chosen.values(), key=lambda one: (-one.strength, one.strategy))
    return tuple(ordered), tuple(notes.values())


def vix_bias(vix: float, rules: VolatilityRules = RULES) -> float:
    """What the level of the volatility index adds to a premium seller's strength."""
    low, high = rules.vix_sweet
    if low <= vix <= high:
        return 8.0
    if vix > rules.vix_high:
        return -5.0
    return -10.0 if 0 < vix < rules.vix_low else 0.0


def _strength(row: Row, direction: str, view: View) -> float:
    strength = row.strength(view)
    if row.vix_bias:
        strength = max(0.0, strength + vix_bias(view.vix, view.rules))
    conservative = view.reading.conservative_rank
    if direction == "SELL" and conservative:
        strength = min(strength, 40.0 + 0.6 * conservative)
    return strength


# -- conditions: each gives None, or why its row does not match --


def _say(code: str, view: View, text: str) -> Refusal:
    return Refusal(code, f"{view.reading.underlying}: {text}")


def _ratio_known(view: View) -> Refusal | None:
    if view.reading.iv_hv_ratio > 0:
        return None
    return _say("HV_UNKNOWN", view, "fewer than 31 daily closes; IV cannot be set against HV")


def _iv_high(view: View) -> Refusal | None:
    return None if view.reading.vol_regime == "IV_HIGH" else _no_edge(view)


def _iv_low(view: View) -> Refusal | None:
    return None if view.reading.vol_regime == "IV_LOW" else _no_edge(view)


def _no_edge(view: View) -> Refusal:
    ratio, top = view.reading.iv_hv_ratio, view.rules.iv_hv_trigger
    if view.reading.vol_regime == "IV_HIGH":
        return _say(
            "IV_HIGH", view, f"IV/HV {ratio:.2f} is {top:.2f} or more; too dear to buy premium"
        )
    if view.reading.vol_regime == "IV_LOW":
        return _say(
            "IV_LOW", view, f"IV/HV {ratio:.2f} is below {1 / top:.2f}; too cheap to sell premium"
        )
    text = f"IV/HV {ratio:.2f} lies between {1 / top:.2f} and {top:.2f}; no premium edge"
    return _say("IV_NORMAL", view, text)


def _rank_known(view: View) -> Refusal | None:
    if view.reading.iv_rank is not None:
        return None
    known, needed = view.history_days, view.rules.history_days_min
    if known < needed:
        return _say(
            "IV_RANK_UNKNOWN", view, f"{known} of {needed} days of IV known; no rank, no selling"
        )
    return _say("IV_RANK_UNKNOWN", view, "IV did not move in a year; its rank says nothing")


def _rank_at_least(name: str, extra: float, code: str) -> Condition:
    def check(view: View) -> Refusal | None:
        needed = getattr(view.rules, name) + extra
        if view.rank >= needed - TOLERANCE:
            return None
        return _say(
            code, view, f"IV rank {view.rank:.0f} is below {needed:.0f}; premium is not rich"
        )

    return check


def _rank_low(view: View) -> Refusal | None:
    limit = view.rules.rank_debit_max
    if view.rank < limit - TOLERANCE:
        return None
    return _say(
        "RANK_NOT_LOW", view, f"IV rank {view.rank:.0f} is not below {limit:.0f}; no bargain"
    )


def _credit_allowed(view: View) -> Refusal | None:
    if view.flagged(_FLAG.UNKNOWN):
        return _say("VIX_UNKNOWN", view, "no live volatility index; no premium is sold")
    if view.flagged(_FLAG.PREMIUMS_TOO_LOW) or 0 < view.vix < view.rules.vix_low:
        return _say(
            "PREMIUMS_TOO_LOW", view, f"VIX {view.vix:.2f} is below 12; premiums too low to sell"
        )
    if view.flagged(_FLAG.HALT_SHORT_VEGA):
        return _say("HALT_SHORT_VEGA", view, f"VIX {view.vix:.2f} is above 40; no short volatility")
    return _not_blowoff(view)


def _not_blowoff(view: View) -> Refusal | None:
    if view.regime.phase is not Phase.BLOWOFF:
        return None
    return _say("BLOWOFF", view, "the market is in a blow-off; no fresh entry")


def _undefined_risk_allowed(view: View) -> Refusal | None:
    if not view.flagged(_FLAG.DEFINED_RISK_ONLY) and view.vix <= view.rules.vix_defined_risk:
        return None
    return _say(
        "DEFINED_RISK_ONLY", view, f"VIX {view.vix:.2f} is above 25; only spreads with wings"
    )


def _naked_allowed(view: View) -> Refusal | None:
    if view.rules.allow_naked_premium:
        return _credit_allowed(view) or _undefined_risk_allowed(view)
    return _say(
        "NAKED_NOT_ALLOWED", view, "naked premium is switched off (TOMIC_ALLOW_NAKED_PREMIUM)"
    )


def _enabled(name: str) -> Condition:
    def check(view: View) -> Refusal | None:
        if getattr(view.rules, name):
            return None
        return _say(f"{name.upper()}_OFF", view, f"switched off (TOMIC_{name.upper()})")

    return check


def _phase(*phases: Phase) -> Condition:
    def check(view: View) -> Refusal | None:
        if view.regime.phase in phases:
            return None
        wanted = " or ".join(phases)
        return _say(
            f"NOT_{'_OR_'.join(phases)}", view, f"phase {view.regime.phase}; asks for {wanted}"
        )

    return check


def _steep_put(view: View) -> Refusal | None:
    if view.reading.skew_state == "STEEP_PUT":
        return None
    if view.reading.skew_ratio <= 0:
        return _say("SKEW_UNKNOWN", view, "no 25-delta put and call IV yet")
    limit = view.rules.skew_steep
    return _say(
        "SKEW_NOT_STEEP", view, f"put/call skew {view.reading.skew_ratio:.2f} is below {limit:.2f}"
    )


def _inverted(view: View) -> Refusal | None:
    if view.reading.term_structure == "INVERTED":
        return None
    if view.reading.front_iv <= 0 or view.reading.back_iv <= 0:
        return _say("TERM_UNKNOWN", view, "the IV of the front or the next expiry is not known yet")
    ratio = view.reading.front_iv / view.reading.back_iv
    text = f"front/next IV {ratio:.2f} is not above {view.rules.term_inverted:.2f}; no inversion"
    return _say("TERM_NOT_INVERTED", view, text)


def _ratio_rich(view: View) -> Refusal | None:
    needed, ratio = view.rules.short_premium_iv_hv_min, view.reading.iv_hv_ratio
    if ratio >= needed - TOLERANCE:
        return None
    return _say(
        "IV_HV_BELOW_NAKED_MIN", view, f"IV/HV {ratio:.2f} is below {needed:.2f}, asked of naked"
    )


def _vix_sweet(view: View) -> Refusal | None:
    low, high = view.rules.vix_sweet
    if low <= view.vix <= high:
        return None
    return _say(
        "VIX_OUTSIDE_SWEET_SPOT", view, f"VIX {view.vix:.2f} is outside {low:.0f}-{high:.0f}"
    )


_RANK_50 = _rank_at_least("rank_credit_min", 0.0, "RANK_BELOW_50")
_CREDIT = (_ratio_known, _iv_high, _rank_known, _RANK_50, _credit_allowed)
_DEBIT = (_ratio_known, _iv_low, _rank_known, _rank_low)
_NAKED = (_naked_allowed, _ratio_known, _rank_known, _phase(Phase.CONGESTION))
_RICH = (_ratio_rich, _vix_sweet)
_RANK_NAKED = _rank_at_least("short_premium_iv_rank_min", 0.0, "RANK_BELOW_NAKED_MIN")
_RANK_STRADDLE = _rank_at_least("short_premium_iv_rank_min", 10.0, "RANK_BELOW_STRADDLE_MIN")

ROWS: tuple[Row, ...] = (
    Row(_S.BULL_PUT_SPREAD, (*_CREDIT, _phase(Phase.BULLISH)), lambda v: v.rank,
        "premium is rich and the market rises: sell put spread", True, True),
    Row(_S.IRON_CONDOR, (*_CREDIT, _phase(Phase.CONGESTION)), lambda v: v.rank + 4,
        "premium is rich and the market stands: sell iron condor", True, True),
    Row(_S.BEAR_CALL_SPREAD, (*_CREDIT, _phase(Phase.BEARISH)), lambda v: v.rank,
        "premium is rich and the market falls: sell call spread", True, True),
    Row(_S.CALENDAR_DIAGONAL, (*_DEBIT, _phase(Phase.CONGESTION, Phase.BEARISH)),
        lambda v: max(0.0, 100 - v.rank), "premium is cheap: calendar"),
    Row(_S.DITM_CALL, (*_DEBIT, _phase(Phase.BULLISH)), lambda v: 100 - v.rank,
        "premium is cheap and the market rises: buy deep call"),
    Row(_S.DITM_PUT, (*_DEBIT, _phase(Phase.BEARISH)), lambda v: 100 - v.rank,
        "premium is cheap and the market falls: buy deep put"),
    # Rank must be known here too: without 60 days of IV no premium is sold (`tomic.md` 15.3).
    Row(_S.RISK_REVERSAL, (_steep_put, _rank_known, _credit_allowed, _undefined_risk_allowed,
        _phase(Phase.BULLISH, Phase.CONGESTION)), lambda v: v.reading.skew_ratio * 30,
        "puts are dear against calls: collared risk reversal"),
    Row(_S.JADE_LIZARD, (_enabled("enable_jade_lizard"), _steep_put, *_NAKED, _RANK_50),
        lambda v: max(v.rank, v.reading.skew_ratio * 35),
        "puts are dear and premium rich: jade lizard", True, True),
    Row(_S.SHORT_STRANGLE, (_enabled("enable_short_strangle"), *_NAKED, _RANK_NAKED, *_RICH),
        lambda v: v.rank + 3, "premium is very rich and the market stands: sell strangle", True),
    Row(_S.SHORT_STRADDLE, (_enabled("enable_short_straddle"), *_NAKED, _RANK_STRADDLE, *_RICH),
        lambda v: v.rank, "premium is extremely rich and the market stands: sell straddle", True),
    # HV must be known: no signal before the warm start is complete (`tomic.md` 11.5).
    Row(_S.CALENDAR_DIAGONAL, (_ratio_known, _inverted, _not_blowoff), lambda v: 50.0,
        "the front expiry is dearer than the next: calendar"),
)  # fmt: skip
