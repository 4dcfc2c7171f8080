"""What we want: signals, their legs, and the sized intent that becomes orders (`tomic.md`
1.1-1.7).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from enum import StrEnum

from domain.instruments import Kind
from domain.readings import VixRegime


class StrategyType(StrEnum):
    """Every structure the product knows; SKIP is the no-trade sentinel and is never routed."""

    BULL_PUT_SPREAD = "BULL_PUT_SPREAD"
    BEAR_CALL_SPREAD = "BEAR_CALL_SPREAD"
    IRON_CONDOR = "IRON_CONDOR"
    JADE_LIZARD = "JADE_LIZARD"
    SHORT_STRANGLE = "SHORT_STRANGLE"
    SHORT_STRADDLE = "SHORT_STRADDLE"
    RISK_REVERSAL = "RISK_REVERSAL"
    DITM_CALL = "DITM_CALL"
    DITM_PUT = "DITM_PUT"
    CALENDAR_DIAGONAL = "CALENDAR_DIAGONAL"
    GAMMA_CAPTURE = "GAMMA_CAPTURE"
    TAIL_HEDGE = "TAIL_HEDGE"
    SKIP = "SKIP"


class Bias(StrEnum):
    """Market view of a structure, distinct from the side of its order."""

    BULLISH = "BULLISH"
    BEARISH = "BEARISH"
    NEUTRAL = "NEUTRAL"


class LeggingPolicy(StrEnum):
    """In which order the legs of a structure go out (`tomic.md` 8.7)."""

    ATOMIC_PREFERRED = "ATOMIC_PREFERRED"
    HEDGE_FIRST = "HEDGE_FIRST"
    SHORT_FIRST_KILL_SWITCH = "SHORT_FIRST_KILL_SWITCH"
    SINGLE_LEG = "SINGLE_LEG"


@dataclass(frozen=True, slots=True)
class StrategyTraits:
    """One row of the table of `tomic.md` 1.2, which drives validation, gates and legging."""

    direction: str
    bias: Bias
    legs_required: bool
    premium_selling: bool
    naked: bool
    legging: LeggingPolicy
    legs_min: int


_B, _L = Bias, LeggingPolicy
STRATEGY_TRAITS: dict[StrategyType, StrategyTraits] = {
    StrategyType.BULL_PUT_SPREAD: StrategyTraits(
        "SELL", _B.BULLISH, True, True, False, _L.HEDGE_FIRST, 2
    ),
    StrategyType.BEAR_CALL_SPREAD: StrategyTraits(
        "SELL", _B.BEARISH, True, True, False, _L.HEDGE_FIRST, 2
    ),
    StrategyType.IRON_CONDOR: StrategyTraits(
        "SELL", _B.NEUTRAL, True, True, False, _L.HEDGE_FIRST, 4
    ),
    StrategyType.JADE_LIZARD: StrategyTraits(
        "SELL", _B.NEUTRAL, True, True, True, _L.HEDGE_FIRST, 3
    ),
    StrategyType.SHORT_STRANGLE: StrategyTraits(
        "SELL", _B.NEUTRAL, True, True, True, _L.SHORT_FIRST_KILL_SWITCH, 2
    ),
    StrategyType.SHORT_STRADDLE: StrategyTraits(
        "SELL", _B.NEUTRAL, True, True, True, _L.SHORT_FIRST_KILL_SWITCH, 2
    ),
    StrategyType.RISK_REVERSAL: StrategyTraits(
        "SELL", _B.BULLISH, True, True, False, _L.SHORT_FIRST_KILL_SWITCH, 3
    ),
    StrategyType.CALENDAR_DIAGONAL: StrategyTraits(
        "SELL", _B.NEUTRAL, True, False, False, _L.HEDGE_FIRST, 2
    ),
    StrategyType.DITM_CALL: StrategyTraits(
        "BUY", _B.BULLISH, False, False, False, _L.SINGLE_LEG, 0
    ),
    StrategyType.DITM_PUT: StrategyTraits("BUY", _B.BEARISH, False, False, False, _L.SINGLE_LEG, 0),
    StrategyType.GAMMA_CAPTURE: StrategyTraits(
        "BUY", _B.NEUTRAL, True, False, False, _L.SINGLE_LEG, 2
    ),
    StrategyType.TAIL_HEDGE: StrategyTraits(
        "BUY", _B.BEARISH, True, False, False, _L.SINGLE_LEG, 1
    ),
    StrategyType.SKIP: StrategyTraits("", _B.NEUTRAL, False, False, False, _L.SINGLE_LEG, 0),
}


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg as wanted (`tomic.md` 1.3): identified by exactly one of symbol; strike; offset;
    delta_target.

    `wing_points` (with `option_type`) places a hedge that many index points beyond the short of the
    same type: it is how 5.5 states wings. `ratio` multiplies the structure's quantity.
    """

    option_type: Kind
    direction: str
    symbol: str = ""
    exchange: str = ""
    strike: Decimal | None = None
    offset: str = ""
    delta_target: float | None = None
    wing_points: float | None = None
    expiry: date | None = None
    expiry_offset: int | None = None
    ratio: int = 1


@dataclass(frozen=True, slots=True)
class ResolvedLeg:
    """A leg as it will be traded: a listing, its prices and greeks when it was resolved."""

    listing_id: int
    exchange: str
    symbol: str
    option_type: Kind
    direction: str
    strike: Decimal
    expiry: date
    ratio: int
    lot_size: int
    tick_size: Decimal
    freeze_quantity: int
    ltp: float
    bid: float
    ask: float
    iv: float
    delta: float

    @property
    def mid(self) -> float:
        """Mid of bid and ask where both stand, else the last price."""
        return (self.bid + self.ask) / 2 if self.bid > 0 and self.ask > 0 else self.ltp


@dataclass(frozen=True, slots=True)
class ResolvedStructure:
    """All legs of a structure on real contracts, per unit of the structure, in index points (rupees
    a unit).

    `credit` is positive when money comes in (mid prices); `credit_executable` takes bids for sells
    and asks for buys; `width` the wider side of the shorts' cover, 0 for naked or long structures.
    """

    underlying: str
    spot: float
    legs: tuple[ResolvedLeg, ...]
    credit: float
    credit_executable: float
    width: float
    net_delta: float
    days_to_expiry: float
    as_of_ns: int


@dataclass(frozen=True, slots=True)
class Signal:
    """What an agent wants to do (`tomic.md` 1.7); prices per unit, volatilities decimals a year."""

    correlation_id: str
    source: str
    instrument: str
    strategy: StrategyType
    direction: str
    bias: Bias
    legs: tuple[Leg, ...] = ()
    strength: float = 0.0
    reason: str = ""
    dte_min: int = 0
    dte_max: int = 0
    expiry: date | None = None
    product: str = ""
    entry_mode: str = "continuous"
    entry_price: float = 0.0
    stop_price: float = 0.0
    target_price: float = 0.0
    price_basis: str = "OPTION"
    max_loss_per_unit: float = 0.0
    instrument_vol: float | None = None
    win_rate: float | None = None
    rr_ratio: float | None = None
    lots_max: int = 0
    valid_until_ns: int = 0
    regime_version: int = 0
    pattern: str = ""
    idempotency_key: str = ""
    extras: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DailyPlan:
    """What shall be traded on an instrument today (`tomic.md` 12.2), and how it stands.

    Deltas are sizes, `lots` a ceiling, `margin_estimate` rupees. An inactive plan says why by
    `ended`; `strategy_id` names what it was filled as.
    """

    plan_id: str
    day: date
    instrument: str
    strategy: StrategyType
    entry_mode: str
    vix_at_plan: float
    vix_regime: VixRegime
    regime_at_plan: str
    pcr_at_plan: float
    short_delta: float
    wing_delta: float
    legs: tuple[Leg, ...]
    lots: int
    strength: float
    rationale: str
    made_ns: int
    valid_until_ns: int
    expiry: date | None = None
    margin_estimate: Decimal = Decimal(0)
    reentry_count: int = 0
    is_active: bool = True
    ended: str = ""
    strategy_id: str = ""


@dataclass(frozen=True, slots=True)
class SizingStep:
    """One of the eight steps of sizing: what came in, what went out, why. `input` None =
    unbounded.
    """

    step: int
    name: str
    input: float | None
    output: float
    reason: str


@dataclass(frozen=True, slots=True)
class SizedIntent:
    """A signal that passed risk: what execution must bring about. Quantities in units. It is only
    worth writing down while `fencing_number` is that of the control lease; 0 is bound to none."""

    strategy_id: str
    strategy_tag: str
    idempotency_key: str
    correlation_id: str
    signal: Signal
    structure: ResolvedStructure
    quantity: int
    lots: int
    product: str
    loss_per_unit: float
    margin_required: Decimal
    sizing: tuple[SizingStep, ...]
    regime_version: int
    regime_phase: str
    regime_score: int
    vix: float
    entry_reason: str
    valid_until_ns: int
    naked_approved: bool = False
    approved_by: str = ""
    fencing_number: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was done: a stable code and a sentence for a trader."""

    code: str
    text: str


@dataclass(frozen=True, slots=True)
class RouteDecision:
    """One decision of the router (`tomic.md` 6.4). `action` is ACCEPT, REJECT or DEFER."""

    source: str
    instrument: str
    strategy: str
    action: str
    code: str
    reason: str
    priority: float
    at_ns: int = 0
