"""Carries out one step of a structure: rows on disk first, then the word to the broker's executor.

What it remembers (which rows were handed over) only keeps it from repeating itself: an executor
sends a row once, however often it is told.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from actors.actor import Context
from actors.execution.quote_board import QuoteBoard
from actors.execution.standing_board import StandingBoard
from domain.clock import seconds
from domain.execution.commands import draft_rows, priced, request_of, resized
from domain.execution.flattening import OrderDraft, Step
from domain.execution.pricing import Quote
from domain.orders import CommandRow, OrderRow, OrderStatus, Purpose
from domain.prices import to_price
from messages.base import Message
from messages.trading import CancelOrder, PlaceOrders
from persistence.orders import OrderStore

HAND_AGAIN_S = 10.0  # beyond the executor's own retries; the row decides, not the message

# What a leg's orders have in common, and the quote to price them by when no chain has one.
Template = Callable[[int], tuple[OrderRow, Quote]]


class OrderDesk:
    """State: when each row was last handed to its executor."""

    def __init__(self, context: Context, store: OrderStore, quotes: QuoteBoard) -> None:
        self._context, self._store, self._quotes = context, store, quotes
        self.standing = StandingBoard(context)
        self._handed: dict[str, int] = {}

    def carry_out(self, step: Step, command: CommandRow, template: Template) -> None:
        """Withdraws, cancels and sends what the step says.

        Raises StorageFailure; then nothing that could not be recorded was sent.
        """
        now_ns = self._context.now_ns()
        for row in step.withdraw:
            self.withdraw(row, "withdrawn before it was sent")
        for row in step.cancel:
            if self._store.change_order(row, cancel_ns=now_ns):
                executor = f"executor.{row.broker_name}"
                message = CancelOrder(
                    client_order_id=row.client_order_id,
                    broker_order_id=row.broker_order_id,
                    reason=step.phase.lower(),
                )
                self._tell(executor, message)
        for protective in (True, False):
            drafts = [draft for draft in step.send if draft.protective is protective]
            rows = [row for draft in drafts for row in self._rows(draft, command, template)]
            self._hand_over(rows, command, protective)

    def withdraw(
        self, row: OrderRow, reason: str, status: OrderStatus = OrderStatus.CANCELLED
    ) -> None:
        """Takes back an order that has not left; when an executor was faster, nothing happens."""
        self._store.change_waiting(
            row.client_order_id,
            status=status,
            error_message=row.error_message or reason,
            updated_ns=self._context.now_ns(),
        )

    def forget(self) -> None:
        """An executor has a new life: what it was told is gone."""
        self._handed.clear()

    def _rows(self, draft: OrderDraft, command: CommandRow, template: Template) -> list[OrderRow]:
        """The rows of a draft as they go out: priced now, or empty when they are on their way."""
        now_ns = self._context.now_ns()
        if any(self._is_handed(row) for row in draft.waiting):
            return []
        shape, fallback = template(draft.leg_no)
        draft = self._not_twice(draft, command, shape)
        if draft.quantity == 0:
            return []
        if draft.guarded:
            self._store.arm_guard(shape, {"sold": draft.quantity}, now_ns)
        quote = self._quotes.quote(shape.listing_id) or fallback
        if draft.purpose is not Purpose.ENTRY and quote.mid > 0:
            shape = replace(shape, decision_price=to_price(quote.mid, shape.tick_size))
        if draft.waiting:
            return self._repriced(draft.waiting, draft, quote)
        rows = draft_rows(draft, shape, command, now_ns=now_ns, quote=quote)
        self._store.add_orders(rows)
        return rows

    def _not_twice(self, draft: OrderDraft, command: CommandRow, shape: OrderRow) -> OrderDraft:
        """An exit after one that was never found, cut to what the broker still shows."""
        if draft.purpose is Purpose.ENTRY:
            return draft
        lost = [
            row.updated_ns
            for row in self._store.orders_of_strategy(command.strategy_id)
            if row.is_exit
            and row.error_kind == "never_arrived"
            and (row.leg_no, row.action) == (draft.leg_no, draft.action)
        ]
        if not lost:
            return draft
        units = self.standing.reducible(shape, draft.action, max(lost))
        return replace(draft, quantity=min(draft.quantity, units))

    def _repriced(
        self, waiting: Sequence[OrderRow], draft: OrderDraft, quote: Quote
    ) -> list[OrderRow]:
        kind, price = priced(draft, quote, waiting[0].tick_size)
        if draft.price_type == "SL":
            kind, price = "SL", waiting[0].price
        going = []
        for row, quantity in zip(waiting, resized(waiting, draft.quantity).values(), strict=True):
            if quantity == 0:
                self.withdraw(row, "more than is needed")
                continue
            changes = {"quantity": quantity, "price_type": kind, "price": price}
            if self._store.change_waiting(row.client_order_id, **changes):
                going.append(replace(row, **changes))  # type: ignore[arg-type]
        return going

    def _hand_over(self, rows: list[OrderRow], command: CommandRow, protective: bool) -> None:
        if not rows:
            return
        handed_ns = self._context.monotonic_ns()
        message = PlaceOrders(
            strategy_id=command.strategy_id,
            command_id=command.command_id,
            requests=tuple(request_of(row) for row in rows),
            is_exit=protective,
        )

        def handed() -> None:
            self._handed.update({row.client_order_id: handed_ns for row in rows})

        self._store.when_durable(handed)
        self._tell(f"executor.{rows[0].broker_name}", message)

    def _tell(self, executor: str, message: Message) -> None:
        """An executor goes by the rows, so they stand on disk before it hears of them."""
        self._store.when_durable(lambda: self._context.tell(executor, message))

    def _is_handed(self, row: OrderRow) -> bool:
        at_ns = self._handed.get(row.client_order_id)
        now_ns = self._context.monotonic_ns()
        return at_ns is not None and now_ns - at_ns < seconds(HAND_AGAIN_S)
