"""Taking quantity off, shorts before longs: the one way to unwind an entry or close a structure.

Reduce-only by construction ([S4]): a leg is never sent more than what stands of it, and not while
another order that could reduce it is in flight.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from domain.clock import seconds
from domain.orders import CommandStatus, OrderRow, OrderStatus, Purpose

PATIENCE_S = {"LIMIT": 2.0, "MARKET": 5.0}
AGAIN_AFTER_S = 1.0  # a short that could not be bought back is tried again each second
# A minute of refusals is a market that is closed or a session that is gone: no storm into it.
PATIENT_AFTER, PATIENT_AGAIN_S = 60, 30.0
CANCEL_AGAIN_S = 2.0
LONG_TRIES_MAX = 5  # the emergency exit's five tries (`data_pipeline.md` 8); a short never gives up


@dataclass(frozen=True, slots=True)
class OrderDraft:
    """An order to be made and sent; `waiting` rows stand for it already.

    `first_price` bounds a second price, `guarded` needs a guard before it leaves, and what is
    `protective` passes where entries stop.
    """

    leg_no: int
    action: str
    quantity: int
    purpose: Purpose
    attempt: int
    price_type: str
    protective: bool = False
    guarded: bool = False
    first_price: Decimal | None = None
    trigger_price: Decimal | None = None
    waiting: tuple[OrderRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What to do now. `end` is the final state and its reason; `wait_ns` when to look again."""

    send: tuple[OrderDraft, ...] = ()
    cancel: tuple[OrderRow, ...] = ()
    withdraw: tuple[OrderRow, ...] = ()
    end: tuple[CommandStatus, str] | None = None
    wait_ns: int = 0
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Excess:
    """Units of a leg that shall go; `action` is the side by which they came."""

    leg_no: int
    action: str
    quantity: int


def in_flight(row: OrderRow) -> bool:
    """True while an order may change what stands: sent, at the broker, or of unknown fate."""
    return not row.is_final and row.status is not OrderStatus.WAITING


def cancellable(rows: Iterable[OrderRow], now_ns: int) -> tuple[OrderRow, ...]:
    """Those a broker can take out now and was not asked to a moment ago."""
    return tuple(
        row
        for row in rows
        if row.is_working
        and not row.needs_reconcile
        and now_ns - row.cancel_ns >= seconds(CANCEL_AGAIN_S)
    )


def opposite(action: str) -> str:
    """The side that takes off what `action` brought."""
    return "SELL" if action == "BUY" else "BUY"


def flatten(
    excess: Sequence[Excess],
    orders: Sequence[OrderRow],
    now_ns: int,
    *,
    purpose: Purpose,
    ladder: tuple[str, ...] = ("MARKET",),
    since_ns: int = 0,
) -> Step:
    """The next step towards nothing standing of `excess`; longs only when no short is left.

    `orders` are all orders of the legs, `ladder` the price types of successive attempts (its last
    repeats). A long that was refused LONG_TRIES_MAX times waits for a person.
    """
    shorts = [leg for leg in excess if leg.action == "SELL"]
    legs = shorts or [leg for leg in excess if leg.action == "BUY"]
    cancel: list[OrderRow] = []
    send: list[OrderDraft] = []
    stuck: list[str] = []
    wait_ns = 0
    for leg in legs:
        rows = [row for row in orders if row.leg_no == leg.leg_no]
        live = [row for row in rows if in_flight(row) and not _is_idle(row, leg)]
        if live:
            overdue = [row for row in live if _is_overdue(row, now_ns, purpose)]
            cancel += cancellable(overdue, now_ns)
            continue
        draft, due_ns = _draft(leg, rows, purpose, ladder)
        if leg.action == "BUY" and _tries(rows, purpose, since_ns) >= LONG_TRIES_MAX:
            stuck.append(_refusal(rows, leg))
        elif due_ns > now_ns:
            wait_ns = min(wait_ns or due_ns, due_ns)
        else:
            send.append(draft)
    if len(stuck) == len(legs):
        return Step(end=(CommandStatus.DEAD_LETTER, stuck[0]), phase="STUCK")
    return Step(send=tuple(send), cancel=tuple(cancel), wait_ns=wait_ns, phase="UNWINDING")


def _tries(rows: list[OrderRow], purpose: Purpose, since_ns: int) -> int:
    refused = [row for row in rows if row.purpose is purpose and _is_refused(row)]
    return len({row.attempt for row in refused if row.created_ns >= since_ns})


def _is_refused(row: OrderRow) -> bool:
    return row.status in (OrderStatus.REJECTED, OrderStatus.FAILED)


def _is_idle(row: OrderRow, leg: Excess) -> bool:
    """An unknown opening order of the same short adds to it at worst; the rest goes meanwhile."""
    return leg.action == "SELL" and row.action == "SELL" and row.needs_reconcile


def _is_overdue(row: OrderRow, now_ns: int, purpose: Purpose) -> bool:
    if row.purpose is not purpose:
        return True  # a stop, or another's order: it must not take off what we are taking off
    return now_ns - row.sent_ns >= seconds(PATIENCE_S.get(row.price_type, PATIENCE_S["MARKET"]))


def _draft(
    leg: Excess, rows: list[OrderRow], purpose: Purpose, ladder: tuple[str, ...]
) -> tuple[OrderDraft, int]:
    """The next order of a leg and when it may go."""
    action = opposite(leg.action)
    own = [row for row in rows if row.purpose is purpose and row.action == action]
    waiting = tuple(row for row in own if row.status is OrderStatus.WAITING)
    refused = [row for row in own if _is_refused(row)]
    tried = len({row.attempt for row in own} - {row.attempt for row in refused})
    price_type = ladder[min(max(tried - bool(waiting), 0), len(ladder) - 1)]
    same_side = {row.attempt for row in rows if row.action == action}
    attempt = waiting[0].attempt if waiting else max(same_side, default=-1) + 1
    last_ns = max((row.updated_ns for row in refused), default=0)
    draft = OrderDraft(
        leg_no=leg.leg_no,
        action=action,
        quantity=leg.quantity,
        purpose=purpose,
        attempt=attempt,
        price_type=price_type,
        protective=True,
        waiting=waiting,
    )
    again_s = AGAIN_AFTER_S if len(refused) < PATIENT_AFTER else PATIENT_AGAIN_S
    return draft, last_ns + seconds(again_s) if last_ns and not waiting else 0


def _refusal(rows: list[OrderRow], leg: Excess) -> str:
    refused = [row for row in rows if row.error_message]
    why = refused[-1].error_message if refused else "no answer"
    return f"leg {leg.leg_no} could not be sold in {LONG_TRIES_MAX} tries: {why}"
