"""What brokers' order books say, onto our rows: states, fills, and the fate of unknown orders.

A read that failed is unknown, never empty: it changes nothing (`data_pipeline.md` 8 to 10).
"""

from __future__ import annotations

from typing import Any

from actors.actor import Context
from domain.brokers import BrokerOrder
from domain.clock import seconds
from domain.execution.book import change_of, changes, ended_with_its_day, missing
from domain.execution.unknowns import (
    FOR_A_PERSON,
    Finding,
    Resolution,
    held_by,
    holds_entry,
    next_poll_ns,
    resolve,
)
from domain.execution.words import Book
from domain.intents import Refusal
from domain.order_changes import BookChange
from domain.orders import CommandRow, OrderRow, OrderStatus
from messages.books import BrokerOrdersRead, ReadOrders
from persistence.orders import OrderStore

MISSING_AGAIN_S = 10.0
IN_FLIGHT_EVERY_S = 0.5  # `tomic.md` 8.7


class BookReader:
    """State: since when an order has been missing from its book; when was asked, and is next; the
    newest good read of each book, and what it said of which unknown order how often."""

    def __init__(self, context: Context, store: OrderStore) -> None:
        self._context, self._store = context, store
        self._missing: dict[str, int] = {}
        self._next_poll: dict[str, int] = {}
        self._asked: dict[str, int] = {}
        self._books: dict[str, BrokerOrdersRead] = {}
        self._found: dict[str, tuple[Resolution, int]] = {}

    def holds(self, entry: CommandRow) -> Refusal | None:
        """Why an entry must wait for what is not known of orders; a book not read yet is unread."""
        unknown = [row for row in self._store.unfinished() if row.needs_reconcile]
        unread = {row.broker_name for row in unknown} - self._books.keys()
        return holds_entry(entry, unknown, ambiguous=self._for_a_person(), unreadable=unread)

    def book(self, broker_name: str) -> Book | None:
        """The newest read of a broker's book; None while it cannot be read."""
        read = self._books.get(broker_name)
        if read is None or read.started_ns > self._context.now_ns():
            return None
        ids = [order.order_id for order in read.orders]
        owned = {row.broker_order_id for row in self._store.by_broker_ids(broker_name, ids)}
        return Book(read.orders, owned, read.started_ns)

    def inquiries(self) -> list[dict[str, Any]]:
        """What became of each unknown order so far, who is asked, and what waits; JSON-ready."""
        unknown = [row for row in self._store.unfinished() if row.needs_reconcile]
        self._found = {key: self._found[key] for key in self._found if key in _keys(unknown)}
        unread = {row.broker_name for row in unknown} - self._books.keys()
        return [self._inquiry(row, unread) for row in unknown]

    def take(self, message: BrokerOrdersRead) -> list[BookChange]:
        """Writes what the book says anew, in one transaction; returns the refusals it brought."""
        live = self._store.unfinished(message.broker)
        if message.started_ns > self._context.now_ns():
            return []  # the clock was set back meanwhile: it is not known when this was true
        if not message.ok:
            self._books.pop(message.broker, None)
            unknown = [row for row in live if row.needs_reconcile]
            if unknown:
                text = f"{len(unknown)} order(s) of unknown outcome, and the book of "
                text += f"{message.broker} cannot be read: {message.reason}"
                self._context.alert("CRITICAL", text, f"book:{message.broker}")
            return []
        self._books[message.broker] = message
        now_ns = self._context.now_ns()
        ids = [order.order_id for order in message.orders]
        ours = self._store.by_broker_ids(message.broker, ids)
        news = changes(ours, message.orders, now_ns)
        owned = {row.broker_order_id for row in ours}
        for row in live:
            if row.needs_reconcile and row.broker_order_id not in ids:
                news += self._resolved(row, message, owned)
        self._store.record_book(news, now_ns)
        self._look_for_missing(live, message)
        return [
            change
            for change in news
            if change.status is OrderStatus.REJECTED and not change.row.is_final
        ]

    def poll(self, broker_name: str) -> bool:
        """Asks for the book while an order is on its way or unknown; True while one is."""
        now_ns, at_ns = self._context.now_ns(), self._context.monotonic_ns()
        live = self._store.unfinished(broker_name)
        unknown = [row.sent_ns for row in live if row.needs_reconcile]
        moving = [row for row in live if _is_moving(row)]
        asked_ns = self._asked.get(broker_name)
        rested = asked_ns is None or at_ns - asked_ns >= seconds(IN_FLIGHT_EVERY_S)
        if unknown and at_ns >= self._next_poll.get(broker_name, at_ns):
            self._next_poll[broker_name] = at_ns + next_poll_ns(min(unknown), now_ns) - now_ns
            self.ask(broker_name, "an outcome is unknown", in_flight=bool(moving))
        elif moving and rested:
            self.ask(broker_name, "a leg is in flight")
        return bool(moving or unknown)

    def ask(self, broker_name: str, reason: str, in_flight: bool = True) -> None:
        """Reads the book now."""
        self._asked[broker_name] = self._context.monotonic_ns()
        message = ReadOrders(reason=reason, in_flight=in_flight)
        self._context.tell(f"account_sync.{broker_name}", message)

    def _resolved(
        self, row: OrderRow, message: BrokerOrdersRead, owned: set[str]
    ) -> list[BookChange]:
        found = resolve(row, message.orders, owned, message.started_ns)
        now_ns = self._context.now_ns()
        _, times = self._found.get(row.client_order_id, (found, 0))
        self._found[row.client_order_id] = found, times + 1
        if found.finding is Finding.FOUND and found.order:
            owned.add(found.order.order_id)
            change = change_of(row, found.order, now_ns, adopt=True)
            return [change] if change else []
        if found.finding is Finding.ABSENT:
            self._store.change_order(
                row,
                status=OrderStatus.FAILED,
                needs_reconcile=False,
                error_kind="never_arrived",
                error_message=f"NEVER_ARRIVED: {found.reason}",
                updated_ns=now_ns,
            )
        elif found.finding in FOR_A_PERSON:
            text = f"{row.symbol} {row.action} {row.quantity} at {row.broker_name}: {found.reason};"
            key = f"unknown:{row.client_order_id}"
            self._context.alert("CRITICAL", f"{text} a person must decide", key)
        return []

    def _for_a_person(self) -> set[str]:
        return {key for key, (found, _) in self._found.items() if found.finding in FOR_A_PERSON}

    def _inquiry(self, row: OrderRow, unread: set[str]) -> dict[str, Any]:
        found, times = self._found.get(row.client_order_id, (None, 0))
        ambiguous = self._for_a_person()
        read = self._books.get(row.broker_name)
        names = {"underlying": row.underlying, "broker": row.broker_name,
                 "strategy": row.strategy_tag}  # fmt: skip
        held = held_by(row, ambiguous=ambiguous, unreadable=unread)
        return {
            "order": row.client_order_id,
            "command_id": row.command_id,
            "strategy_id": row.strategy_id,
            "leg_no": row.leg_no,
            "purpose": row.purpose.value,
            "broker": row.broker_name,
            "symbol": row.symbol,
            "action": row.action,
            "quantity": row.quantity,
            "price_type": row.price_type,
            "price": str(row.price),
            "broker_order_id": row.broker_order_id,
            "sent_ns": row.sent_ns,
            "waits_for": "person" if row.client_order_id in ambiguous else "broker",
            "reason": found.reason if found and read else "its order book cannot be read",
            "asked_times": times,
            "asked_ns": read.started_ns if read else 0,
            "next_ns": self._next_ns(row.broker_name),
            "held": {held: names[held]},
            "likely": [_shown(order) for order in found.likely] if found else [],
        }

    def _next_ns(self, broker_name: str) -> int:
        due_ns = self._next_poll.get(broker_name)
        wait_ns = due_ns - self._context.monotonic_ns() if due_ns is not None else 0
        return self._context.now_ns() + max(wait_ns, 0)

    def _look_for_missing(self, live: list[OrderRow], message: BrokerOrdersRead) -> None:
        """An order that was taken and is in no book, twice: its fate is unknown, not guessed."""
        gone = missing(live, message.orders)
        now_ns, at_ns = self._context.now_ns(), self._context.monotonic_ns()
        for row in gone:
            if row.sent_ns >= message.started_ns:
                continue
            since_ns = self._missing.setdefault(row.client_order_id, at_ns)
            if at_ns - since_ns < seconds(MISSING_AGAIN_S):
                continue
            if ended_with_its_day(row, message.started_ns):
                self._expire(row)
            elif not row.needs_reconcile:
                self._store.change_order(row, needs_reconcile=True, updated_ns=now_ns)
                text = f"order {row.client_order_id} is missing from {row.broker_name}'s book"
                self._context.alert("CRITICAL", text, f"missing:{row.client_order_id}")
        names = {row.client_order_id for row in gone}
        self._missing = {key: at for key, at in self._missing.items() if key in names}

    def _expire(self, row: OrderRow) -> None:
        """It can fill no more; what it filled unseen, the reconciler finds in the positions."""
        self._store.change_order(
            row,
            status=OrderStatus.EXPIRED,
            needs_reconcile=False,
            error_message="it ended with its day",
            updated_ns=self._context.now_ns(),
        )


def _keys(rows: list[OrderRow]) -> set[str]:
    return {row.client_order_id for row in rows}


def _shown(order: BrokerOrder) -> dict[str, Any]:
    return {
        "broker_order_id": order.order_id,
        "status": order.status,
        "filled_quantity": order.filled_quantity,
        "price": str(order.price),
        "trigger_price": str(order.trigger_price),
        "average_price": str(order.average_price),
        "ordered_ns": order.ordered_at_ns,
    }


def _is_moving(row: OrderRow) -> bool:
    """True for what may change any moment; a resting stop is read at the slower pace."""
    return not row.needs_reconcile and row.price_type != "SL"
