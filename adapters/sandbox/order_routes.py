"""Order endpoints (`openalgo.md` 3.1 to 3.8): checked fields in, an answer out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from adapters.sandbox.books import Order, Refusal, Ticket
from adapters.sandbox.instance import ANALYZE, Answer, Instance, done, error, refused

Fields = dict[str, Any]
Handler = Callable[[Instance, Fields], Answer]
SPLIT_ORDERS_MAX = 100


def ticket_of(fields: Fields, strategy: str, **changes: Any) -> Ticket:
    """The order that checked fields ask for."""
    terms = {
        "exchange": fields.get("exchange"),
        "symbol": fields.get("symbol"),
        "action": fields.get("action"),
        "quantity": int(fields["quantity"]),
        "price_type": fields["pricetype"],
        "product": fields["product"],
        "price": fields["price"],
        "trigger_price": fields["trigger_price"],
        "disclosed_quantity": int(fields.get("disclosed_quantity", 0)),
        **changes,
    }
    return Ticket(strategy=strategy, **terms)


def place_order(instance: Instance, fields: Fields) -> Answer:
    """3.1"""
    return _placed(instance.place(ticket_of(fields, fields["strategy"]), "placeorder"))


def place_smart_order(instance: Instance, fields: Fields) -> Answer:
    """3.2: trades the difference to a signed target."""
    target = int(fields["position_size"])
    quantity = int(fields["quantity"])
    key = (fields["exchange"], fields["symbol"], fields["product"])
    held = instance.exchange.account.position(*key).quantity
    ticket = ticket_of(fields, fields["strategy"])
    if target == held:
        if target == 0 and quantity:
            return _placed(instance.place(ticket, "placesmartorder"))
        text = "Positions Already Matched. No Action needed."
        if quantity == 0:
            text = "No OpenPosition Found. Not placing Exit order."
        return done(message=text)
    missing = target - held
    action = "BUY" if missing > 0 else "SELL"
    wanted = ticket_of(fields, fields["strategy"], action=action, quantity=abs(missing))
    return _placed(instance.place(wanted, "placesmartorder"))


def modify_order(instance: Instance, fields: Fields) -> Answer:
    """3.3"""
    kind = fields["pricetype"]
    if kind == "MARKET" and fields["price"]:
        return refused(Refusal("MARKET orders do not accept a price"))
    if kind == "LIMIT" and fields["trigger_price"]:
        return refused(Refusal("LIMIT orders do not accept a trigger_price"))
    outcome = instance.exchange.modify(fields["orderid"], ticket_of(fields, fields["strategy"]))
    if isinstance(outcome, Refusal):
        return refused(outcome)
    return done(orderid=outcome.order_id, message="Order modified successfully")


def cancel_order(instance: Instance, fields: Fields) -> Answer:
    """3.4"""
    outcome = instance.exchange.cancel(fields["orderid"])
    if isinstance(outcome, Refusal):
        return refused(outcome)
    return done(orderid=outcome.order_id, message="Order cancelled successfully")


def cancel_all_orders(instance: Instance, fields: Fields) -> Answer:
    """3.5"""
    cancelled: list[str] = []
    failed: list[dict[str, str]] = []
    for order_id in list(instance.exchange.account.working):
        outcome = instance.exchange.cancel(order_id)
        if isinstance(outcome, Refusal):
            failed.append({"orderid": order_id, "reason": outcome.message})
        else:
            cancelled.append(order_id)
    text = f"Canceled {len(cancelled)} orders. Failed to cancel {len(failed)} orders."
    if not cancelled and not failed:
        text = "No open orders to cancel"
    return done(message=text, canceled_orders=cancelled, failed_cancellations=failed)


def close_positions(instance: Instance, fields: Fields) -> Answer:
    """3.6: a market order against every position that is not flat."""
    exchange = instance.exchange
    held = [row.key for row in exchange.account.positions.values() if row.quantity]
    closed = 0
    for key in held:
        closed += isinstance(exchange.close_position(fields["strategy"], key), Order)
    return done(
        message=f"Closed {closed} positions",
        closed_positions=closed,
        failed_closures=len(held) - closed,
    )


def basket_order(instance: Instance, fields: Fields) -> Answer:
    """3.7: BUYs before SELLs; one failing order does not stop the others."""
    results: list[dict[str, Any]] = []
    legs = list(enumerate(fields["orders"], start=1))
    legs.sort(key=lambda leg: leg[1]["action"] != "BUY")
    for place, (leg, row) in enumerate(legs, start=1):
        if instance.faults.leg_lost(instance.name, "basketorder", leg):
            continue
        outcome = instance.place(ticket_of(row, fields["strategy"]), "basketorder")
        if isinstance(outcome, Refusal):
            results.append({"symbol": row["symbol"], "status": "error", "message": outcome.message})
            continue
        results.append(
            {
                "symbol": outcome.symbol,
                "exchange": outcome.exchange,
                "product": outcome.product,
                "status": "success",
                "orderid": outcome.order_id,
                "batch_order": True,
                "is_last_order": place == len(legs),
            }
        )
    return done(results=results)


def split_order(instance: Instance, fields: Fields) -> Answer:
    """3.8"""
    ticket = ticket_of(fields, fields["strategy"])
    return split(instance, ticket, fields["splitsize"], "splitorder")


def split(instance: Instance, ticket: Ticket, size: int, endpoint: str, **extra: Any) -> Answer:
    """Sends an order in chunks of `size`, the last one smaller."""
    results = split_results(instance, ticket, size, endpoint)
    if results is None:
        return error(too_many_text())
    return done(split_size=size, total_quantity=ticket.quantity, results=results, **extra)


def too_many_text() -> str:
    """The refusal of a split into too many orders."""
    return f"Total number of orders would exceed maximum limit of {SPLIT_ORDERS_MAX}"


def split_results(
    instance: Instance, ticket: Ticket, size: int, endpoint: str
) -> list[dict[str, Any]] | None:
    """One row a chunk; None when there would be too many."""
    whole, rest = divmod(ticket.quantity, size)
    sizes = [size] * min(whole, SPLIT_ORDERS_MAX + 1) + ([rest] if rest else [])
    if len(sizes) > SPLIT_ORDERS_MAX:
        return None
    results: list[dict[str, Any]] = []
    for place, quantity in enumerate(sizes, start=1):
        if instance.faults.leg_lost(instance.name, endpoint, place):
            continue
        outcome = instance.place(resized(ticket, quantity), endpoint)
        row: dict[str, Any] = {"order_num": place, "quantity": quantity}
        row.update(outcome_fields(outcome))
        results.append(row)
    return results


def resized(ticket: Ticket, quantity: int) -> Ticket:
    """The same order for another quantity."""
    return Ticket(
        ticket.strategy, ticket.exchange, ticket.symbol, ticket.action, quantity,
        ticket.price_type, ticket.product, ticket.price, ticket.trigger_price,
        ticket.disclosed_quantity,
    )  # fmt: skip


def outcome_fields(outcome: Order | Refusal) -> dict[str, Any]:
    """Status with the order's id, or with the reason."""
    if isinstance(outcome, Refusal):
        return {"status": "error", "message": outcome.message}
    return {"status": "success", "orderid": outcome.order_id}


def _placed(outcome: Order | Refusal) -> Answer:
    if isinstance(outcome, Refusal):
        return refused(outcome)
    return Answer({"status": "success", "orderid": outcome.order_id, **ANALYZE})
