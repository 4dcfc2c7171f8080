"""Stops of naked shorts: which of them is missing at the broker now (`tomic.md` 8.7).

A function of the rows, so that a restart finds the same gap. Three refusals in a row mean that the
short cannot be guarded, and it is closed (`data_pipeline.md` 9).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.execution.flattening import OrderDraft
from domain.execution.planning import plan_of
from domain.execution.pricing import stop_prices
from domain.intents import Refusal, SizedIntent
from domain.orders import OrderRow, OrderStatus, Purpose

REFUSALS_MAX = 3


@dataclass(frozen=True, slots=True)
class GuardNeeds:
    """Stops to place now, and whether a leg has used up its tries."""

    place: tuple[OrderDraft, ...] = ()
    hopeless: bool = False


def missing_stops(orders: Sequence[OrderRow]) -> GuardNeeds:
    """What the naked shorts of a strategy lack; nothing while one of them is being taken off."""
    place: list[OrderDraft] = []
    for leg_no in sorted({row.leg_no for row in orders if row.naked_approved}):
        rows = [row for row in orders if row.leg_no == leg_no]
        leaving = (Purpose.UNWIND, Purpose.CLOSE)
        if any(row.purpose in leaving and not row.is_final for row in rows):
            continue
        short = -sum(row.signed_filled for row in rows)
        stops = [row for row in rows if row.purpose is Purpose.STOP]
        guarded = sum(row.quantity - row.filled_quantity for row in stops if not row.is_final)
        if short <= guarded:
            continue
        if _refusals_in_row(stops) >= REFUSALS_MAX:
            return GuardNeeds(hopeless=True)
        if any(row.status is OrderStatus.WAITING or row.needs_reconcile for row in stops):
            continue
        place.append(_stop(leg_no, rows, short - guarded))
    return GuardNeeds(tuple(place))


def check_stops(intent: SizedIntent, newest: Sequence[OrderRow]) -> Refusal | None:
    """Why a structure that needs a stop is not opened: its broker refused the last ones.

    `newest` are the stops it answered since trading was resumed, newest first.
    """
    if not any(leg.naked for leg in plan_of(intent).legs):
        return None
    if _refusals_in_row(newest[::-1]) < REFUSALS_MAX:
        return None
    text = f"the last {REFUSALS_MAX} stops at {newest[0].broker_name} were refused"
    why = f"{newest[0].error_message}; resume once its cause is gone"
    return Refusal("STOPS_REFUSED", f"{text}, a naked short would stand unguarded: {why}")


def _refusals_in_row(stops: Sequence[OrderRow]) -> int:
    count = 0
    for row in reversed(stops):
        if row.status not in (OrderStatus.REJECTED, OrderStatus.FAILED):
            break
        count += 1
    return count


def _stop(leg_no: int, rows: Sequence[OrderRow], quantity: int) -> OrderDraft:
    sold = [row for row in rows if row.purpose is Purpose.ENTRY and row.filled_quantity]
    units = sum(row.filled_quantity for row in sold)
    paid = sum((row.average_price * row.filled_quantity for row in sold), Decimal(0))
    trigger, limit = stop_prices(paid / units, sold[0].tick_size)
    bought = {row.attempt for row in rows if row.action == "BUY"}
    return OrderDraft(
        leg_no=leg_no,
        action="BUY",
        quantity=quantity,
        purpose=Purpose.STOP,
        attempt=max(bought, default=-1) + 1,
        price_type="SL",
        protective=True,
        first_price=limit,
        trigger_price=trigger,
    )


def stray_stops(orders: Sequence[OrderRow]) -> tuple[OrderRow, ...]:
    """Stops of legs that are not short any more, or less than they stand for: filled, they would
    open a position. A smaller one follows (`data_pipeline.md` 10)."""
    stray: list[OrderRow] = []
    for leg_no in sorted({row.leg_no for row in orders if row.purpose is Purpose.STOP}):
        rows = [row for row in orders if row.leg_no == leg_no]
        opening = any(row.purpose is Purpose.ENTRY and not row.is_final for row in rows)
        stops = [row for row in rows if row.purpose is Purpose.STOP and not row.is_final]
        guarded = sum(row.quantity - row.filled_quantity for row in stops)
        if not opening and guarded > -sum(row.signed_filled for row in rows):
            stray += stops
    return tuple(stray)


def unsent_stops(orders: Sequence[OrderRow]) -> tuple[OrderDraft, ...]:
    """Stops that stand on disk and have not left, to be handed over again."""
    return tuple(
        OrderDraft(
            leg_no=row.leg_no,
            action=row.action,
            quantity=row.quantity,
            purpose=Purpose.STOP,
            attempt=row.attempt,
            price_type="SL",
            protective=True,
            waiting=(row,),
        )
        for row in orders
        if row.purpose is Purpose.STOP and row.status is OrderStatus.WAITING
    )
