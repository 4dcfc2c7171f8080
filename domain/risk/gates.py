"""What the real contracts and the account add to the gates of an entry: the broker's book, prices,
margin and credit (`tomic.md` 5.5, 7.7, 8.11, 15.3). Regime and positions: domain/gates.py.

Each gate is a function that returns None, or the refusal of the first rule that says no.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from domain.calendar import ExchangeCalendar
from domain.charges import ChargeRates, round_trip_charges
from domain.events import Event, event_words
from domain.intents import STRATEGY_TRAITS, Refusal, ResolvedStructure, Signal, StrategyType
from domain.prices import money
from domain.readings import MarginState
from domain.risk.exits import STOCK_SESSIONS_MIN, sessions_to_delivery

MARGIN_MAX_AGE_S = 60
# Credit after costs, as a share of the width (`tomic.md` 15.3, 2).
CREDIT_SHARE_MIN = {
    StrategyType.BULL_PUT_SPREAD: 0.25,
    StrategyType.BEAR_CALL_SPREAD: 0.25,
    StrategyType.IRON_CONDOR: 0.20,
}


def check_reconciled(structure: ResolvedStructure, unexplained: Iterable[str]) -> Refusal | None:
    """No entry on an instrument whose difference with the broker is unexplained (`tomic.md`
    8.11)."""
    held = set(unexplained) & {f"{leg.exchange}:{leg.symbol}" for leg in structure.legs}
    if not held:
        return None
    return Refusal(
        "RECONCILE_OPEN", f"{min(held)} differs from the broker's book and is not yet explained"
    )


def check_delivery(
    structure: ResolvedStructure, today: date, calendars: Mapping[str, ExchangeCalendar]
) -> Refusal | None:
    """No entry into a stock's options that would be left at once because they settle in shares
    (`tomic.md` 12.4)."""
    for leg in structure.legs:
        calendar = calendars.get(leg.exchange)
        left = sessions_to_delivery(structure.underlying, leg.expiry, today, calendar)
        if left is not None and left <= STOCK_SESSIONS_MIN:
            text = f"{leg.symbol} settles in shares {left} sessions from now; it is not opened"
            return Refusal("DELIVERY_NEAR", text)
    return None


def check_event(signal: Signal, event: tuple[Event, int] | None) -> Refusal | None:
    """No naked premium within a session of a listed event; what is hedged goes at half size
    (`tomic.md` 15.3, 4)."""
    traits = STRATEGY_TRAITS[signal.strategy]
    if event is None or not (traits.premium_selling and traits.naked):
        return None
    text = f"{signal.strategy} is naked, and {event_words(*event)}"
    return Refusal("EVENT_NEAR", f"{text}: nothing is sold without its hedge")


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
