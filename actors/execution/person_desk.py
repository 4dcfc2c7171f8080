"""What people and the reconciler say: of dead letters, of orders of unknown fate, of positions."""

from __future__ import annotations

from dataclasses import replace

from actors.actor import Context
from actors.execution.book_reader import BookReader
from actors.execution.close_desk import closing_shape
from actors.execution.conditions import Conditions
from actors.execution.entry_checks import intent_of
from domain.clock import seconds
from domain.execution.commands import entry_orders, keeps_from_again
from domain.execution.flattening import in_flight
from domain.execution.words import Word, check_word, is_so_already, status_after_never
from domain.order_changes import BookChange
from domain.orders import CommandStatus, OrderRow, OrderStatus, Purpose
from messages.control import DeadLetterManaged, DecideOutcome, ManageDeadLetter, OutcomeDecided
from messages.trading import CorrectBook
from persistence.orders import OrderStore

NEVER_AGAIN = ("BROKER_REJECT", "VALIDATION")  # an answer in words does not change (`tomic.md` 9.1)


class PersonDesk:
    """Holds no state."""

    def __init__(
        self, context: Context, store: OrderStore, conditions: Conditions, books: BookReader
    ) -> None:
        self._context, self._store, self._conditions = context, store, conditions
        self._books = books

    def manage(self, message: ManageDeadLetter) -> None:
        """Puts a dead letter back with a new time to live, or deletes it; both are audited."""
        http_status, text = self._manage(message)
        self._context.tell(
            message.reply_to,
            DeadLetterManaged(request=message.request, http_status=http_status, text=text),
        )

    def _manage(self, message: ManageDeadLetter) -> tuple[int, str]:
        command = self._store.command(message.command_id)
        if command is None or command.status is not CommandStatus.DEAD_LETTER:
            return 404, f"command {message.command_id} is no dead letter"
        if message.action == "delete":
            self._store.delete_dead_letter(command.command_id)
            return 200, f"dead letter {command.command_id} is deleted"
        if command.error_code.upper() in NEVER_AGAIN:
            return 409, f"{command.error_code}: the broker's answer would be the same"
        now_ns = self._context.now_ns()
        if not command.is_exit:
            orders = self._store.orders_of(command.command_id)
            refusal = self._conditions.stopped or keeps_from_again(command, orders)
            if refusal:
                return 409, f"no entry is made: {refusal}"
            again = max(row.attempt for row in orders) + 1
            anew = replace(command, created_ns=now_ns)
            self._store.add_orders(entry_orders(intent_of(command), anew, again))
        ttl_s = self._context.runtime.settings.max_queue_age_s
        expires = 0 if command.is_exit or not ttl_s else now_ns + seconds(ttl_s)
        self._store.move(
            command,
            CommandStatus.PENDING,
            attempt_count=0,
            created_ns=now_ns,
            valid_until_ns=expires,
            next_retry_ns=0,
            last_error="",
            error_code="",
            abort_requested=False,
            told=False,
        )
        return 200, f"command {command.command_id} is tried again"

    def decide(self, message: DecideOutcome) -> None:
        """Takes a person's word on an unknown order: on its row first, then told; said again it
        changes nothing. Nothing is sent for it."""
        http_status, code, text = self._decide(message)
        self._context.announce(
            OutcomeDecided(
                request=message.request,
                client_order_id=message.client_order_id,
                http_status=http_status,
                code=code,
                text=text,
                by=message.by,
            )
        )

    def _decide(self, message: DecideOutcome) -> tuple[int, str, str]:
        row, word = self._store.order(message.client_order_id), Word(message.word)
        if row is None:
            return 404, "UNKNOWN_ORDER", f"no order {message.client_order_id}"
        name = f"{row.action} {row.quantity} {row.symbol}"
        if word is Word.OURS:
            done = f"{name} is order {message.broker_order_id} of {row.broker_name}"
        else:
            done = f"{name} never arrived at {row.broker_name}; nothing is sent for it"
        if is_so_already(row, word, message.broker_order_id):
            return 200, "", done
        book = self._books.book(row.broker_name)
        refusal = check_word(row, word, message.broker_order_id, book)
        if refusal:
            return 409, refusal.code, refusal.text
        now_ns = self._context.now_ns()
        if word is Word.OURS:
            # Its state and fills come from the next read, as those of any order whose id we have.
            taken = self._store.change_order(
                row, broker_order_id=message.broker_order_id, updated_ns=now_ns
            )
        else:
            taken = self._store.change_order(
                row,
                status=status_after_never(row),
                needs_reconcile=False,
                error_kind="never_arrived",
                error_message=f"NEVER_ARRIVED: {message.by}: {message.reason}",
                updated_ns=now_ns,
            )
        if not taken:
            return 409, "NOT_WAITING", f"{name} moved on meanwhile; look again"
        self._context.alert("INFO", f"{message.by}: {done}", f"decided:{row.client_order_id}")
        self._books.ask(row.broker_name, "a person's word was taken")
        return 200, "", done

    def correct(self, message: CorrectBook) -> None:
        """Books units that came or went outside, as a fill of an order that was never ours."""
        symbol, strategy_id, leg = message.position_key.split("|")
        orders = self._store.orders_of_strategy(strategy_id)
        of_leg = [row for row in orders if row.leg_no == int(leg) and row.symbol == symbol]
        # A resting stop brought nothing yet: it is taken out when its leg is gone.
        moving = [row for row in of_leg if in_flight(row) and not _rests(row)]
        if not of_leg or not message.units or moving:
            return
        now_ns = self._context.now_ns()
        shape, _ = closing_shape(orders, int(leg))
        quantity = abs(message.units)
        row = replace(
            shape,
            client_order_id=message.key,
            purpose=Purpose.CORRECTION,
            action="BUY" if message.units > 0 else "SELL",
            quantity=quantity,
            status=OrderStatus.FILLED,
            is_exit=True,
            created_ns=now_ns,
            updated_ns=now_ns,
        )
        self._store.add_orders([row])
        stored = self._store.order(message.key)
        if stored is None or stored.filled_quantity:
            return
        change = BookChange(
            row=stored,
            status=OrderStatus.FILLED,
            filled_quantity=quantity,
            average_price=message.price,
            increase=quantity,
            price=message.price,
        )
        self._store.record_book([change], now_ns)
        text = f"{symbol}: {message.units:+d} units booked, {message.reason}"
        self._context.alert("RISK", text, message.key)


def _rests(row: OrderRow) -> bool:
    stands = row.is_working and not row.needs_reconcile and not row.filled_quantity
    return row.purpose is Purpose.STOP and stands
