"""Closing what a strategy holds: its other orders out of the way, shorts back, then longs sold.

A function of the strategy's order rows and the time; a close never increases exposure, because it
asks for no more than what stands and only while nothing else can change that ([S4]).
"""

from __future__ import annotations

from collections.abc import Sequence

from domain.execution.flattening import Excess, Step, cancellable, flatten, in_flight
from domain.orders import CommandStatus, OrderRow, OrderStatus, Purpose

PATIENT: tuple[str, ...] = ("LIMIT", "MARKET")
URGENT: tuple[str, ...] = ("MARKET",)


def holdings(orders: Sequence[OrderRow]) -> dict[int, int]:
    """Signed units of each leg that ever filled."""
    net: dict[int, int] = {}
    for row in orders:
        if row.filled_quantity:
            net[row.leg_no] = net.get(row.leg_no, 0) + row.signed_filled
    return net


def is_flat(orders: Sequence[OrderRow]) -> bool:
    """True when nothing of a strategy stands and none of its orders can change that."""
    may_fill = any(not row.is_final and row.purpose is not Purpose.STOP for row in orders)
    return not may_fill and not any(holdings(orders).values())


def close_step(
    orders: Sequence[OrderRow],
    command_id: int,
    now_ns: int,
    *,
    leg_no: int = -1,
    urgent: bool,
    since_ns: int = 0,
) -> Step:
    """The next step of a close; `orders` are all of the strategy, `leg_no` -1 means all legs.

    Ends DONE when nothing stands. Refusals count since `since_ns`. A leg with an order of unknown
    fate waits for its answer, unless that order can only have added to a short.
    """
    mine = [row for row in orders if leg_no in (-1, row.leg_no)]
    others = [row for row in mine if row.command_id != command_id]
    withdraw = tuple(row for row in others if row.status is OrderStatus.WAITING)
    if withdraw:
        return Step(withdraw=withdraw, phase="CLOSING")
    busy = [row for row in others if in_flight(row) and not row.needs_reconcile]
    if busy:
        return Step(cancel=cancellable(busy, now_ns), phase="CLOSING")
    excess = [
        Excess(number, "BUY" if units > 0 else "SELL", abs(units))
        for number, units in sorted(holdings(mine).items())
        if units
    ]
    rows = [row for row in mine if row.command_id == command_id or in_flight(row)]
    if excess:
        ladder = URGENT if urgent else PATIENT
        purpose = Purpose.CLOSE
        return flatten(excess, rows, now_ns, purpose=purpose, ladder=ladder, since_ns=since_ns)
    own_waiting = tuple(row for row in rows if row.status is OrderStatus.WAITING)
    if own_waiting:
        return Step(withdraw=own_waiting, phase="CLOSING")
    if any(in_flight(row) for row in rows):
        return Step(phase="CLOSING")
    return Step(end=(CommandStatus.DONE, ""), phase="CLOSED")
