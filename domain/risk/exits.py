"""When to leave an open structure: hold, trail, take profit, stop, time (`tomic.md` 12.4).

Money is rupees for the whole structure: `credit` what came in, `cost` what buying it back would
take now, at the asks of its shorts and the bids of its longs. A debit structure has a negative
credit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from decimal import Decimal

from domain.calendar import ExchangeCalendar
from domain.clock import NS_PER_S, exchange_time
from domain.instruments import INDEX_PREFIXES, OPTION_KINDS
from domain.intents import Bias, Signal, StrategyType
from domain.positions import Position

TAKE_PROFIT = 0.50
STOP_COST_X = 2.0  # buy-back at twice the credit: a loss of one credit
TRAIL_ARMS_AT, TRAIL_KEEPS = 0.30, 0.50
DEBIT_STOP, DEBIT_TARGET = 0.50, 1.00
DELTA_WARN, DELTA_ADJUST = 0.35, 0.45
READS_NEEDED = 2  # one bad quote must not close a structure (`tomic.md` 15.3, 7)
EXPIRY_DAYS_MIN = 1
TIME_STOP_BARS = 5  # of a directional entry (`tomic.md` 2.3)
HEDGE_ROLL_DAYS = 7  # so long before its end a month's hedge is sold for the next
STOCK_SESSIONS_MIN = 2  # stock options settle in shares
GAMMA_EXIT_BEFORE_SQUARE_OFF_S = 300
# At the money by design: their shorts are born beyond the delta limits.
_BORN_AT_THE_MONEY = (StrategyType.SHORT_STRADDLE, StrategyType.CALENDAR_DIAGONAL)
# Income ends before gamma rules it; an exercised option pays its tax on the whole settlement.
_LEFT_BEFORE_EXPIRY = (
    StrategyType.CALENDAR_DIAGONAL,
    StrategyType.DITM_CALL,
    StrategyType.DITM_PUT,
)
# Words of the journal (`tomic.md` 9.5) for each closing action.
EXIT_REASONS = {
    "CLOSE_LOSS": "sl_hit",
    "CLOSE_TRAIL": "trail_hit",
    "CLOSE_PROFIT": "tp_hit",
    "CLOSE_TIME": "time_exit",
    "ADJUST_DELTA": "delta_cut",
    "CLOSE_BLIND": "feed_lost",
}


@dataclass(frozen=True, slots=True)
class Trail:
    """What an exit remembers between reads. `peak` is the best profit share since it was armed."""

    armed: bool = False
    peak: float = 0.0
    pending: str = ""
    reads: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """A PositionAction, why, and the memory to keep."""

    action: str
    reason: str
    trail: Trail


@dataclass(frozen=True, slots=True)
class Levels:
    """Stop and target of a directional entry, as prices of the underlying; 0 where there is none.
    A bullish one has its stop below."""

    underlying: str
    is_bullish: bool
    stop: float = 0.0
    target: float = 0.0


@dataclass(frozen=True, slots=True)
class Deadlines:
    """The day's appointments for exits, epoch ns; 0 where there is none."""

    today: date
    intraday_exit_ns: int = 0
    square_off_ns: int = 0


def levels_of(signal: Signal) -> Levels | None:
    """The levels of a signal whose prices are the underlying's; None for any other."""
    if signal.price_basis != "UNDERLYING" or not (signal.stop_price or signal.target_price):
        return None
    is_bullish = signal.bias is Bias.BULLISH
    return Levels(signal.instrument, is_bullish, signal.stop_price, signal.target_price)


def decide_exit(
    legs: Sequence[Position],
    cost: float | None,
    deltas: Mapping[str, float],
    trail: Trail,
    at_level: tuple[str, str] | None = None,
) -> Decision:
    """What the prices say. `cost` None means some leg has no executable price: nothing is decided,
    but by `at_level`, what `check_levels` says of the underlying.

    `deltas` maps a position's key to the delta of its option now. A closing action counts when two
    reads in a row say the same.
    """
    if legs[0].strategy == StrategyType.TAIL_HEDGE:
        return Decision("HOLD", "a hedge is held for the day it is needed", trail)
    if at_level:
        return _confirmed(*at_level, trail.peak, trail)
    if cost is None:
        return Decision("HOLD", "a leg has no executable price", trail)
    credit = entry_credit(legs)
    if credit == 0:
        return Decision("HOLD", "it was opened for nothing: no share of it can be taken", trail)
    # Gamma is bought to expire: its whole debit was sized to be lost (`tomic.md` 12.5).
    has_stop = legs[0].strategy != StrategyType.GAMMA_CAPTURE
    price = _by_price(credit, cost, trail, has_stop=has_stop)
    by_delta = (
        _by_delta(legs, deltas) if credit > 0 and price[0] in ("HOLD", "ACTIVATE_TRAIL") else None
    )
    action, reason = by_delta or price
    return _confirmed(action, reason, _profit_share(credit, cost), trail)


def check_levels(levels: Levels | None, spot: float) -> tuple[str, str] | None:
    """(action, reason) when the underlying's price reached stop or target; None while it did
    not, or while no price is known (0 or NaN)."""
    if levels is None or not spot > 0:
        return None
    side = 1 if levels.is_bullish else -1
    name = levels.underlying
    if levels.stop > 0 and side * (spot - levels.stop) <= 0:
        return "CLOSE_LOSS", f"{name} at {spot:.2f} reached its stop {levels.stop:.2f}"
    if levels.target > 0 and side * (spot - levels.target) >= 0:
        return "CLOSE_PROFIT", f"{name} at {spot:.2f} reached its target {levels.target:.2f}"
    return None


def check_time(
    legs: Sequence[Position],
    deadlines: Deadlines,
    now_ns: int,
    sessions_left: int | None = None,
    bars_held: int | None = None,
) -> str:
    """Why the clock says leave now; empty while it does not.

    `sessions_left` counts the sessions before the front expiry of a stock's options, None for an
    index; `bars_held` the daily bars since a directional entry, None for any other.
    """
    product, strategy = legs[0].product, legs[0].strategy
    leaves_ns = deadlines.intraday_exit_ns
    if strategy == StrategyType.GAMMA_CAPTURE and deadlines.square_off_ns:
        leaves_ns = deadlines.square_off_ns - GAMMA_EXIT_BEFORE_SQUARE_OFF_S * NS_PER_S
    if product == "MIS" and leaves_ns and now_ns >= leaves_ns:
        return f"intraday exit at {exchange_time(leaves_ns):%H:%M}"
    expiries = [leg.expiry for leg in legs if leg.expiry]
    days = (min(expiries) - deadlines.today).days if expiries else None
    if strategy == StrategyType.TAIL_HEDGE and days is not None and days <= HEDGE_ROLL_DAYS:
        return f"{days} days to expiry: the hedge is rolled"
    ends_early = credit_structure(legs) or strategy in _LEFT_BEFORE_EXPIRY
    if product != "MIS" and ends_early and days is not None and days <= EXPIRY_DAYS_MIN:
        return f"{days} days to expiry"
    if bars_held is not None and bars_held >= TIME_STOP_BARS:
        return f"{bars_held} daily bars without its stop or target: time stop"
    if sessions_left is not None and sessions_left <= STOCK_SESSIONS_MIN:
        return f"{sessions_left} sessions to the expiry of a stock's options"
    return ""


def sessions_to_delivery(
    underlying: str, expiry: date, today: date, calendar: ExchangeCalendar | None
) -> int | None:
    """Sessions from tomorrow to the expiry of a stock's options, which settle in shares; None for
    an index, and without a calendar.
    """
    if underlying in INDEX_PREFIXES or calendar is None:
        return None
    days = (today + timedelta(days=n) for n in range(1, (expiry - today).days + 1))
    return sum(1 for day in days if calendar.session(day))


def bars_since(entry: date, today: date, calendar: ExchangeCalendar | None) -> int | None:
    """Daily bars that closed since an entry, the bar of its own day included; None without a
    calendar."""
    if calendar is None:
        return None
    days = (entry + timedelta(days=n) for n in range((today - entry).days))
    return sum(1 for day in days if calendar.session(day))


def entry_credit(legs: Iterable[Position]) -> float:
    """Rupees that came in when it was opened; negative for a debit."""
    paid = sum((leg.average_price * leg.signed_quantity for leg in legs), Decimal(0))
    return -float(paid)


def credit_structure(legs: Sequence[Position]) -> bool:
    """True for a structure that was paid for being opened."""
    return entry_credit(legs) > 0


def closing_cost(
    legs: Iterable[Position], quotes: Mapping[str, tuple[float, float]]
) -> float | None:
    """Rupees to close now: shorts bought at the ask, longs sold at the bid; None without a price.

    `quotes` maps a position's key to (bid, ask), NaN where none stands. A long nobody bids for is
    worth nothing; a short nobody offers cannot be priced.
    """
    cost = 0.0
    for leg in legs:
        bid, ask = quotes.get(leg.key, (math.nan, math.nan))
        if leg.direction == "BUY":
            price = bid if bid > 0 else 0.0
        elif ask > 0:
            price = ask
        else:
            return None
        cost -= price * leg.signed_quantity
    return cost


def _profit_share(credit: float, cost: float) -> float:
    """Profit as a share of the credit, or of the debit for a debit structure."""
    return (credit - cost) / abs(credit)


def _by_price(credit: float, cost: float, trail: Trail, *, has_stop: bool) -> tuple[str, str]:
    share = _profit_share(credit, cost)
    text = f"profit {share:.0%} of {'credit' if credit > 0 else 'debit'}"
    if credit < 0:
        if share <= -DEBIT_STOP and has_stop:
            return "CLOSE_LOSS", f"{text}: stop at half the debit"
        return ("CLOSE_PROFIT", f"{text}: target") if share >= DEBIT_TARGET else ("HOLD", text)
    if cost >= STOP_COST_X * credit:
        return "CLOSE_LOSS", f"buying back costs {cost:.0f}, twice the credit of {credit:.0f}"
    if trail.armed and share <= max(0.0, TRAIL_KEEPS * trail.peak):
        return "CLOSE_TRAIL", f"{text} after a peak of {trail.peak:.0%}"
    if share >= TAKE_PROFIT:
        return "CLOSE_PROFIT", f"{text}: half is enough"
    if share >= TRAIL_ARMS_AT and not trail.armed:
        return "ACTIVATE_TRAIL", f"{text}: the trail is armed"
    return "HOLD", text


def _by_delta(legs: Sequence[Position], deltas: Mapping[str, float]) -> tuple[str, str] | None:
    if legs[0].strategy in _BORN_AT_THE_MONEY:
        return None
    for leg in _breached(legs, deltas):
        delta = abs(deltas[leg.key])
        return "ADJUST_DELTA", f"the short {leg.symbol} has delta {delta:.2f}"
    return None


def breached_shorts(legs: Sequence[Position], deltas: Mapping[str, float]) -> tuple[str, ...]:
    """Symbols of the shorts beyond the delta at which a structure is cut."""
    return tuple(leg.symbol for leg in _breached(legs, deltas))


def _breached(legs: Sequence[Position], deltas: Mapping[str, float]) -> list[Position]:
    shorts = [leg for leg in legs if leg.direction == "SELL" and leg.kind in OPTION_KINDS]
    return [leg for leg in shorts if abs(deltas.get(leg.key, math.nan)) > DELTA_ADJUST]


def delta_warning(legs: Sequence[Position], deltas: Mapping[str, float]) -> str:
    """A sentence for each short beyond the warning delta; empty when there is none."""
    if legs[0].strategy in _BORN_AT_THE_MONEY:
        return ""
    shorts = (leg for leg in legs if leg.direction == "SELL" and leg.kind in OPTION_KINDS)
    deltas_of = ((leg.symbol, abs(deltas.get(leg.key, math.nan))) for leg in shorts)
    return ", ".join(f"{name} at delta {d:.2f}" for name, d in deltas_of if d > DELTA_WARN)


def _confirmed(action: str, reason: str, share: float, trail: Trail) -> Decision:
    armed = trail.armed or action == "ACTIVATE_TRAIL"
    peak = max(trail.peak, share) if armed else trail.peak
    if action in ("HOLD", "ACTIVATE_TRAIL"):
        return Decision(action, reason, Trail(armed, peak))
    reads = trail.reads + 1 if trail.pending == action else 1
    kept = replace(trail, armed=armed, peak=peak, pending=action, reads=reads)
    if reads < READS_NEEDED:
        return Decision("HOLD", f"{reason}; waiting for a second read", kept)
    return Decision(action, reason, kept)
