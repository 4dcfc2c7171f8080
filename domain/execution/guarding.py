"""Stops at the broker, of naked shorts and of long single options: which is missing now
(`tomic.md` 8.7, 8.10).

A function of the rows, so that a restart finds the same gap. Three refusals in a row mean that it
cannot be placed: a short is closed then (`data_pipeline.md` 9), a long has its virtual guard.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from domain.execution.flattening import OrderDraft
from domain.execution.pricing import long_stop_prices, stop_prices
from domain.intents import Refusal
from domain.orders import OrderRow, OrderStatus, Purpose

REFUSALS_MAX = 3


@dataclass(frozen=True, slots=True)
class GuardNeeds:
    """Stops to place now, and whether a leg has used up its tries."""

    place: tuple[OrderDraft, ...] = ()
    hopeless: bool = False


@dataclass(frozen=True, slots=True)
class StopAt:
    """The side of a stop and its prices, rupees a unit."""

    action: str
    trigger: Decimal
    limit: Decimal


def missing_stops(orders: Sequence[OrderRow]) -> GuardNeeds:
    """What the naked shorts of a strategy lack; nothing while one of them is being taken off."""
    naked = sorted({row.leg_no for row in orders if row.naked_approved})
    return _missing(orders, naked, _short_stop)


def missing_backstops(orders: Sequence[OrderRow], stop: float) -> GuardNeeds:
    """What a long single option lacks once its entry is over: a stop that lies a share of `stop`
    below what was paid."""
    if any(row.purpose is Purpose.ENTRY and not row.is_final for row in orders):
        return GuardNeeds()
    longs = sorted({row.leg_no for row in orders})
    return _missing(orders, longs, partial(_long_stop, stop=stop))


def _missing(
    orders: Sequence[OrderRow],
    legs: Sequence[int],
    stop_of: Callable[[Sequence[OrderRow]], StopAt],
) -> GuardNeeds:
    place: list[OrderDraft] = []
    for leg_no in legs:
        rows = [row for row in orders if row.leg_no == leg_no]
        leaving = (Purpose.UNWIND, Purpose.CLOSE)
        if any(row.purpose in leaving and not row.is_final for row in rows):
            continue
        entry = next(row for row in rows if row.purpose is Purpose.ENTRY)
        held = sum(row.signed_filled for row in rows) * (1 if entry.action == "BUY" else -1)
        stops = [row for row in rows if row.purpose is Purpose.STOP]
        guarded = sum(row.quantity - row.filled_quantity for row in stops if not row.is_final)
        if held <= guarded:
            continue
        if _refusals_in_row(stops) >= REFUSALS_MAX:
            return GuardNeeds(hopeless=True)
        if any(row.status is OrderStatus.WAITING or row.needs_reconcile for row in stops):
            continue
        place.append(_draft(leg_no, rows, held - guarded, stop_of(rows)))
    return GuardNeeds(tuple(place))


def check_stops(newest: Sequence[OrderRow]) -> Refusal | None:
    """Why a structure that needs a stop is not opened: its broker refused the last ones.

    `newest` are the stops it answered since trading was resumed, newest first.
    """
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


def _short_stop(rows: Sequence[OrderRow]) -> StopAt:
    price, tick_size = _entry_price(rows)
    return StopAt("BUY", *stop_prices(price, tick_size))


def _long_stop(rows: Sequence[OrderRow], stop: float) -> StopAt:
    price, tick_size = _entry_price(rows)
    return StopAt("SELL", *long_stop_prices(price, stop, tick_size))


def _entry_price(rows: Sequence[OrderRow]) -> tuple[Decimal, Decimal]:
    """(average rupees a unit, tick size) of what the entry's orders of a leg filled."""
    filled = [row for row in rows if row.purpose is Purpose.ENTRY and row.filled_quantity]
    units = sum(row.filled_quantity for row in filled)
    paid = sum((row.average_price * row.filled_quantity for row in filled), Decimal(0))
    return paid / units, filled[0].tick_size


def _draft(leg_no: int, rows: Sequence[OrderRow], quantity: int, stop: StopAt) -> OrderDraft:
    same_side = {row.attempt for row in rows if row.action == stop.action}
    return OrderDraft(
        leg_no=leg_no,
        action=stop.action,
        quantity=quantity,
        purpose=Purpose.STOP,
        attempt=max(same_side, default=-1) + 1,
        price_type="SL",
        protective=True,
        first_price=stop.limit,
        trigger_price=stop.trigger,
    )


def stray_stops(orders: Sequence[OrderRow]) -> tuple[OrderRow, ...]:
    """Stops of legs that stand no more, or for less than the stops: filled, they would open a
    position. A smaller one follows (`data_pipeline.md` 10)."""
    stray: list[OrderRow] = []
    for leg_no in sorted({row.leg_no for row in orders if row.purpose is Purpose.STOP}):
        rows = [row for row in orders if row.leg_no == leg_no]
        opening = any(row.purpose is Purpose.ENTRY and not row.is_final for row in rows)
        stops = [row for row in rows if row.purpose is Purpose.STOP and not row.is_final]
        guarded = sum(row.quantity - row.filled_quantity for row in stops)
        side = -1 if stops and stops[0].action == "BUY" else 1
        if not opening and guarded > side * sum(row.signed_filled for row in rows):
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
