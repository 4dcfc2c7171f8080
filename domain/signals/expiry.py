"""The last hour of an expiry: a cheap call and a cheap put, bought to expire (`tomic.md` 12.5).

Long options of the last hour lose on average after costs, so nothing runs this unless it is
switched on. Prices are rupees a unit, times epoch ns; the chain is CHAIN_DTYPE.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import numpy as np

from domain.clock import NS_PER_S, exchange_time, seconds
from domain.instruments import Kind
from domain.intents import STRATEGY_TRAITS, Leg, Refusal, Signal, StrategyType

SOURCE, ENTRY_MODE = "EXPIRY", "expiry_gamma"


@dataclass(frozen=True, slots=True)
class ExpiryRules:
    """The hour is told by the session: it begins so long before its intraday exit and ends so long
    before it (14:00 to 15:00 of a usual one). Rupees a unit, seconds."""

    begins_before_exit_s: float = 3_600.0
    ends_before_exit_s: float = 0.0
    price_min: float = 0.5
    price_max: float = 10.0
    quote_age_max_s: float = 10.0
    strength: float = 50.0


@dataclass(frozen=True, slots=True)
class ExpiringChain:
    """The chain of an underlying that expires today, as last told."""

    underlying: str
    expiry: date
    spot: float
    columns: np.ndarray
    heard_ns: int


def window_hold(
    rules: ExpiryRules, underlying: str, now_ns: int, intraday_exit_ns: int
) -> Refusal | None:
    """Why the session says not now; None within the hour. `intraday_exit_ns` is 0 while nothing
    trades."""
    if not intraday_exit_ns:
        return Refusal("OUTSIDE_EXPIRY_HOUR", f"{underlying}: no session is open")
    first = intraday_exit_ns - seconds(rules.begins_before_exit_s)
    last = intraday_exit_ns - seconds(rules.ends_before_exit_s)
    if first <= now_ns < last:
        return None
    text = (
        f"{underlying}: expiry options are bought from {exchange_time(first):%H:%M} to "
        f"{exchange_time(last):%H:%M}"
    )
    return Refusal("OUTSIDE_EXPIRY_HOUR", text)


def gamma_legs(chain: ExpiringChain, now_ns: int, rules: ExpiryRules) -> tuple[Leg, ...] | Refusal:
    """The nearest out-of-the-money put and call in the band of prices, or why not both."""
    name = chain.underlying
    age_s = (now_ns - chain.heard_ns) / NS_PER_S
    if not chain.spot > 0 or age_s > rules.quote_age_max_s:
        return Refusal(
            "NO_LIVE_CHAIN", f"{name}: the chain that expires today is {age_s:.0f} s old"
        )
    legs = []
    for kind in (Kind.PUT, Kind.CALL):
        strike = _nearest_cheap(chain, kind, rules)
        if strike is None:
            word = "put" if kind is Kind.PUT else "call"
            text = (
                f"{name}: no {word} out of the money costs {rules.price_min:g} to "
                f"{rules.price_max:g} rupees"
            )
            return Refusal("NO_CHEAP_OPTION", text)
        legs.append(Leg(kind, "BUY", strike=Decimal(str(strike)), expiry=chain.expiry))
    return tuple(legs)


def gamma_signal(
    chain: ExpiringChain, legs: tuple[Leg, ...], rules: ExpiryRules, *, now_ns: int, valid_s: float
) -> Signal:
    """Both legs as one structure of the day."""
    traits = STRATEGY_TRAITS[StrategyType.GAMMA_CAPTURE]
    words = " and ".join(f"{leg.option_type} {_plain(leg.strike)}" for leg in legs)
    return Signal(
        correlation_id=f"{SOURCE}:{chain.underlying}:{now_ns}",
        source=SOURCE,
        instrument=chain.underlying,
        strategy=StrategyType.GAMMA_CAPTURE,
        direction=traits.direction,
        bias=traits.bias,
        legs=legs,
        strength=rules.strength,
        reason=f"expiry today: cheap {words} at spot {chain.spot:.0f}",
        expiry=chain.expiry,
        entry_mode=ENTRY_MODE,
        valid_until_ns=now_ns + seconds(valid_s),
    )


def _nearest_cheap(chain: ExpiringChain, kind: Kind, rules: ExpiryRules) -> float | None:
    """The strike nearest the spot whose offer lies in the band; no offer, no purchase."""
    rows = chain.columns[chain.columns["is_call"] == (kind is Kind.CALL)]
    out = rows["strike"] > chain.spot if kind is Kind.CALL else rows["strike"] < chain.spot
    cheap = (rows["ask"] >= rules.price_min) & (rows["ask"] <= rules.price_max)
    found = rows["strike"][out & cheap]
    if not len(found):
        return None
    return float(found.min() if kind is Kind.CALL else found.max())


def _plain(strike: Decimal | None) -> str:
    """24900.0 as 24900, 142.5 as it is."""
    return f"{strike.normalize():f}" if strike else "?"
