"""What a broker's order book says anew of our orders: states, increases of what filled, and gaps.

A filled quantity never falls and a final state is never left (`multi_account.md` 4.2); only
increases count, once each (`data_pipeline.md` 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal

from domain.brokers import BrokerOrder
from domain.clock import exchange_time
from domain.execution.pricing import slippage_ticks
from domain.order_changes import BookChange
from domain.orders import FROM_BROKER, OrderRow, OrderStatus

NS_PER_MS = 1_000_000


def changes(rows: Iterable[OrderRow], book: Sequence[BrokerOrder], now_ns: int) -> list[BookChange]:
    """News of rows whose broker id stands in the book, in the order of `rows`."""
    by_id = {order.order_id: order for order in book}
    found = ((row, by_id.get(row.broker_order_id)) for row in rows if row.broker_order_id)
    news = (change_of(row, order, now_ns) for row, order in found if order is not None)
    return [change for change in news if change is not None]


def change_of(
    row: OrderRow, order: BrokerOrder, now_ns: int, *, adopt: bool = False
) -> BookChange | None:
    """What one row of the book changes of ours; None when nothing. `adopt` takes its id as well."""
    filled = _filled(row, order)
    status = _status(row, order, filled)
    increase = filled - row.filled_quantity
    if not (increase or adopt or status is not row.status or row.needs_reconcile):
        return None
    average = order.average_price if order.average_price > 0 else row.average_price or row.price
    # A MARKET order has no price of its own: what it was decided on is nearer than nothing.
    average = average or row.decision_price
    price = _price_of_increase(row, filled, average) if increase else Decimal(0)
    return BookChange(
        row=row,
        status=status,
        filled_quantity=filled,
        average_price=average if filled else Decimal(0),
        increase=increase,
        price=price,
        latency_ms=max(now_ns - row.sent_ns, 0) // NS_PER_MS if row.sent_ns else 0,
        slippage_ticks=slippage_ticks(row.action, price, row.decision_price, row.tick_size)
        if increase
        else Decimal(0),
        broker_order_id=order.order_id if adopt else "",
        error_message=order.rejection if status is OrderStatus.REJECTED else "",
    )


def missing(rows: Iterable[OrderRow], book: Sequence[BrokerOrder]) -> list[OrderRow]:
    """Working orders of ours that the book does not name."""
    ids = {order.order_id for order in book}
    return [row for row in rows if row.is_working and row.broker_order_id not in ids]


def ended_with_its_day(row: OrderRow, read_started_ns: int) -> bool:
    """True when a book of a later day need not name it any more: brokers keep orders for a day."""
    return exchange_time(row.sent_ns).date() < exchange_time(read_started_ns).date()


def _filled(row: OrderRow, order: BrokerOrder) -> int:
    filled = order.filled_quantity
    if order.status == "complete" and filled == 0:
        filled = row.quantity  # some books leave the count out when all is done
    return max(row.filled_quantity, min(filled, row.quantity))


def _status(row: OrderRow, order: BrokerOrder, filled: int) -> OrderStatus:
    if row.is_final:
        return row.status
    status = FROM_BROKER.get(order.status)
    if status is None:
        status = OrderStatus.SENT if row.status is OrderStatus.SENDING else row.status
    if status is OrderStatus.REJECTED and filled:
        return OrderStatus.CANCELLED
    if status in (OrderStatus.OPEN, OrderStatus.TRIGGER_PENDING) and filled:
        return OrderStatus.PARTIALLY_FILLED
    return status


def _price_of_increase(row: OrderRow, filled: int, average: Decimal) -> Decimal:
    """The increase's own price, from the averages before and after it; rupees a unit."""
    before = row.average_price * row.filled_quantity
    price = (average * filled - before) / (filled - row.filled_quantity)
    # Averages are rounded by brokers: a price of nothing is never true.
    return price.quantize(Decimal("0.0001")) if price > 0 else average
