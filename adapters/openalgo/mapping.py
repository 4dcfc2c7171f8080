"""OpenAlgo's rows as domain values, and back. Pure and lenient in spelling, never in value.

A row whose numbers cannot be read raises ValueError: a book half read is no book. Frames of market
data are read in adapters.openalgo.frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.brokers import BrokerOrder, BrokerPosition, Funds, HistoryBar, OrderRequest
from domain.clock import EXCHANGE_ZONE, NS_PER_S, epoch_ns
from domain.instruments import (
    INDEX_EXCHANGES,
    Kind,
    Listing,
    parse_expiry,
    parse_symbol,
)

Row = Mapping[str, Any]

# `tomic.md` 8.11 and `openalgo.md` 14: the names under which brokers give the same thing.
SYMBOL = ("symbol", "tradingsymbol", "tradingSymbol", "instrument", "trdSym")
EXCHANGE = ("exchange", "exchangeSegment", "exSeg")
PRODUCT = ("product", "productType", "product_type", "prod")
QUANTITY = ("quantity", "netqty", "netQty", "net_qty", "qty")
AVERAGE = ("average_price", "avg_price", "avgprice", "avgPrc", "costPrice", "entry_price")
LAST_PRICE = ("ltp", "last_price", "mark_price")
ORDER_ID = ("orderid", "order_id")
PRICE_TYPE = ("pricetype", "price_type")
ORDER_STATUS = ("order_status", "status")
FILLED = ("filled_quantity", "filledqty", "filled_qty")
MS_FROM = 10**12  # `tomic.md` 11.1: a greater epoch is in milliseconds
NS_PER_MS = NS_PER_S // 1000
BETWEEN_TOKENS = "::::"
_STATUS = {
    "complete": "complete", "completed": "complete", "filled": "complete", "executed": "complete",
    "traded": "complete",
    "open": "open",
    "trigger pending": "trigger pending", "trigger_pending": "trigger pending",
    "rejected": "rejected",
    "cancelled": "cancelled", "canceled": "cancelled",
    "expired": "expired", "lapsed": "expired",
}  # fmt: skip
_STOP_TYPES = ("SL", "SL-M")
_TIME_SPELLINGS = (
    "%Y-%m-%d %H:%M:%S",
    "%d-%b-%Y %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%H:%M:%S %d-%m-%Y",
)


# -- words and numbers --


def pick(row: Row, names: Iterable[str], default: Any = None) -> Any:
    """The first of these fields that stands in the row with a value."""
    for name in names:
        value = row.get(name)
        if value is not None and value != "":
            return value
    return default


def number(value: Any) -> Decimal:
    """An exact number from a number or a text with commas; ValueError for all else."""
    try:
        exact = Decimal(str(value).replace(",", "").strip())
    except InvalidOperation:
        raise ValueError(f"{value!r} is not a number") from None
    if isinstance(value, bool) or not exact.is_finite():
        raise ValueError(f"{value!r} is not a number")
    return exact


def whole(value: Any) -> int:
    """A whole number (also `65.0`); ValueError for all else."""
    exact = number(value)
    if exact != exact.to_integral_value():
        raise ValueError(f"{value!r} is not a whole number")
    return int(exact)


def moment_ns(value: Any) -> int:
    """Epoch nanoseconds of epoch seconds, milliseconds, or a wall time at the exchange; 0 if
    none."""
    if value in (None, "", 0):
        return 0
    if type(value) is int:  # what a feed sends: no detour by Decimal, a thousand times a second
        return value * (NS_PER_MS if value > MS_FROM else NS_PER_S)
    try:
        count = number(value)
    except ValueError:
        return _spelled_ns(str(value).strip())
    return int(count * (NS_PER_MS if count > MS_FROM else NS_PER_S))


def _spelled_ns(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
        return epoch_ns(moment if moment.tzinfo else moment.replace(tzinfo=EXCHANGE_ZONE))
    except ValueError:
        pass  # not ISO: one of the other spellings
    for spelling in _TIME_SPELLINGS:
        try:
            return epoch_ns(datetime.strptime(text, spelling).replace(tzinfo=EXCHANGE_ZONE))
        except ValueError:
            continue
    return 0


def order_status(word: str, price_type: str) -> str:
    """One of domain.brokers.BrokerOrder's words. `pending` is a stop's waiting or plain `open`; a
    word we do not know counts as open, since an open order is looked at again."""
    cleaned = word.strip().lower()
    if cleaned == "pending":
        return "trigger pending" if price_type in _STOP_TYPES else "open"
    return _STATUS.get(cleaned, "open")


# -- books --


def is_partial_row(row: Row) -> bool:
    """True for an order that may have filled but whose row does not say how much, or at what
    price."""
    status = order_status(str(pick(row, ORDER_STATUS, "")), "")
    filled, average = pick(row, FILLED), pick(row, AVERAGE)
    if status not in ("open", "complete", "cancelled"):
        return False
    if filled is None or average is None:
        return True
    return number(filled) > 0 and number(average) == 0


def fills_of(trades: Iterable[Row]) -> dict[str, tuple[int, Decimal]]:
    """Quantity and average price by order id, summed over a trade book."""
    sums: dict[str, tuple[int, Decimal]] = {}
    for row in trades:
        order_id = str(pick(row, ORDER_ID, ""))
        quantity, price = whole(pick(row, QUANTITY)), number(pick(row, (*AVERAGE, "price")))
        units, value = sums.get(order_id, (0, Decimal(0)))
        sums[order_id] = (units + quantity, value + quantity * price)
    return {order_id: (units, value / units) for order_id, (units, value) in sums.items() if units}


def to_order(row: Row, fills: Mapping[str, tuple[int, Decimal]]) -> BrokerOrder:
    """One row of the order book; `fills` supplies what the row itself does not say."""
    order_id = str(pick(row, ORDER_ID, ""))
    if not order_id:
        raise ValueError("an order without an id")
    price_type = str(pick(row, PRICE_TYPE, "MARKET")).upper()
    status = order_status(str(pick(row, ORDER_STATUS, "")), price_type)
    quantity = whole(pick(row, QUANTITY))
    traded, average = fills.get(order_id, (0, Decimal(0)))
    told = pick(row, FILLED)
    filled = whole(told) if told is not None else traded
    if told is None and status == "complete":
        filled = quantity
    return BrokerOrder(
        order_id=order_id,
        exchange=str(pick(row, EXCHANGE, "")),
        symbol=str(pick(row, SYMBOL, "")),
        action=str(pick(row, ("action",), "")).upper(),
        quantity=quantity,
        price_type=price_type,
        product=str(pick(row, PRODUCT, "")).upper(),
        price=number(pick(row, ("price",), 0)),
        trigger_price=number(pick(row, ("trigger_price",), 0)),
        status=status,
        filled_quantity=filled,
        average_price=number(pick(row, AVERAGE, 0)) or average,
        rejection=str(pick(row, ("rejection_reason",), "")),
        tag=str(pick(row, ("strategy",), "")),
        ordered_at_ns=moment_ns(pick(row, ("timestamp",))),
    )


def to_positions(rows: Iterable[Row]) -> list[BrokerPosition]:
    """The position book without its flat rows."""
    positions = []
    for row in rows:
        symbol, quantity = pick(row, SYMBOL), whole(pick(row, QUANTITY, 0))
        if not symbol or quantity == 0:
            continue
        positions.append(
            BrokerPosition(
                exchange=str(pick(row, EXCHANGE, "")),
                symbol=str(symbol),
                product=str(pick(row, PRODUCT, "")).upper(),
                quantity=quantity,
                average_price=number(pick(row, AVERAGE, 0)),
                last_price=number(pick(row, LAST_PRICE, 0)),
                realized=number(pick(row, ("today_realized_pnl", "realized_pnl"), 0)),
            )
        )
    return positions


def to_funds(row: Row) -> Funds:
    """The account's money; ValueError when the cash is not told."""
    return Funds(
        available=number(row.get("availablecash")),
        used_margin=number(row.get("utiliseddebits", 0)),
        realized=number(row.get("m2mrealized", 0)),
        unrealized=number(row.get("m2munrealized", 0)),
    )


def to_bars(rows: Iterable[Row]) -> list[HistoryBar]:
    """Candles in order of time, the last of equal times."""
    bars = {}
    for row in rows:
        start_ns = moment_ns(row.get("timestamp"))
        if not start_ns:
            raise ValueError(f"candle time {row.get('timestamp')!r} cannot be read")
        bars[start_ns] = HistoryBar(
            start_ns=start_ns,
            open=float(number(row.get("open"))),
            high=float(number(row.get("high"))),
            low=float(number(row.get("low"))),
            close=float(number(row.get("close"))),
            volume=whole(row.get("volume") or 0),
            open_interest=whole(row.get("oi") or 0),
        )
    return [bars[start_ns] for start_ns in sorted(bars)]


def to_listing(row: Row) -> Listing | None:
    """One row of the instrument master; None for what is neither share, index, future nor
    option."""
    symbol, exchange = str(row.get("symbol") or "").upper(), str(row.get("exchange") or "").upper()
    parsed = parse_symbol(symbol)
    if exchange in INDEX_EXCHANGES:
        name, kind = symbol, Kind.INDEX
    elif parsed:
        name, kind = parsed.name, parsed.kind
    elif str(row.get("instrumenttype") or "").upper() == "EQ":
        name, kind = symbol, Kind.EQUITY
    else:
        return None
    expiry, strike = row.get("expiry"), number(row.get("strike") or 0)
    return Listing(
        listing_id=0,
        exchange=exchange,
        symbol=symbol,
        name=name,
        kind=kind,
        lot_size=whole(row.get("lotsize") or 1),
        tick_size=number(row.get("tick_size") or "0.05"),
        freeze_quantity=whole(row.get("freeze_qty") or 0),
        expiry=parse_expiry(str(expiry)) if expiry else (parsed.expiry if parsed else None),
        strike=strike if strike > 0 else Decimal(0),
        # Zerodha's instances write two numbers; the first is the one that its feed knows.
        token=str(row.get("token") or "").partition(BETWEEN_TOKENS)[0],
    )


# -- requests --


def order_body(request: OrderRequest) -> dict[str, str]:
    """The fields of one order as placeorder, basket legs and margin share them; numbers as
    texts."""
    body = {
        "symbol": request.symbol,
        "exchange": request.exchange,
        "action": request.action,
        "quantity": str(request.quantity),
        "pricetype": request.price_type,
        "product": request.product,
    }
    if request.price:
        body["price"] = str(request.price)
    if request.trigger_price:
        body["trigger_price"] = str(request.trigger_price)
    return body
