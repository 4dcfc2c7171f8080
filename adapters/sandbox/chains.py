"""Chains: an underlying and an expiry into listings, an offset into one option, prices into greeks.

Pure reading of the market; a Refusal says why something cannot be resolved (`openalgo.md` 3.9, 5).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any

import numpy as np

from adapters.sandbox.books import Refusal
from adapters.sandbox.market import Market, cut_off
from domain import black76
from domain.clock import EXCHANGE_ZONE, NS_PER_S, epoch_ns
from domain.instruments import (
    DERIVATIVE_EXCHANGE,
    Kind,
    Listing,
    format_expiry,
    option_symbol,
    parse_expiry,
    parse_symbol,
)

_OFFSET = re.compile(r"^(ATM|(ITM|OTM)([1-9]\d?))$")
OFFSET_MAX = 50
GREEKS = ("delta", "gamma", "theta", "vega", "rho")
SECONDS_A_YEAR = 365 * 86_400


@dataclass(frozen=True, slots=True)
class Underlying:
    """What options are written on, with its last price and the exchange its options trade on."""

    listing: Listing
    option_exchange: str
    expiry: date
    ltp: float


@dataclass(frozen=True, slots=True)
class Strike:
    """One strike of a chain with both its options, None where one is not listed."""

    strike: Decimal
    call: Listing | None
    put: Listing | None


def find_underlying(
    market: Market, name: str, exchange: str, expiry_text: str
) -> Underlying | Refusal:
    """The underlying by name, or by a future that carries the expiry (`NIFTY24NOV26FUT`)."""
    embedded = parse_symbol(name)
    base = embedded.name if embedded else name
    if not expiry_text and embedded is None:
        return Refusal(
            "Expiry date required. Provide via expiry_date parameter or embed in underlying "
            "(e.g., NIFTY28OCT25FUT)."
        )
    try:
        expiry = parse_expiry(expiry_text) if expiry_text or not embedded else embedded.expiry
    except ValueError:
        return Refusal(f"Invalid expiry date {expiry_text}. Use DDMMMYY (e.g., 28OCT25).")
    listing = market.find(exchange, base) or market.source.index.underlying(base)
    if listing is None:
        return Refusal(f"Symbol {base} not found on {exchange}", 404)
    quote = market.quote(listing)
    if quote is None:
        return Refusal(f"Failed to fetch LTP for {base}: no quote available")
    option_exchange = DERIVATIVE_EXCHANGE.get(exchange, exchange)
    if embedded is None and option_exchange not in ("NFO", "BFO", "MCX", "CDS"):
        option_exchange = DERIVATIVE_EXCHANGE.get(listing.exchange, exchange)
    return Underlying(listing, option_exchange, expiry, float(quote.ltp))


def strikes_of(market: Market, underlying: Underlying) -> list[Strike] | Refusal:
    """The whole chain, ascending."""
    rows: dict[Decimal, dict[Kind, Listing]] = {}
    for row in market.source.index.chain(underlying.listing.name, underlying.expiry):
        rows.setdefault(row.strike, {})[row.kind] = row
    if not rows:
        text = format_expiry(underlying.expiry)
        return Refusal(
            f"No strikes found for {underlying.listing.name} expiring {text}. "
            "Please check expiry date or update master contract.",
            404,
        )
    return [
        Strike(strike, pair.get(Kind.CALL), pair.get(Kind.PUT))
        for strike, pair in sorted(rows.items())
    ]


def at_the_money(strikes: list[Strike], ltp: float) -> int:
    """The place of the listed strike nearest the last price; the lower one on a tie."""
    return min(
        range(len(strikes)), key=lambda place: (abs(float(strikes[place].strike) - ltp), place)
    )


def label(place: int, centre: int, kind: Kind) -> str:
    """ATM, or ITMk / OTMk as seen from that side."""
    if place == centre:
        return "ATM"
    inside = (place < centre) == (kind == Kind.CALL)
    return f"{'ITM' if inside else 'OTM'}{abs(place - centre)}"


def resolve_offset(
    market: Market, underlying: Underlying, fields: dict[str, Any], step: Decimal | None
) -> Listing | Refusal:
    """The option at an offset from the money, on listed strikes, or on a grid of `step`."""
    found = _OFFSET.match(fields["offset"])
    if not found or int(found[3] or 0) > OFFSET_MAX + 10:
        return Refusal(
            f"Invalid offset {fields['offset']}. Use ATM, ITM1-ITM{OFFSET_MAX} "
            f"or OTM1-OTM{OFFSET_MAX}."
        )
    strikes = strikes_of(market, underlying)
    if isinstance(strikes, Refusal):
        return strikes
    kind = Kind(fields["option_type"])
    places = int(found[3] or 0)
    up = (found[2] == "OTM") == (kind == Kind.CALL)
    shift = places if up else -places
    if step is not None:
        return _on_grid(market, underlying, kind, _grid_strike(underlying.ltp, step, shift))
    place = at_the_money(strikes, underlying.ltp) + shift
    if places > OFFSET_MAX or not 0 <= place < len(strikes):
        return Refusal(
            f"Offset {fields['offset']} is out of range for available strikes. "
            "Please use a smaller offset."
        )
    row = strikes[place].call if kind == Kind.CALL else strikes[place].put
    if row is None:
        return _on_grid(market, underlying, kind, strikes[place].strike)
    return row


def _grid_strike(ltp: float, step: Decimal, shift: int) -> Decimal:
    centre = (Decimal(repr(ltp)) / step).to_integral_value() * step
    return centre + shift * step


def _on_grid(
    market: Market, underlying: Underlying, kind: Kind, strike: Decimal
) -> Listing | Refusal:
    symbol = option_symbol(underlying.listing.name, underlying.expiry, strike, kind)
    row = market.find(underlying.option_exchange, symbol)
    return row or Refusal(f"Option symbol {symbol} not found in {underlying.option_exchange}", 404)


def synthetic_forward(market: Market, strikes: list[Strike], ltp: float) -> float | None:
    """ATM strike + call - put; None when one of the two has no price."""
    centre = strikes[at_the_money(strikes, ltp)]
    prices = [market.quote(row) for row in (centre.call, centre.put) if row]
    if len(prices) < 2 or prices[0] is None or prices[1] is None:
        return None
    return float(centre.strike) + prices[0].ltp - prices[1].ltp


def expiry_moment_ns(expiry: date, exchange: str, at: time | None = None) -> int:
    """When an option of that segment expires."""
    return epoch_ns(datetime.combine(expiry, at or cut_off(exchange), EXCHANGE_ZONE))


def years_left(expires_ns: int, now_ns: int) -> float:
    """Calendar years to expiry, not below 0."""
    return max(0, expires_ns - now_ns) / NS_PER_S / SECONDS_A_YEAR


def read_greeks(
    prices: Sequence[float],
    strikes: Sequence[float],
    are_calls: Sequence[bool],
    *,
    forward: float,
    years: float,
    rate: float,
) -> list[tuple[float, dict[str, float]]]:
    """Implied volatility (decimal a year) and greeks of each option of one expiry.

    Theta is per calendar day, vega per volatility point. An option with no time value has
    volatility 0, the delta of its intrinsic value, and 0 elsewhere.
    """
    strike, is_call = np.asarray(strikes, dtype=float), np.asarray(are_calls, dtype=bool)
    terms: dict[str, Any] = {"years": years, "rate": rate, "is_call": is_call}
    solved = black76.implied_volatility(np.asarray(prices), forward, strike, **terms)
    volatility = np.where(solved > 0, solved, 0.0)
    found = black76.greeks(forward, strike, volatility=volatility, **terms)
    inside = np.where(is_call, forward > strike, forward < strike)
    columns = {name: np.where(volatility > 0, getattr(found, name), 0.0) for name in GREEKS}
    plain = np.where(inside, np.where(is_call, 1.0, -1.0), 0.0)
    columns["delta"] = np.where(volatility > 0, columns["delta"], plain)
    rows = zip(*(np.round(columns[name], 6).tolist() for name in GREEKS), strict=True)
    greeks = [dict(zip(GREEKS, row, strict=True)) for row in rows]
    return list(zip(volatility.tolist(), greeks, strict=True))
