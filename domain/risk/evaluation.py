"""One signal's way through risk: the checks in their order, then the size (`tomic.md` 7.1).

Three moments, because two answers come from elsewhere: before the legs are resolved, on the
contracts found, and with the broker's margin for them. Each gives a Block (which counter, which
refusal) or None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from domain.calendar import ExchangeCalendar
from domain.charges import ChargeRates
from domain.clock import exchange_time
from domain.events import Event, EventCalendar
from domain.freshness import check_freshness
from domain.gates import ActiveStrategy, NakedPolicy, check_positions, check_regime
from domain.intents import (
    STRATEGY_TRAITS,
    Refusal,
    ResolvedStructure,
    Signal,
    SizingStep,
    StrategyType,
)
from domain.readings import FreshnessMark, MarginState, Regime, StrategyOdds
from domain.risk.exits import check_levels, levels_of
from domain.risk.gates import (
    check_credit,
    check_delivery,
    check_event,
    check_margin_known,
    check_prices,
    check_reconciled,
)
from domain.risk.loss import exposure_delta, loss_per_unit
from domain.risk.sizing import (
    Sizing,
    SizingInputs,
    breakeven_odds,
    capital_after_stops,
    check_stops,
    half_size,
    highest_correlation,
    plan_ceiling,
    sector_of,
    size_position,
)
from domain.risk.validation import check_signal, structure_fault
from domain.track_record import PhaseIn

INVALID, REGIME, POSITION = "invalid_signal", "blocked_regime", "blocked_position"
SIZING, FRESHNESS, BREAKER = "rejected_sizing", "blocked_freshness", "blocked_breaker"
DEFAULT_SIGMA = 0.25
SEGMENT = "NFO"  # whose sessions count days


@dataclass(frozen=True, slots=True)
class Block:
    """Why a signal ends here; `result` is a counter of `tomic.md` 7.1."""

    result: str
    refusal: Refusal
    steps: tuple[SizingStep, ...] = ()


@dataclass(frozen=True, slots=True)
class Approval:
    """A signal that may be proposed: its size and the loss that made it."""

    sizing: Sizing
    loss_per_unit: float
    loss_basis: str


@dataclass(frozen=True, slots=True)
class Knowledge:
    """All that risk believes at one moment. `correlations` maps pairs of underlyings, `odds`
    strategies with 30 closed trades; `unproven` is why nothing is traded live yet, `phase` how much
    of the capital live trading uses."""

    now_ns: int
    capital_cap: Decimal
    policy: NakedPolicy
    rates: ChargeRates
    allow_pyramiding: bool
    regime: Regime
    mark: FreshnessMark | None
    margin: MarginState | None
    active: tuple[ActiveStrategy, ...] = ()
    unexplained: tuple[str, ...] = ()
    stops_in_row: int = 0
    stopped: str = ""
    correlations: Mapping[frozenset[str], float] = field(default_factory=dict)
    odds: Mapping[str, StrategyOdds] = field(default_factory=dict)
    calendars: Mapping[str, ExchangeCalendar] = field(default_factory=dict)
    events: EventCalendar = field(default_factory=EventCalendar)
    unproven: Refusal | None = None
    phase: PhaseIn | None = None

    def event_near(self, signal: Signal) -> tuple[Event, int] | None:
        """The listed event within a session of now that this signal sells premium into."""
        if not STRATEGY_TRAITS[signal.strategy].premium_selling:
            return None
        today = exchange_time(self.now_ns).date()
        return self.events.near(signal.instrument, today, self.calendars.get(SEGMENT))


def check_before_legs(signal: Signal, known: Knowledge) -> Block | None:
    """What needs no contract: validity, regime, positions, a known margin."""
    if known.stopped:
        return Block(BREAKER, Refusal("KILLED", known.stopped))
    if known.unproven:
        return Block(BREAKER, known.unproven)
    refusal = check_signal(signal, known.now_ns)
    if refusal:
        return Block(INVALID, refusal)
    refusal = check_regime(signal, known.regime, known.now_ns, known.policy)
    if refusal:
        return Block(REGIME, refusal)
    refusal = check_event(signal, known.event_near(signal))
    if refusal:
        return Block(REGIME, refusal)
    refusal = check_positions(signal, known.active, known.allow_pyramiding)
    if refusal:
        return Block(POSITION, refusal)
    refusal = check_margin_known(known.margin, known.now_ns)
    if signal.strategy is not StrategyType.TAIL_HEDGE:
        refusal = check_stops(known.stops_in_row) or refusal
    return Block(SIZING, refusal) if refusal else None


def check_contracts(signal: Signal, structure: ResolvedStructure, known: Knowledge) -> Block | None:
    """What the real contracts add: their cover, their age, their credit, the broker's book, and
    whether the underlying is still between stop and target."""
    fault = structure_fault(signal.strategy, structure)
    if fault:
        return Block(INVALID, Refusal("LEGS_INVALID", fault))
    today = exchange_time(known.now_ns).date()
    refusal = check_reconciled(structure, known.unexplained) or check_delivery(
        structure, today, known.calendars
    )
    if refusal:
        return Block(POSITION, refusal)
    report = check_freshness(
        known.mark,
        signal.instrument,
        [leg.symbol for leg in structure.legs],
        premium_selling=STRATEGY_TRAITS[signal.strategy].premium_selling,
        needs_depth=False,
        now_ns=known.now_ns,
    )
    if not report.passed:
        code = report.blocking[0]
        return Block(FRESHNESS, Refusal(code, report.details[code]))
    reached = check_levels(levels_of(signal), structure.spot)
    if reached:
        return Block(INVALID, Refusal("LEVEL_REACHED", f"too late to enter: {reached[1]}"))
    refusal = check_prices(structure) or check_credit(signal.strategy, structure, known.rates)
    return Block(SIZING, refusal) if refusal else None


def size_signal(
    signal: Signal, structure: ResolvedStructure, lot_margin: Decimal, known: Knowledge
) -> Approval | Block:
    """The size, with the broker's margin for one lot. What could have changed meanwhile is checked
    again first."""
    block = check_before_legs(signal, known) or check_contracts(signal, structure, known)
    if block:
        return block
    assert known.margin is not None, "check_margin_known lets no unknown margin pass"
    lot = structure.legs[0].lot_size
    sigma = signal.instrument_vol or DEFAULT_SIGMA
    margin_per_unit = float(lot_margin) / lot
    loss = loss_per_unit(signal, structure, sigma=sigma, margin_per_unit=margin_per_unit)
    if isinstance(loss, Refusal):
        return Block(SIZING, loss)
    capital = float(min(known.capital_cap, known.margin.capital))
    if capital <= 0:
        return Block(SIZING, Refusal("NO_CAPITAL", "the account's capital is not above 0"))
    share = known.phase.share if known.phase else 1.0
    capital = capital_after_stops(capital * share, known.stops_in_row)
    lots_max = plan_ceiling(signal.lots_max, signal.entry_mode, known.regime.vix)
    if known.event_near(signal):
        capital, lots_max = half_size(capital, lots_max)
    given = (signal.win_rate, signal.rr_ratio)
    journaled = known.odds.get(signal.strategy)
    win_rate, reward = breakeven_odds(signal.strategy, structure, loss.per_unit, given, journaled)
    inputs = SizingInputs(
        strategy=signal.strategy,
        capital=capital,
        spot=structure.spot,
        sigma=sigma,
        delta=exposure_delta(signal.strategy, structure),
        loss_per_unit=loss.per_unit,
        win_rate=win_rate,
        reward_risk=reward,
        vix=known.regime.vix,
        lots_max=lots_max,
        lot_size=lot,
        margin_per_unit=margin_per_unit,
        free=float(known.margin.free),
        used=float(known.margin.used),
        premium=-structure.credit_executable,
        **_portfolio(signal, known),
        max_capital_pct=_cap(signal, "max_capital_pct"),
        max_abs_inr=_cap(signal, "max_abs_inr"),
    )
    sizing = size_position(inputs)
    if known.phase and share < 1:
        first, *others = sizing.steps
        text = f"{first.reason}; {share:.0%} of the capital, {known.phase.reason}"
        sizing = replace(sizing, steps=(replace(first, reason=text), *others))
    if sizing.refusal:
        return Block(SIZING, sizing.refusal, sizing.steps)
    return Approval(sizing, loss.per_unit, loss.basis)


def _portfolio(signal: Signal, known: Knowledge) -> dict[str, Any]:
    sector = sector_of(signal.instrument)
    mine = [row.margin for row in known.active if sector_of(row.underlying) == sector]
    bets = [row for row in known.active if row.strategy is not StrategyType.TAIL_HEDGE]
    others = {row.underlying for row in bets}
    return {
        "correlation": highest_correlation(signal.instrument, others, known.correlations),
        "sector_margin": float(sum(mine, Decimal(0))),
        "positions": len(bets),
    }


def _cap(signal: Signal, name: str) -> float:
    """The signal's own cap of a GAMMA_CAPTURE (`tomic.md` 1.7); 0 for none."""
    return float(signal.extras.get(name) or 0)
