"""The black-swan hedge: far puts of the index, bought once a month for a small budget (`tomic.md`
7.9).

It is no opinion of the market: regime gates do not stop it, breakers do. Money is rupees.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

from domain.clock import seconds
from domain.instruments import Kind
from domain.intents import STRATEGY_TRAITS, Leg, Refusal, Signal, StrategyType
from domain.positions import BookSnapshot

SOURCE, UNDERLYING = "HEDGE", "NIFTY"
BUDGET_LEAST, TRADES_MIN, PROFIT_SHARE = 5_000.0, 30, 0.015
PUT_DELTA = 0.05
DTE = (30, 45)


@dataclass(frozen=True, slots=True)
class Track:
    """What closed trades came to: how many, and what a month of them brings on average."""

    closed_trades: int
    monthly_profit: float


def hedge_budget(track: Track) -> float:
    """What a month's hedge may cost: 5,000, and from 30 closed trades on 1.5 % of a month's profit
    where that is more."""
    if track.closed_trades < TRADES_MIN:
        return BUDGET_LEAST
    return max(BUDGET_LEAST, PROFIT_SHARE * track.monthly_profit)


def month_of(day: date) -> str:
    """The month that a hedge is of, as 2026-11."""
    return f"{day:%Y-%m}"


def is_held(book: BookSnapshot) -> bool:
    """True while a hedge stands."""
    return any(row.strategy == StrategyType.TAIL_HEDGE for row in book.open_positions)


def hedge_hold(
    month: str, bought_in: str, track: Track | None, book: BookSnapshot | None, *, is_watched: bool
) -> Refusal | None:
    """Why no hedge is bought now; None when one is due. `bought_in` is the month of the last."""
    if not is_watched:
        return Refusal("HEDGE_UNWATCHED", f"{UNDERLYING} is not among TOMIC_FEED_UNDERLYINGS")
    if book is None or track is None:
        return Refusal("HEDGE_WAITS", "the book or the closed trades are not known yet")
    if is_held(book):
        text = f"{UNDERLYING}: a hedge stands; it is rolled a week before it ends"
        return Refusal("HEDGE_HELD", text)
    if bought_in == month:
        return Refusal("HEDGE_BOUGHT", f"{UNDERLYING}: the hedge of {month} was bought")
    return None


def hedge_signal(track: Track, now_ns: int, *, valid_s: float, regime_version: int) -> Signal:
    """The month's put, sized by its budget."""
    traits = STRATEGY_TRAITS[StrategyType.TAIL_HEDGE]
    budget = hedge_budget(track)
    return Signal(
        correlation_id=f"{SOURCE}:{UNDERLYING}:{now_ns}",
        source=SOURCE,
        instrument=UNDERLYING,
        strategy=StrategyType.TAIL_HEDGE,
        direction=traits.direction,
        bias=traits.bias,
        legs=(Leg(Kind.PUT, "BUY", delta_target=PUT_DELTA),),
        reason=f"the month's hedge: puts of 5 delta for {budget:,.0f} rupees",
        dte_min=DTE[0],
        dte_max=DTE[1],
        product="NRML",
        valid_until_ns=now_ns + seconds(valid_s),
        regime_version=regime_version,
        extras={"max_abs_inr": f"{budget:.2f}"},
    )
