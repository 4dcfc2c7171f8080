"""Commands and the rows of their orders: made from an intent, a close, a draft; and who may go.

A row is written before anything is sent; its key says leg, action, attempt and slice, so that no
two orders are ever made for the same purpose (`tomic.md` 8.2, 9.1).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from domain.brokers import OrderRequest
from domain.clock import seconds
from domain.execution.closing import holdings
from domain.execution.flattening import OrderDraft
from domain.execution.planning import PlannedLeg, has_naked_leg, plan_of
from domain.execution.pricing import Quote, limit_price
from domain.execution.slicing import slices
from domain.execution.unknowns import order_tag
from domain.gates import ActiveStrategy
from domain.intents import STRATEGY_TRAITS, ResolvedLeg, SizedIntent
from domain.orders import (
    CLOSE_COMMAND,
    ENTRY_COMMAND,
    CommandRow,
    CommandStatus,
    OrderRow,
    OrderStatus,
    Purpose,
    order_key,
)
from domain.prices import to_price
from domain.settings import infer_exchange

LEASE_S = 30.0
APPROVAL_S = 60.0
DEFER_S = 1.0
GATE_DEADLINE_S = 2.5  # the gate gives its breakers 2 s, and its answer says which was silent
CLOSE_PRIORITY, URGENT_PRIORITY = 10, 20


@dataclass(frozen=True, slots=True)
class Fault:
    """Why an intent is not tradable: a code and a sentence."""

    code: str
    text: str


def entry_command(
    intent: SizedIntent, payload: str, broker_name: str, *, now_ns: int, ttl_s: float
) -> CommandRow:
    """The command of an entry; `payload` is the intent as JSON. `ttl_s` 0 sets no expiry."""
    return CommandRow(
        event_type=ENTRY_COMMAND,
        idempotency_key=intent.idempotency_key,
        correlation_id=intent.correlation_id,
        strategy_id=intent.strategy_id,
        strategy_tag=intent.strategy_tag,
        underlying=intent.structure.underlying,
        broker_name=broker_name,
        source_agent="risk_agent",
        payload=payload,
        created_ns=now_ns,
        valid_until_ns=now_ns + seconds(ttl_s) if ttl_s else 0,
        reason=intent.entry_reason,
    )


def close_command(
    entry: CommandRow,
    key: str,
    *,
    reason: str,
    by: str,
    now_ns: int,
    leg_no: int = -1,
    urgent: bool,
) -> CommandRow:
    """The command that takes a structure (or one leg of it) off; it never expires."""
    return CommandRow(
        event_type=CLOSE_COMMAND,
        idempotency_key=key,
        correlation_id=entry.correlation_id,
        strategy_id=entry.strategy_id,
        strategy_tag=entry.strategy_tag,
        underlying=entry.underlying,
        broker_name=entry.broker_name,
        source_agent=by,
        payload="{}",
        created_ns=now_ns,
        priority=URGENT_PRIORITY if urgent else CLOSE_PRIORITY,
        leg_no=leg_no,
        reason=reason,
    )


def check_intent(intent: SizedIntent) -> Fault | None:
    """The last look at an intent's shape before its first order (`tomic.md` 7.2, 8.2)."""
    traits = STRATEGY_TRAITS[intent.signal.strategy]
    legs = intent.structure.legs
    if intent.quantity <= 0 or not legs:
        return Fault("validation", "the intent has no quantity or no legs")
    if len(legs) < traits.legs_min:
        return Fault("validation", f"{intent.signal.strategy} needs {traits.legs_min} legs")
    for leg in legs:
        if leg.lot_size <= 0 or intent.quantity * leg.ratio % leg.lot_size:
            text = f"{intent.quantity} x {leg.ratio} of {leg.symbol} is no multiple of its lot"
            return Fault("validation", f"{text} {leg.lot_size}")
    if has_naked_leg(intent) and not intent.naked_approved:
        return Fault("NAKED_NOT_APPROVED", "a short leg has no cover and naked was not approved")
    return None


def active_of(intent: SizedIntent, *, pending: bool) -> ActiveStrategy:
    """An entry as the position gate counts it."""
    signal = intent.signal
    return ActiveStrategy(
        strategy_id=intent.strategy_id,
        underlying=intent.structure.underlying,
        strategy=signal.strategy,
        direction=signal.direction,
        bias=STRATEGY_TRAITS[signal.strategy].bias,
        pending=pending,
    )


def counts_beside(command: CommandRow, other: CommandRow) -> bool:
    """True when the entry `other` stands, is at work or came first: of two that wait, the earlier
    one goes."""
    waits = other.status in (CommandStatus.PENDING, CommandStatus.AWAITING_APPROVAL)
    if other.command_id == command.command_id:
        return False
    return not waits or other.command_id < command.command_id


def entry_orders(intent: SizedIntent, command: CommandRow, attempt: int = 0) -> list[OrderRow]:
    """The first attempt of every leg, in slices, WAITING; prices are set when they go."""
    rows = []
    for leg in plan_of(intent).legs:
        template = leg_template(intent, leg, command)
        draft = OrderDraft(
            leg_no=leg.leg_no,
            action=leg.action,
            quantity=intent.quantity * leg.ratio,
            purpose=Purpose.ENTRY,
            attempt=attempt,
            price_type="MARKET",
        )
        rows += draft_rows(draft, template, command, now_ns=command.created_ns)
    return rows


def keeps_from_again(command: CommandRow, orders: Sequence[OrderRow]) -> str:
    """Why a person may not have a dead entry tried again, empty when nothing of it ever filled."""
    if any(holdings(orders).values()):
        return f"a part of it stands; close {command.strategy_id} instead"
    if any(row.filled_quantity for row in orders):
        return "a part of it filled and was taken back; a new signal is weighed anew"
    return ""


def leg_template(intent: SizedIntent, planned: PlannedLeg, command: CommandRow) -> OrderRow:
    """What every order of a leg has in common."""
    leg: ResolvedLeg = intent.structure.legs[planned.leg_no]
    return OrderRow(
        client_order_id="",
        command_id=command.command_id,
        strategy_id=intent.strategy_id,
        strategy_tag=intent.strategy_tag,
        leg_no=planned.leg_no,
        purpose=Purpose.ENTRY,
        broker_name=command.broker_name,
        exchange=leg.exchange,
        symbol=leg.symbol,
        action=leg.direction,
        quantity=0,
        product=intent.product,
        tag="",
        created_ns=0,
        listing_id=leg.listing_id,
        underlying=intent.structure.underlying,
        strategy=intent.signal.strategy.value,
        kind=leg.option_type.value,
        strike=leg.strike,
        expiry=leg.expiry,
        lot_size=leg.lot_size,
        tick_size=leg.tick_size,
        freeze_quantity=leg.freeze_quantity,
        naked_approved=planned.naked and intent.naked_approved,
        decision_price=to_price(leg.mid, leg.tick_size) if leg.mid > 0 else Decimal(0),
    )


def template_of(row: OrderRow) -> OrderRow:
    """What every order of a leg has in common, from one that was made before."""
    return replace(
        row,
        status=OrderStatus.WAITING,
        broker_order_id="",
        filled_quantity=0,
        average_price=Decimal(0),
        decision_price=Decimal(0),
        trigger_price=Decimal(0),
        needs_reconcile=False,
        sends=0,
        error_kind="",
        error_message="",
        sent_ns=0,
        cancel_ns=0,
    )


def draft_rows(
    draft: OrderDraft,
    template: OrderRow,
    command: CommandRow,
    *,
    now_ns: int,
    quote: Quote | None = None,
) -> list[OrderRow]:
    """New rows of a draft, one a slice, each with its own key; priced where a quote is given."""
    kind, price, trigger = draft.price_type, Decimal(0), draft.trigger_price or Decimal(0)
    if kind == "SL":
        price = draft.first_price or Decimal(0)
    elif quote is not None:
        kind, price = priced(draft, quote, template.tick_size)
    quantities = slices(draft.quantity, template.lot_size, template.freeze_quantity)
    rows = []
    for number, quantity in enumerate(quantities):
        piece = number + 1 if len(quantities) > 1 else 0
        key = order_key(command.idempotency_key, draft.leg_no, draft.action, draft.attempt, piece)
        rows.append(
            replace(
                template,
                client_order_id=key,
                command_id=command.command_id,
                purpose=draft.purpose,
                action=draft.action,
                quantity=quantity,
                tag=order_tag(template.strategy_tag, key),
                created_ns=now_ns,
                updated_ns=now_ns,
                attempt=draft.attempt,
                piece=piece,
                is_exit=draft.purpose is not Purpose.ENTRY,
                price_type=kind,
                price=price,
                trigger_price=trigger,
            )
        )
    return rows


def priced(draft: OrderDraft, quote: Quote, tick_size: Decimal) -> tuple[str, Decimal]:
    """(price type, price) of a draft now: a limit that cannot be made of the quote is MARKET."""
    if draft.price_type != "LIMIT":
        return draft.price_type, Decimal(0)
    price = limit_price(draft.action, quote, tick_size, draft.first_price)
    return ("LIMIT", price) if price > 0 else ("MARKET", Decimal(0))


def request_of(row: OrderRow) -> OrderRequest:
    """A row as a broker is asked for it."""
    return OrderRequest(
        client_order_id=row.client_order_id,
        tag=row.tag,
        exchange=row.exchange,
        symbol=row.symbol,
        action=row.action,
        quantity=row.quantity,
        price_type=row.price_type,
        product=row.product,
        price=row.price,
        trigger_price=row.trigger_price,
        underlying=row.underlying,
        underlying_exchange=infer_exchange(row.underlying) if row.underlying else "",
    )


def resized(waiting: Sequence[OrderRow], quantity: int) -> Mapping[str, int]:
    """What each waiting row is to carry so that together they make `quantity`; 0 withdraws it.

    Rows are never made larger: they stand for what was planned, not for more.
    """
    left, sizes = quantity, {}
    for row in waiting:
        sizes[row.client_order_id] = min(row.quantity, left)
        left -= sizes[row.client_order_id]
    return sizes
