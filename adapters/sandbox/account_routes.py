"""Books and account endpoints (`openalgo.md` 4): what the account holds, in the wire's words."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from adapters.sandbox import rules
from adapters.sandbox.books import (
    CANCELLED,
    COMPLETE,
    OPEN,
    REJECTED,
    TRIGGER_PENDING,
    ZERO,
    Order,
    Position,
    Refusal,
    Ticket,
)
from adapters.sandbox.instance import ANALYZE, Answer, Instance, done, error, found, refused
from adapters.sandbox.margins import PAISA
from adapters.sandbox.order_routes import Fields
from domain.clock import exchange_time

PRICE_DIGITS = Decimal("0.0001")


def money(value: Decimal) -> float:
    """Rupees as the wire carries them."""
    return float(value.quantize(PAISA))


def price(value: Decimal) -> float:
    """A price as the wire carries it; an average may need more than a paisa."""
    return float(value.quantize(PRICE_DIGITS))


def stamp(at_ns: int) -> str:
    """`2026-11-21 01:39:34`, the exchange's wall time."""
    return f"{exchange_time(at_ns):%Y-%m-%d %H:%M:%S}"


def order_row(order: Order) -> dict[str, Any]:
    """One row of the order book."""
    return {
        "orderid": order.order_id,
        "symbol": order.symbol,
        "exchange": order.exchange,
        "action": order.action,
        "quantity": order.quantity,
        "price": price(order.price),
        "trigger_price": price(order.trigger_price),
        "pricetype": order.price_type,
        "product": order.product,
        "order_status": order.status,
        "average_price": price(order.average_price),
        "filled_quantity": order.filled_quantity,
        "pending_quantity": order.pending_quantity,
        "rejection_reason": order.rejection,
        "strategy": order.strategy,
        "timestamp": stamp(order.placed_ns),
    }


def order_book(instance: Instance, fields: Fields) -> Answer:
    """Orders of the session, newest first, and their counts."""
    orders = list(reversed(instance.exchange.account.orders.values()))

    def count(word: str, value: str) -> int:
        return sum(getattr(row, word) == value for row in orders)

    statistics = {
        "total_buy_orders": count("action", "BUY"),
        "total_sell_orders": count("action", "SELL"),
        "total_completed_orders": count("status", COMPLETE),
        "total_open_orders": count("status", OPEN),
        "total_rejected_orders": count("status", REJECTED),
        "total_cancelled_orders": count("status", CANCELLED),
        "total_trigger_pending_orders": count("status", TRIGGER_PENDING),
    }
    return done(data={"orders": [order_row(row) for row in orders], "statistics": statistics})


def book_as_of(instance: Instance, at_ns: int) -> Answer:
    """The order book as it was then, without younger orders and younger changes."""
    rows = [
        row if row.updated_ns <= at_ns else replace(row, status=OPEN, filled_quantity=0)
        for row in reversed(instance.exchange.account.orders.values())
        if row.placed_ns <= at_ns
    ]
    return done(data={"orders": [order_row(row) for row in rows], "statistics": {}})


def order_status(instance: Instance, fields: Fields) -> Answer:
    """One order; the price type under both names it is known by."""
    order = instance.exchange.account.orders.get(fields["orderid"])
    if order is None:
        return refused(Refusal(f"Order {fields['orderid']} not found", 404))
    row = order_row(order)
    return done(data={**row, "price_type": row["pricetype"]})


def open_position(instance: Instance, fields: Fields) -> Answer:
    """The signed net quantity; 0 when there is none."""
    key = (fields["exchange"], fields["symbol"], fields["product"])
    return done(quantity=instance.exchange.account.position(*key).quantity)


def trade_book(instance: Instance, fields: Fields) -> Answer:
    """Fills of the session, newest first."""
    rows: list[dict[str, Any]] = []
    for trade in reversed(instance.exchange.account.trades):
        row = {
            "orderid": trade.order_id,
            "tradeid": trade.trade_id,
            "symbol": trade.symbol,
            "exchange": trade.exchange,
            "action": trade.action,
            "quantity": trade.quantity,
            "price": price(trade.price),
            "average_price": price(trade.price),
            "trade_value": money(trade.price * trade.quantity),
            "product": trade.product,
            "strategy": trade.strategy,
            "timestamp": stamp(trade.at_ns),
        }
        rows.extend([row] * (2 if trade.order_id in instance.twice_reported else 1))
    return done(data=rows)


def unrealized(instance: Instance, position: Position) -> tuple[Decimal, Decimal]:
    """The last price and (last - average) x quantity; 0 without a price."""
    last = instance.exchange.mark(position.exchange, position.symbol)
    if not last or not position.quantity:
        return last, ZERO
    return last, (last - position.average_price) * position.quantity


def position_book(instance: Instance, fields: Fields) -> Answer:
    """Positions; closed ones stay for the day with quantity 0."""
    positions = instance.exchange.account.positions.values()
    return done(data=[_position_row(instance, row) for row in positions])


def _position_row(instance: Instance, position: Position) -> dict[str, Any]:
    last, gain = unrealized(instance, position)
    listing = instance.market.find(position.exchange, position.symbol)
    shown = gain if position.quantity else position.realized_today
    return {
        "symbol": position.symbol,
        "exchange": position.exchange,
        "product": position.product,
        "quantity": position.quantity,
        "average_price": price(position.average_price),
        "ltp": price(last),
        "pnl": money(shown),
        "pnlpercent": _percent(gain, position.average_price * abs(position.quantity)),
        "unrealized_pnl": money(gain),
        "today_realized_pnl": money(position.realized_today),
        "total_pnl_today": money(gain + position.realized_today),
        "lot_size": listing.lot_size if listing else 1,
    }


def holdings(instance: Instance, fields: Fields) -> Answer:
    """Delivered shares and their totals."""
    rows: list[dict[str, Any]] = []
    value = cost = ZERO
    for holding in instance.exchange.account.holdings.values():
        last = instance.exchange.mark(holding.exchange, holding.symbol) or holding.average_price
        paid = holding.average_price * holding.quantity
        value, cost = value + last * holding.quantity, cost + paid
        gain = last * holding.quantity - paid
        rows.append(
            {
                "symbol": holding.symbol,
                "exchange": holding.exchange,
                "product": "CNC",
                "quantity": holding.quantity,
                "average_price": price(holding.average_price),
                "ltp": price(last),
                "pnl": money(gain),
                "pnlpercent": _percent(gain, paid),
            }
        )
    statistics = {
        "totalholdingvalue": money(value),
        "totalinvvalue": money(cost),
        "totalprofitandloss": money(value - cost),
        "totalpnlpercentage": _percent(value - cost, cost),
    }
    return done(data={"holdings": rows, "statistics": statistics})


def funds(instance: Instance, fields: Fields) -> Answer:
    """Money: what is free, what is blocked, what was gained."""
    account = instance.exchange.account
    gain = gross = ZERO
    for position in account.positions.values():
        last, open_gain = unrealized(instance, position)
        gain += open_gain
        gross += abs(position.quantity) * last
    ledger = account.ledger
    return done(
        data={
            "availablecash": money(account.available),
            "collateral": 0.0,
            "m2mrealized": money(ledger.realized_today),
            "m2munrealized": money(gain),
            "utiliseddebits": money(account.used),
            "grossexposure": money(gross),
            "totalpnl": money(ledger.realized_total + gain),
            "total_realized_pnl": money(ledger.realized_total),
            "today_realized_pnl": money(ledger.realized_today),
            "last_reset": stamp(ledger.last_reset_ns) if ledger.last_reset_ns else None,
            "reset_count": ledger.reset_count,
        }
    )


def margin(instance: Instance, fields: Fields) -> Answer:
    """What these orders would block, each against the book as it stands."""
    total = ZERO
    for place, row in enumerate(fields["positions"], start=1):
        required = _margin_of(instance, row)
        if isinstance(required, Refusal):
            return error(f"Position {place}: {required.message}", required.http_status)
        total += required
    data = {
        "total_margin_required": money(total),
        "span_margin": 0.0,
        "exposure_margin": money(total),
    }
    return Answer({"status": "success", "data": data, **ANALYZE})


def _margin_of(instance: Instance, row: Fields) -> Decimal | Refusal:
    if row["quantity"] <= 0 or row["quantity"] != row["quantity"].to_integral_value():
        return Refusal("Quantity must be a positive number.")
    ticket = rules.without_idle_prices(
        Ticket(
            "", row["exchange"], row["symbol"], row["action"], int(row["quantity"]),
            row["pricetype"], row["product"], row["price"], row["trigger_price"],
        )
    )  # fmt: skip
    listing = instance.market.find(ticket.exchange, ticket.symbol)
    refusal = rules.refuse_listing(ticket, listing)
    if refusal or listing is None:
        return refusal or Refusal(f"Symbol {ticket.symbol} not found on {ticket.exchange}")
    refusal = rules.refuse_terms(ticket, listing) or rules.refuse_without_price(
        ticket, listing, instance.market
    )
    if refusal:
        return refusal
    return rules.margin_of(ticket, listing, instance.exchange.account, instance.market)[1]


def gains_by_symbol(instance: Instance, fields: Fields) -> Answer:
    """Profit and loss of every position, and the totals."""
    rows = [_position_row(instance, row) for row in instance.exchange.account.positions.values()]
    return found(
        data=rows,
        total_pnl=round(sum(row["pnl"] for row in rows), 2),
        total_pnl_today=round(sum(row["total_pnl_today"] for row in rows), 2),
        **ANALYZE,
    )


def _percent(gain: Decimal, of: Decimal) -> float:
    return float((100 * gain / of).quantize(PAISA)) if of else 0.0
