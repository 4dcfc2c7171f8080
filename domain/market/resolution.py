"""Legs as wanted into legs on real contracts, with prices and greeks, or the refusal that says why.

Rules: `tomic.md` 5.5, 5.6, 8.5. Nothing is invented: every leg needs a listed strike and a live
price, and a structure with one leg missing is refused whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from domain.clock import NS_PER_S, seconds
from domain.instruments import Kind, Listing, format_expiry
from domain.intents import Leg, Refusal, ResolvedLeg, ResolvedStructure
from domain.market.atm import nearest_strike
from domain.market.expiries import expiry_of_leg

DELTA_WARN, DELTA_REFUSE = 0.08, 0.16
DEEP_DELTA, DEEP_DELTA_FALLBACK = 0.90, 0.80
DEEP_SPREAD_MAX = 0.50  # rupees between bid and ask
# No deep option of an index quotes half a rupee; the fallback may cost this share of its price.
DEEP_SPREAD_SHARE_MAX = 0.01
SPOT_AGE_MAX_NS = seconds(5.0)
# Whether a quote is fresh enough to trade is the freshness gate's word; this only bars dead prices.
PRICE_AGE_MAX_NS = seconds(60.0)


@dataclass(frozen=True)
class MarketView:
    """What legs are resolved against: one underlying at one moment.

    `chains` holds priced CHAIN_DTYPE columns by expiry, `listed` the expiries that may still be
    traded, `days` the days to expiry with their fraction, `deep_offset` where a deep option is
    bought when none of its chain has a delta.
    """

    underlying: str
    spot: float
    spot_ns: int
    now_ns: int
    today: date
    listed: Sequence[date]
    chains: Mapping[date, np.ndarray]
    listings: Mapping[int, Listing]
    days: Mapping[date, float]
    deep_offset: str = "ITM1"


@dataclass(frozen=True)
class Resolution:
    """A structure or a refusal.

    `warnings` are sentences for the log; `missing` is an expiry whose chain is not kept yet.
    """

    structure: ResolvedStructure | None
    refusal: Refusal | None = None
    warnings: tuple[str, ...] = ()
    missing: date | None = None


def resolve_legs(
    view: MarketView, legs: Sequence[Leg], *, dte_min: int, dte_max: int, expiry: date | None
) -> Resolution:
    """All legs on real contracts, in their order; the first fault refuses the whole structure."""
    if not view.spot > 0 or view.now_ns - view.spot_ns > SPOT_AGE_MAX_NS:
        limit_s = SPOT_AGE_MAX_NS / NS_PER_S
        text = f"no price of {view.underlying} within {limit_s:g} s, so its strikes cannot be found"
        return Resolution(None, Refusal("STALE_SPOT", text))
    found: dict[int, ResolvedLeg] = {}
    warnings: list[str] = []
    # Hedges stand a distance from their short, so shorts are found first.
    for index in sorted(range(len(legs)), key=lambda i: legs[i].wing_points is not None):
        leg = legs[index]
        day = _expiry(view, leg, dte_min, dte_max, expiry)
        if isinstance(day, Refusal):
            return Resolution(None, day)
        if day not in view.chains:
            text = f"no live chain of {view.underlying} {format_expiry(day)} is kept yet"
            return Resolution(None, Refusal("NO_LIVE_CHAIN", text), missing=day)
        row = _find_row(view, leg, day, found.values(), warnings)
        if isinstance(row, Refusal):
            return Resolution(None, row)
        priced = _check_price(view, row)
        if priced:
            return Resolution(None, priced)
        found[index] = _resolved(view.listings[int(row["listing"])], leg, row)
    resolved = tuple(found[index] for index in range(len(legs)))
    crossed = _check_wings(resolved)
    if crossed:
        return Resolution(None, crossed)
    return Resolution(_structure(view, resolved), warnings=tuple(warnings))


def _expiry(
    view: MarketView, leg: Leg, dte_min: int, dte_max: int, ordered: date | None
) -> date | Refusal:
    for row in view.listings.values() if leg.symbol else ():
        if row.symbol == leg.symbol and row.expiry:
            return row.expiry
    if leg.symbol:
        return Refusal("UNKNOWN_SYMBOL", f"{leg.symbol} is in no kept chain of {view.underlying}")
    return expiry_of_leg(
        leg, view.listed, view.today, dte_min=dte_min, dte_max=dte_max, ordered=ordered
    )


def _find_row(
    view: MarketView, leg: Leg, day: date, others: Any, warnings: list[str]
) -> np.void | Refusal:
    """The chain row of one leg, by whichever of its five ways it is identified."""
    side = view.chains[day]
    side = side[side["is_call"] == (leg.option_type is Kind.CALL)]
    if not len(side):
        return Refusal("STRIKE_NOT_LISTED", f"no {leg.option_type} of {format_expiry(day)} is kept")
    if leg.symbol:
        wanted = [view.listings[int(row["listing"])].symbol == leg.symbol for row in side]
        return _first(side[wanted], f"{leg.symbol} is not among the kept strikes")
    if leg.wing_points is not None:
        short = next((o for o in others if _is_short_of(o, leg, day)), None)
        if short is None:
            text = f"a {leg.option_type} hedge needs a short {leg.option_type} of its expiry"
            return Refusal("WING_WITHOUT_SHORT", text)
        away = leg.wing_points if leg.option_type is Kind.CALL else -leg.wing_points
        return _at_strike(side, leg.option_type, float(short.strike) + away)
    if leg.strike is not None:
        return _at_strike(side, leg.option_type, float(leg.strike))
    if leg.offset:
        return _at_offset(side, leg, view.spot)
    if leg.delta_target is None:
        return Refusal("LEG_NOT_IDENTIFIED", "a leg names no symbol, strike, offset or delta")
    if leg.delta_target >= DEEP_DELTA_FALLBACK:
        if not np.isfinite(side["delta"]).any():
            told = f"no {leg.option_type} of {view.underlying} has a delta"
            warnings.append(f"{told}; {view.deep_offset} is taken")
            return _at_offset(side, replace(leg, offset=view.deep_offset), view.spot)
        return _deep_in_the_money(side, leg.option_type, view.spot)
    return _at_delta(side, leg, view.underlying, warnings)


def _is_short_of(other: ResolvedLeg, leg: Leg, day: date) -> bool:
    same = (other.option_type, other.expiry) == (leg.option_type, day)
    return same and other.direction != leg.direction


def _at_strike(side: np.ndarray, kind: Kind, target: float) -> np.void | Refusal:
    """Puts take the greatest strike at or below the target, calls the least at or above it."""
    if kind is Kind.PUT:
        inside = side[side["strike"] <= target]
        chosen = inside[np.argsort(inside["strike"])[-1:]]
    else:
        inside = side[side["strike"] >= target]
        chosen = inside[np.argsort(inside["strike"])[:1]]
    where = "below" if kind is Kind.PUT else "above"
    return _first(chosen, f"no {kind} strike is kept at or {where} {target:g}")


def _at_offset(side: np.ndarray, leg: Leg, spot: float) -> np.void | Refusal:
    """ATM is the strike nearest the spot; OTMn lies n strikes out of the money from it, ITMn in."""
    ordered = side[np.argsort(side["strike"], kind="stable")]
    word = leg.offset.upper()
    places = 0 if word == "ATM" else int(word[3:])
    upwards = (leg.option_type is Kind.CALL) == (word[:3] == "OTM")
    index = nearest_strike(ordered["strike"], spot) + (places if upwards else -places)
    if not 0 <= index < len(ordered):
        return Refusal("STRIKE_NOT_LISTED", f"no {leg.option_type} strike is kept at {word}")
    return _first(ordered[index : index + 1], "")


def _at_delta(
    side: np.ndarray, leg: Leg, underlying: str, warnings: list[str]
) -> np.void | Refusal:
    """The strike whose |delta| is nearest the target; the one further out of the money on a tie."""
    target = float(leg.delta_target or 0.0)
    usable = side[np.isfinite(side["delta"]) & (side["ltp"] > 0)]
    if not len(usable):
        text = f"no {leg.option_type} of {underlying} has a price and a delta yet"
        return Refusal("NO_LIVE_PRICE", text)
    sizes = np.abs(usable["delta"])
    misses = np.round(np.abs(sizes - target), 9)
    chosen = usable[np.lexsort((sizes, misses))[0]]
    miss = round(abs(abs(float(chosen["delta"])) - target), 9)
    told = (
        f"{leg.option_type} {chosen['strike']:g} of {underlying} has delta {chosen['delta']:.2f}, "
        f"{miss:.2f} from the wanted {target:.2f}"
    )
    if miss > DELTA_REFUSE:
        return Refusal("DELTA_OUT_OF_TOLERANCE", f"{told}; the limit is {DELTA_REFUSE:.2f}")
    if miss > DELTA_WARN:
        warnings.append(told)
    result: np.void = chosen
    return result


def _deep_in_the_money(side: np.ndarray, kind: Kind, spot: float) -> np.void | Refusal:
    """The shallowest strike of |delta| 0.90 if it quotes within half a rupee, else the one of 0.80
    if it quotes within that or 1 % of its price."""
    inside = side["strike"] < spot if kind is Kind.CALL else side["strike"] > spot
    usable = side[inside & np.isfinite(side["delta"]) & (side["bid"] > 0) & (side["ask"] > 0)]
    usable = usable[np.argsort(np.abs(usable["strike"] - spot), kind="stable")]
    for least, share in ((DEEP_DELTA, 0.0), (DEEP_DELTA_FALLBACK, DEEP_SPREAD_SHARE_MAX)):
        deep = usable[np.abs(usable["delta"]) >= least]
        if not len(deep):
            continue
        bid, ask = float(deep[0]["bid"]), float(deep[0]["ask"])
        if round(ask - bid, 6) <= max(DEEP_SPREAD_MAX, share * (bid + ask) / 2):
            result: np.void = deep[0]
            return result
    text = (
        f"no {kind} of delta {DEEP_DELTA_FALLBACK:.2f} or more has a bid and an ask within "
        f"{DEEP_SPREAD_SHARE_MAX:.0%} of its price"
    )
    return Refusal("ILLIQUID", text)


def _first(rows: np.ndarray, fault: str) -> np.void | Refusal:
    if not len(rows):
        return Refusal("STRIKE_NOT_LISTED", fault)
    result: np.void = rows[0]
    return result


def _check_price(view: MarketView, row: np.void) -> Refusal | None:
    symbol = view.listings[int(row["listing"])].symbol
    if not row["ltp"] > 0:
        return Refusal("NO_LIVE_PRICE", f"{symbol} has no price yet")
    age_ns = view.now_ns - int(row["ts_ns"])
    if age_ns > PRICE_AGE_MAX_NS:
        limit_s = PRICE_AGE_MAX_NS / NS_PER_S
        text = f"the price of {symbol} is {age_ns / NS_PER_S:.0f} s old, limit {limit_s:g} s"
        return Refusal("NO_LIVE_PRICE", text)
    return None


def _check_wings(legs: Sequence[ResolvedLeg]) -> Refusal | None:
    for short, long in _covers(legs):
        outward = 1 if short.option_type is Kind.CALL else -1
        if (long.strike - short.strike) * outward <= 0:
            text = f"hedge {long.symbol} is not further out of the money than short {short.symbol}"
            return Refusal("WING_NOT_FURTHER_OTM", text)
    return None


def _covers(legs: Sequence[ResolvedLeg]) -> list[tuple[ResolvedLeg, ResolvedLeg]]:
    """Every (short, long) of one type and expiry."""
    return [
        (short, long)
        for short in legs
        for long in legs
        if (short.direction, long.direction) == ("SELL", "BUY")
        and (short.option_type, short.expiry) == (long.option_type, long.expiry)
    ]


def _resolved(listing: Listing, leg: Leg, row: np.void) -> ResolvedLeg:
    assert listing.expiry is not None  # options have one
    return ResolvedLeg(
        listing_id=listing.listing_id,
        exchange=listing.exchange,
        symbol=listing.symbol,
        option_type=listing.kind,
        direction=leg.direction,
        strike=listing.strike,
        expiry=listing.expiry,
        ratio=leg.ratio,
        lot_size=listing.lot_size,
        tick_size=listing.tick_size,
        freeze_quantity=listing.freeze_quantity,
        ltp=float(row["ltp"]),
        bid=_or_zero(row["bid"]),
        ask=_or_zero(row["ask"]),
        iv=float(row["iv"]),
        delta=float(row["delta"]),
    )


def _or_zero(value: Any) -> float:
    return float(value) if value > 0 else 0.0


def _structure(view: MarketView, legs: tuple[ResolvedLeg, ...]) -> ResolvedStructure:
    """Credit by mids, by what can be had at once, width of the wider covered side, net delta."""
    credit = executable = net_delta = 0.0
    for leg in legs:
        sign = 1 if leg.direction == "SELL" else -1
        touch = leg.bid if leg.direction == "SELL" else leg.ask
        credit += sign * leg.ratio * leg.mid
        executable += sign * leg.ratio * (touch or leg.mid)
        net_delta -= sign * leg.ratio * leg.delta
    widths = [float(abs(short.strike - long.strike)) for short, long in _covers(legs)]
    return ResolvedStructure(
        underlying=view.underlying,
        spot=view.spot,
        legs=legs,
        credit=credit,
        credit_executable=executable,
        width=max(widths, default=0.0),
        net_delta=net_delta,
        days_to_expiry=min(view.days[leg.expiry] for leg in legs),
        as_of_ns=view.now_ns,
    )
