"""A structure that was cut for the delta of a short, wanted again two strikes further out
(`tomic.md` 12.4).

It is a signal like any other: the router, the loop's guards and risk may each refuse it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal

from domain.clock import seconds
from domain.instruments import Kind
from domain.intents import Leg, Refusal, ResolvedLeg, Signal, SizedIntent

SOURCE = "REOPEN"
STRIKES_FURTHER = 2
VALID_NS = seconds(900.0)
FROM = "reopened_from"


def reopened(
    intent: SizedIntent,
    breached: Sequence[str],
    strikes: Mapping[date, Sequence[Decimal]],
    now_ns: int,
) -> Signal | Refusal:
    """The same structure with its breached sides two listed strikes further out of the money, its
    other legs where they were; or why there is none.

    `breached` are symbols of its shorts, `strikes` the listed ones by expiry, ascending. What was
    opened again once is not opened a third time: the market goes against it.
    """
    signal, name = intent.signal, intent.signal.instrument
    if signal.extras.get(FROM):
        text = f"{name}: {intent.strategy_id} was opened again once; it is not a second time"
        return Refusal("REOPENED_ONCE", text)
    sides = {leg.option_type for leg in intent.structure.legs if leg.symbol in breached}
    legs = []
    for leg in intent.structure.legs:
        strike = leg.strike
        if leg.option_type in sides:
            further = _further(leg, strikes.get(leg.expiry, ()))
            if further is None:
                text = f"{name}: no strike is listed two beyond {leg.symbol}"
                return Refusal("REOPEN_NO_STRIKE", text)
            strike = further
        legs.append(
            Leg(leg.option_type, leg.direction, strike=strike, expiry=leg.expiry, ratio=leg.ratio)
        )
    words = " and ".join(sorted("puts" if side is Kind.PUT else "calls" for side in sides))
    return Signal(
        correlation_id=f"{SOURCE}:{intent.strategy_id}:{now_ns}",
        source=SOURCE,
        instrument=name,
        strategy=signal.strategy,
        direction=signal.direction,
        bias=signal.bias,
        legs=tuple(legs),
        strength=signal.strength,
        reason=f"{intent.strategy_id} was cut for its delta: its {words} two strikes further out",
        expiry=min(leg.expiry for leg in intent.structure.legs),
        product=intent.product,
        entry_mode=signal.entry_mode,
        instrument_vol=signal.instrument_vol,
        lots_max=intent.lots,
        valid_until_ns=now_ns + VALID_NS,
        extras={FROM: intent.strategy_id},
    )


def _further(leg: ResolvedLeg, listed: Sequence[Decimal]) -> Decimal | None:
    """Two listed strikes further out of the money; None where the list ends before."""
    if leg.option_type is Kind.PUT:
        beyond = [strike for strike in reversed(listed) if strike < leg.strike]
    else:
        beyond = [strike for strike in listed if strike > leg.strike]
    return beyond[STRIKES_FURTHER - 1] if len(beyond) >= STRIKES_FURTHER else None
