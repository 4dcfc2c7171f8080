"""Market data endpoints (`openalgo.md` 5): quotes, depth, history, master, calendar."""

from __future__ import annotations

import csv
import io
import math
from datetime import date, datetime, timedelta
from typing import Any

from adapters.sandbox.candles import (
    DAYS,
    HOURS,
    INTERVALS,
    MINUTES,
    SECONDS,
    fold_days,
    fold_minutes,
    minutes_of,
)
from adapters.sandbox.instance import Answer, Instance, error, found
from adapters.sandbox.market import Market
from adapters.sandbox.order_routes import Fields
from domain.brokers import HistoryBar
from domain.clock import EXCHANGE_ZONE, NS_PER_S, epoch_ns, exchange_time
from domain.instruments import OPTION_KINDS, Kind, Listing

MASTER_COLUMNS = (
    "symbol", "brsymbol", "name", "exchange", "brexchange", "token", "expiry", "strike",
    "lotsize", "instrumenttype", "tick_size",
)  # fmt: skip
TICKER_INTRADAY_DAYS, TICKER_DAILY_DAYS = 30, 3_653
NS_PER_MS = 1_000_000


def number(value: float) -> float:
    """A source's number; what it does not know is 0 on the wire."""
    return 0.0 if math.isnan(value) else round(float(value), 4)


def count(value: int) -> int:
    """A source's count; what it does not know is 0 on the wire."""
    return max(0, int(value))


def expiry_text(listing: Listing) -> str:
    """`24-NOV-26`, or nothing."""
    return f"{listing.expiry:%d-%b-%y}".upper() if listing.expiry else ""


def master_row(listing: Listing) -> dict[str, Any]:
    """One row of the instrument master."""
    return {
        "symbol": listing.symbol,
        "brsymbol": listing.symbol,
        "name": listing.name,
        "exchange": listing.exchange,
        "brexchange": listing.exchange,
        "token": listing.token or str(listing.listing_id),
        "expiry": expiry_text(listing),
        "strike": float(listing.strike),
        "lotsize": listing.lot_size,
        "instrumenttype": listing.kind.value,
        "tick_size": float(listing.tick_size),
        "freeze_qty": listing.freeze_quantity,
    }


def _quote_data(market: Market, listing: Listing) -> dict[str, Any] | None:
    quote = market.quote(listing)
    if quote is None:
        return None
    return {
        "open": number(quote.open),
        "high": number(quote.high),
        "low": number(quote.low),
        "ltp": number(quote.ltp),
        "bid": number(quote.bid),
        "ask": number(quote.ask),
        "prev_close": number(quote.prev_close),
        "volume": count(quote.volume),
        "oi": count(quote.open_interest),
    }


def _not_found(symbol: str, exchange: str) -> str:
    return (
        f"Symbol '{symbol}' not found for exchange '{exchange}'. "
        "Please verify the symbol name and ensure master contracts are downloaded."
    )


def _no_quote(symbol: str, exchange: str) -> str:
    return f"No quote available for {symbol} on {exchange}"


def quotes(instance: Instance, fields: Fields) -> Answer:
    """One quote."""
    listing = instance.market.find(fields["exchange"], fields["symbol"])
    if listing is None:
        return error(_not_found(fields["symbol"], fields["exchange"]))
    data = _quote_data(instance.market, listing)
    if data is None:
        return error(_no_quote(fields["symbol"], fields["exchange"]))
    return found(data=data)


def multi_quotes(instance: Instance, fields: Fields) -> Answer:
    """Many quotes; failures come first."""
    good: list[dict[str, Any]] = []
    bad: list[dict[str, Any]] = []
    for row in fields["symbols"]:
        symbol, exchange = row["symbol"], row["exchange"]
        listing = instance.market.find(exchange, symbol)
        data = _quote_data(instance.market, listing) if listing else None
        if data:
            good.append({"symbol": symbol, "exchange": exchange, "data": data})
            continue
        why = _no_quote(symbol, exchange) if listing else _not_found(symbol, exchange)
        bad.append({"symbol": symbol, "exchange": exchange, "error": why})
    return found(results=bad + good)


def depth(instance: Instance, fields: Fields) -> Answer:
    """Five levels a side, best first."""
    listing = instance.market.find(fields["exchange"], fields["symbol"])
    if listing is None:
        return error(_not_found(fields["symbol"], fields["exchange"]))
    data = _quote_data(instance.market, listing)
    if data is None:
        return error(_no_quote(fields["symbol"], fields["exchange"]))
    bids, asks = instance.market.source.depth(listing.listing_id)
    del data["bid"], data["ask"]
    data.update(
        bids=[{"price": number(level[0]), "quantity": int(level[1])} for level in bids],
        asks=[{"price": number(level[0]), "quantity": int(level[1])} for level in asks],
        totalbuyqty=sum(int(level[1]) for level in bids),
        totalsellqty=sum(int(level[1]) for level in asks),
        ltq=listing.lot_size,
    )
    return found(data=data)


def read_bars(
    market: Market, listing: Listing, interval: str, span: tuple[date, date]
) -> list[HistoryBar]:
    """Candles of an interval over both days inclusive, ascending."""
    if interval in SECONDS:
        return []
    if interval in DAYS:
        return fold_days(market.source.history(listing, "D", *span), interval)
    calendar = market.calendar(listing.exchange)

    def opens_ns(day: date) -> int:
        session = calendar.session(day)
        return session.opens_ns if session else epoch_ns(_midnight(day))

    bars = market.source.history(listing, "1m", *span)
    folded = fold_minutes(bars, minutes_of(interval), opens_ns)
    if interval != "15m":
        return folded
    # A taped market knows quarters of an hour of before its first minute.
    quarters = market.source.history(listing, interval, *span)
    return [bar for bar in quarters if not folded or bar.start_ns < folded[0].start_ns] + folded


def _candle(bar: HistoryBar) -> dict[str, Any]:
    return {
        "timestamp": bar.start_ns // NS_PER_S,
        "open": number(bar.open),
        "high": number(bar.high),
        "low": number(bar.low),
        "close": number(bar.close),
        "volume": count(bar.volume),
        "oi": count(bar.open_interest),
    }


def history(instance: Instance, fields: Fields) -> Answer:
    """Candles, ascending, stamped with their start in epoch seconds."""
    if fields["interval"] not in INTERVALS:
        return error({"interval": [f"Must be one of: {', '.join(INTERVALS)}."]})
    listing = instance.market.find(fields["exchange"], fields["symbol"])
    if listing is None:
        return error(_not_found(fields["symbol"], fields["exchange"]))
    span = (fields["start_date"], fields["end_date"])
    bars = read_bars(instance.market, listing, fields["interval"], span)
    return found(data=[_candle(bar) for bar in bars])


def ticker(instance: Instance, fields: Fields) -> Answer:
    """History by GET, as JSON or as lines."""
    exchange, _, symbol = fields["path"].partition(":")
    if fields["interval"] not in INTERVALS:
        return error({"interval": [f"Must be one of: {', '.join(INTERVALS)}."]})
    listing = instance.market.find(exchange, symbol.upper())
    if listing is None:
        return error(_not_found(symbol, exchange))
    daily = fields["interval"] in DAYS
    days = TICKER_DAILY_DAYS if daily else TICKER_INTRADAY_DAYS
    first = max(fields["from"], fields["to"] - timedelta(days=days))
    bars = read_bars(instance.market, listing, fields["interval"], (first, fields["to"]))
    if fields["format"] == "json":
        return found(data=[_candle(bar) for bar in bars])
    pattern = "%Y-%m-%d" if daily else "%Y-%m-%d,%H:%M:%S"
    lines = (
        f"{exchange}:{symbol.upper()},{exchange_time(bar.start_ns).strftime(pattern)},"
        f"{bar.open},{bar.high},{bar.low},{bar.close},{bar.volume}"
        for bar in bars
    )
    return Answer("\n".join(lines), media_type="text/plain")


def intervals(instance: Instance, fields: Fields) -> Answer:
    """What history can be asked for here."""
    return found(
        data={
            "seconds": [],
            "minutes": list(MINUTES),
            "hours": list(HOURS),
            "days": ["D"],
            "weeks": ["W"],
            "months": ["M"],
        }
    )


def expiry_dates(instance: Instance, fields: Fields) -> Answer:
    """Expiry dates of an underlying, ascending."""
    name, exchange, kind = fields["symbol"], fields["exchange"], fields["instrumenttype"]
    today = instance.market.now().date()
    kinds = OPTION_KINDS if kind == "options" else (Kind.FUTURE,)
    rows = instance.market.source.index.by_id.values()
    dates = sorted(
        {
            row.expiry
            for row in rows
            if row.name == name and row.exchange == exchange and row.kind in kinds and row.expiry
        }
    )
    texts = [f"{day:%d-%b-%y}".upper() for day in dates if day >= today]
    where = f"for {name} {kind} in {exchange}"
    if not texts:
        return found(message=f"No expiry dates found {where}", data=[])
    return found(message=f"Found {len(texts)} expiry dates {where}", data=texts)


def symbol(instance: Instance, fields: Fields) -> Answer:
    """One row of the master."""
    listing = instance.market.find(fields["exchange"], fields["symbol"])
    if listing is None:
        return error(f"Symbol {fields['symbol']} not found in exchange {fields['exchange']}", 404)
    return found(data={"id": listing.listing_id, **master_row(listing)})


def search(instance: Instance, fields: Fields) -> Answer:
    """Rows in which every word of the query is found."""
    words = fields["query"].upper().split()
    if not words:
        return error("Query parameter is required and cannot be empty")
    rows = [
        master_row(row)
        for row in instance.market.source.index.by_id.values()
        if fields["exchange"] in (None, row.exchange) and _matches(row, words)
    ]
    if not rows:
        return found(message="No matching symbols found", data=[])
    return found(message=f"Found {len(rows)} matching symbols", data=rows)


def _matches(listing: Listing, words: list[str]) -> bool:
    text = f"{listing.symbol} {listing.name} {expiry_text(listing)} {listing.kind}".upper()
    return all(word in text for word in words)


def instruments(instance: Instance, fields: Fields) -> Answer:
    """The master of one exchange, or of all."""
    rows = [
        master_row(row)
        for row in instance.market.source.index.by_id.values()
        if fields["exchange"] in (None, row.exchange)
    ]
    if fields["format"] == "json":
        return found(message=f"Found {len(rows)} instruments", data=rows)
    text = io.StringIO()
    writer = csv.DictWriter(text, MASTER_COLUMNS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return Answer(text.getvalue(), media_type="text/csv")


def ping(instance: Instance, fields: Fields) -> Answer:
    """Is anyone there?"""
    return found(data={"message": "pong", "broker": instance.name})


def analyzer(instance: Instance, fields: Fields) -> Answer:
    """The sandbox is always in analyzer mode; that it never closes is told too."""
    data = {
        "analyze_mode": True,
        "mode": "analyze",
        "total_logs": instance.calls_answered,
        "always_open": instance.market.always_open,
        "derived": list(instance.market.source.derived),
    }
    return found(data=data)


def analyzer_toggle(instance: Instance, fields: Fields) -> Answer:
    """There is nothing to switch to."""
    if not fields["mode"]:
        return error("Sandbox instance has no live mode")
    data = {"analyze_mode": True, "mode": "analyze", "total_logs": instance.calls_answered}
    return found(data={**data, "message": "Analyzer mode switched to analyze"})


def holidays(instance: Instance, fields: Fields) -> Answer:
    """Days of a year on which segments stay closed, or trade though the day is none."""
    year = int(fields["year"]) if fields["year"] else instance.market.now().year
    calendars = instance.market.calendars.values()
    names = {day: on.why for row in calendars for day, on in row.special.items()}
    names |= {day: why for row in calendars for day, why in row.holidays.items()}
    data: list[dict[str, Any]] = []
    for day in sorted(day for day in names if day.year == year):
        shut = [row.exchange for row in calendars if row.session(day) is None]
        special = [row for row in calendars if day in row.special]
        is_holiday = any(day in row.holidays and row.exchange in shut for row in calendars)
        data.append(
            {
                "date": day.isoformat(),
                "description": names[day],
                "holiday_type": "TRADING_HOLIDAY" if is_holiday else "SPECIAL_SESSION",
                "closed_exchanges": shut,
                "open_exchanges": [
                    _hours_of(instance.market, row.exchange, day) for row in special
                ],
            }
        )
    return found(year=year, timezone="Asia/Kolkata", data=data)


def timings(instance: Instance, fields: Fields) -> Answer:
    """Hours of every segment on a day, epoch milliseconds; empty when all are closed."""
    try:
        day = date.fromisoformat(fields["date"])
    except ValueError:
        return error("Invalid date format. Use YYYY-MM-DD")
    market = instance.market
    open_ones = [name for name, row in market.calendars.items() if row.session(day)]
    return found(data=[_hours_of(market, name, day) for name in open_ones])


def _hours_of(market: Market, exchange: str, day: date) -> dict[str, Any]:
    session = market.calendars[exchange].session(day)
    opens, closes = (session.opens_ns, session.closes_ns) if session else (0, 0)
    return {
        "exchange": exchange,
        "start_time": opens // NS_PER_MS,
        "end_time": closes // NS_PER_MS,
    }


def notify(instance: Instance, fields: Fields) -> Answer:
    """The sandbox runs no bot."""
    return error("Telegram bot is not running", 409)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, datetime.min.time(), EXCHANGE_ZONE)
