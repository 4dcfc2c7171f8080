"""Options endpoints (`openalgo.md` 3.9, 3.10, 5): offsets, chains, greeks, synthetic futures."""

from __future__ import annotations

from datetime import time
from decimal import Decimal
from typing import Any

from adapters.sandbox import chains
from adapters.sandbox.books import Refusal, Ticket
from adapters.sandbox.chains import Strike, Underlying
from adapters.sandbox.data_routes import count, number
from adapters.sandbox.instance import ANALYZE, Answer, Instance, done, error, found, refused
from adapters.sandbox.market import Market
from adapters.sandbox.order_routes import (
    Fields,
    outcome_fields,
    split,
    split_results,
    ticket_of,
    too_many_text,
)
from domain.clock import NS_PER_S
from domain.instruments import (
    OPTION_KINDS,
    Kind,
    Listing,
    ParsedSymbol,
    format_expiry,
    parse_symbol,
)


def _resolve(market: Market, fields: Fields, leg: Fields) -> tuple[Underlying, Listing] | Refusal:
    """The underlying and the option that a leg's offset means."""
    expiry = leg.get("expiry_date") or fields.get("expiry_date") or ""
    under = chains.find_underlying(market, fields["underlying"], fields["exchange"], expiry)
    if isinstance(under, Refusal):
        return under
    step = Decimal(fields["strike_int"]) if fields.get("strike_int") else None
    row = chains.resolve_offset(market, under, leg, step)
    return row if isinstance(row, Refusal) else (under, row)


def _ticket(fields: Fields, leg: Fields, row: Listing) -> Ticket:
    return ticket_of(leg, fields["strategy"], exchange=row.exchange, symbol=row.symbol)


def options_order(instance: Instance, fields: Fields) -> Answer:
    """3.9: one option by its offset."""
    resolved = _resolve(instance.market, fields, fields)
    if isinstance(resolved, Refusal):
        return refused(resolved)
    under, row = resolved
    ticket = _ticket(fields, fields, row)
    about = {
        "symbol": row.symbol,
        "exchange": row.exchange,
        "underlying": under.listing.name,
        "underlying_ltp": number(under.ltp),
        "offset": fields["offset"],
        "option_type": fields["option_type"],
    }
    if fields["splitsize"]:
        return split(instance, ticket, fields["splitsize"], "optionsorder", **about)
    outcome = instance.place(ticket, "optionsorder")
    if isinstance(outcome, Refusal):
        return refused(outcome)
    return done(orderid=outcome.order_id, **about)


def options_multi_order(instance: Instance, fields: Fields) -> Answer:
    """3.10: every BUY leg before any SELL leg; a failed leg says so in its row."""
    legs = list(enumerate(fields["legs"], start=1))
    legs.sort(key=lambda pair: pair[1]["action"] != "BUY")
    first = chains.find_underlying(
        instance.market,
        fields["underlying"],
        fields["exchange"],
        fields["expiry_date"] or legs[0][1]["expiry_date"],
    )
    if isinstance(first, Refusal):
        return refused(first)
    rows = [_leg_row(instance, fields, place, leg) for place, leg in legs]
    results = sorted((row for row in rows if row), key=lambda row: row["leg"])
    return done(underlying=first.listing.name, underlying_ltp=number(first.ltp), results=results)


def _leg_row(instance: Instance, fields: Fields, place: int, leg: Fields) -> Fields | None:
    """Places one leg; None when the test bench loses it."""
    if instance.faults.leg_lost(instance.name, "optionsmultiorder", place):
        return None
    row: Fields = {
        "leg": place,
        "offset": leg["offset"],
        "option_type": leg["option_type"],
        "action": leg["action"],
        "product": leg["product"],
        **ANALYZE,
    }
    resolved = _resolve(instance.market, fields, leg)
    if isinstance(resolved, Refusal):
        return {**row, "status": "error", "message": resolved.message}
    listing = resolved[1]
    row.update(symbol=listing.symbol, exchange=listing.exchange)
    ticket = _ticket(fields, leg, listing)
    if not leg["splitsize"]:
        return {**row, **outcome_fields(instance.place(ticket, "optionsmultiorder"))}
    results = split_results(instance, ticket, leg["splitsize"], "optionsmultiorder")
    if results is None:
        return {**row, "status": "error", "message": too_many_text()}
    good = all(part["status"] == "success" for part in results)
    return {**row, "status": "success" if good else "error", "split_results": results}


def option_symbol(instance: Instance, fields: Fields) -> Answer:
    """The option at an offset, without an order."""
    resolved = _resolve(instance.market, fields, fields)
    if isinstance(resolved, Refusal):
        return error(resolved.message, resolved.http_status)
    under, row = resolved
    return found(
        symbol=row.symbol,
        exchange=row.exchange,
        lotsize=row.lot_size,
        tick_size=float(row.tick_size),
        freeze_qty=row.freeze_quantity,
        underlying_ltp=number(under.ltp),
    )


def option_chain(instance: Instance, fields: Fields) -> Answer:
    """Strikes around the money with both quotes, and greeks when asked for."""
    market = instance.market
    under = chains.find_underlying(
        market, fields["underlying"], fields["exchange"], fields["expiry_date"]
    )
    if isinstance(under, Refusal):
        return error(under.message, under.http_status)
    strikes = chains.strikes_of(market, under)
    if isinstance(strikes, Refusal):
        return error(strikes.message, strikes.http_status)
    centre = chains.at_the_money(strikes, under.ltp)
    reach = int(fields["strike_count"] or len(strikes))
    shown = range(max(0, centre - reach), min(len(strikes), centre + reach + 1))
    forward = chains.synthetic_forward(market, strikes, under.ltp)
    rows = [_chain_row(market, strikes[place], (place, centre)) for place in shown]
    greeks = fields["with_greeks"]
    if greeks:
        rate = float(fields["interest_rate"]) / 100.0
        _add_greeks(market, rows, under, forward=forward or under.ltp, rate=rate)
    quote = market.quote(under.listing)
    expires_ns = chains.expiry_moment_ns(under.expiry, under.option_exchange)
    return found(
        underlying=fields["underlying"],
        underlying_symbol=under.listing.symbol,
        underlying_exchange=under.listing.exchange,
        underlying_ltp=number(under.ltp),
        underlying_prev_close=number(quote.prev_close) if quote else 0.0,
        expiry_date=format_expiry(under.expiry),
        expiry_ts=expires_ns // NS_PER_S,
        server_ts=market.now_ns() // NS_PER_S,
        atm_strike=float(strikes[centre].strike),
        quotes_included=True,
        greeks_included=greeks,
        forward_price=round(forward, 2) if greeks and forward is not None else None,
        chain=rows,
    )


def _add_greeks(
    market: Market, rows: list[Fields], under: Underlying, *, forward: float, rate: float
) -> None:
    """Volatility in percent and greeks into every leg of a chain, all in one computation."""
    legs = [(row, kind) for row in rows for kind in ("ce", "pe") if row[kind]]
    expires_ns = chains.expiry_moment_ns(under.expiry, under.option_exchange)
    found = chains.read_greeks(
        [row[kind]["ltp"] for row, kind in legs],
        [row["strike"] for row, _ in legs],
        [kind == "ce" for _, kind in legs],
        forward=forward,
        years=chains.years_left(expires_ns, market.now_ns()),
        rate=rate,
    )
    for (row, kind), (volatility, greeks) in zip(legs, found, strict=True):
        del greeks["rho"]
        row[kind].update(implied_volatility=round(100 * volatility, 2), **greeks)


def _chain_row(market: Market, strike: Strike, places: tuple[int, int]) -> Fields:
    return {
        "strike": float(strike.strike),
        "ce": _chain_leg(market, strike.call, chains.label(*places, Kind.CALL)),
        "pe": _chain_leg(market, strike.put, chains.label(*places, Kind.PUT)),
    }


def _chain_leg(market: Market, listing: Listing | None, label: str) -> Fields | None:
    if listing is None:
        return None
    quote = market.quote(listing)
    numbers = ("ltp", "bid", "ask", "open", "high", "low", "prev_close")
    leg: Fields = {"symbol": listing.symbol, "label": label}
    leg.update({name: number(getattr(quote, name)) if quote else 0.0 for name in numbers})
    leg.update(
        bid_qty=count(quote.bid_quantity) if quote else 0,
        ask_qty=count(quote.ask_quantity) if quote else 0,
        volume=count(quote.volume) if quote else 0,
        oi=count(quote.open_interest) if quote else 0,
        lotsize=listing.lot_size,
        tick_size=float(listing.tick_size),
    )
    return leg


def option_greeks(instance: Instance, fields: Fields) -> Answer:
    """Greeks of one option."""
    outcome = _greeks(instance.market, fields)
    if isinstance(outcome, Refusal):
        return error(outcome.message, outcome.http_status)
    return found(**outcome)


def multi_option_greeks(instance: Instance, fields: Fields) -> Answer:
    """Greeks of many options; a failed row says so."""
    rows: list[dict[str, Any]] = []
    for row in fields["symbols"]:
        terms = {name: fields[name] for name in ("interest_rate", "expiry_time")}
        outcome = _greeks(instance.market, {**row, **terms, "forward_price": None})
        if isinstance(outcome, Refusal):
            message = {"status": "error", "message": outcome.message}
            rows.append({"symbol": row["symbol"], "exchange": row["exchange"], **message})
        else:
            rows.append({"status": "success", **outcome})
    good = sum(row["status"] == "success" for row in rows)
    summary = {"total": len(rows), "success": good, "failed": len(rows) - good}
    return found(data=rows, summary=summary)


def _greeks(market: Market, fields: Fields) -> Fields | Refusal:
    symbol, exchange = fields["symbol"], fields["exchange"]
    parsed = parse_symbol(symbol)
    if parsed is None or parsed.kind not in OPTION_KINDS:
        return Refusal(f"Invalid option symbol format: {symbol}")
    listing = market.find(exchange, symbol)
    quote = market.quote(listing) if listing else None
    if quote is None:
        return Refusal(f"Symbol {symbol} not found in exchange {exchange}", 404)
    spot = _spot(market, parsed, fields)
    if isinstance(spot, Refusal):
        return spot
    try:
        at = time.fromisoformat(fields["expiry_time"]) if fields["expiry_time"] else None
    except ValueError:
        return Refusal(f"Invalid expiry_time {fields['expiry_time']}. Use HH:MM")
    years = chains.years_left(chains.expiry_moment_ns(parsed.expiry, exchange, at), market.now_ns())
    under, forward = spot
    ((volatility, greeks),) = chains.read_greeks(
        [quote.ltp],
        [float(parsed.strike)],
        [parsed.kind == Kind.CALL],
        forward=forward,
        years=years,
        rate=float(fields["interest_rate"]) / 100.0,
    )
    return {
        "symbol": symbol,
        "exchange": exchange,
        "underlying": parsed.name,
        "strike": float(parsed.strike),
        "option_type": parsed.kind.value,
        "expiry_date": f"{parsed.expiry:%d-%b-%Y}",
        "days_to_expiry": round(years * 365, 4),
        "spot_price": number(under),
        "option_price": number(quote.ltp),
        "interest_rate": float(fields["interest_rate"]),
        "implied_volatility": round(100 * volatility, 2),
        "greeks": greeks,
    }


def _spot(market: Market, parsed: ParsedSymbol, fields: Fields) -> tuple[float, float] | Refusal:
    """The price to show and the forward to use: the caller's, else the chain's by parity."""
    if fields["forward_price"] is not None:
        return float(fields["forward_price"]), float(fields["forward_price"])
    if fields["underlying_symbol"]:
        exchange = fields["underlying_exchange"] or fields["exchange"]
        listing = market.find(exchange, fields["underlying_symbol"])
        quote = market.quote(listing) if listing else None
        if quote is None:
            return Refusal(f"Failed to fetch LTP for {fields['underlying_symbol']}", 404)
        return quote.ltp, quote.ltp
    under = chains.find_underlying(
        market, parsed.name, fields["exchange"], format_expiry(parsed.expiry)
    )
    if isinstance(under, Refusal):
        return under
    strikes = chains.strikes_of(market, under)
    if isinstance(strikes, Refusal):
        return under.ltp, under.ltp
    forward = chains.synthetic_forward(market, strikes, under.ltp)
    return under.ltp, under.ltp if forward is None else forward


def synthetic_future(instance: Instance, fields: Fields) -> Answer:
    """The future that the options at the money imply."""
    market = instance.market
    under = chains.find_underlying(
        market, fields["underlying"], fields["exchange"], fields["expiry_date"]
    )
    if isinstance(under, Refusal):
        return error(under.message, under.http_status)
    strikes = chains.strikes_of(market, under)
    if isinstance(strikes, Refusal):
        return error(strikes.message, strikes.http_status)
    forward = chains.synthetic_forward(market, strikes, under.ltp)
    if forward is None:
        return error(f"No quotes at the money for {fields['underlying']}")
    return found(
        underlying=fields["underlying"],
        underlying_ltp=number(under.ltp),
        expiry=format_expiry(under.expiry),
        atm_strike=float(strikes[chains.at_the_money(strikes, under.ltp)].strike),
        synthetic_future_price=round(forward, 2),
    )
