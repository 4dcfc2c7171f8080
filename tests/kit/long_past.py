"""A data folder with a long past and open positions, written through the stores of the product.

The past is spreads that were entered and closed, and entries that failed, spread over a year; each
has its rows, its fills, its facts and its line in the journal. What is open is given with what the
broker said of it.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from domain.clock import exchange_time, seconds
from domain.execution.commands import close_command, entry_command, entry_orders
from domain.intents import SizedIntent, StrategyType
from domain.journal.trade import trade_row
from domain.order_changes import BookChange
from domain.orders import CommandRow, CommandStatus, OrderRow, OrderStatus, Purpose, order_key
from messages.codec import to_plain
from persistence.database import open_engine
from persistence.journal import JournalStore
from persistence.latches import end_entry, number_entry
from persistence.orders import OrderStore
from persistence.positions import PositionStore
from tests.kit.risk_makers import PUT_SPREAD_LEGS, a_put_spread, a_signal, an_intent

TAG = "TOMIC_BULL_PUT_SPREAD_NIFTY"
YEAR_S = 365 * 86_400.0
HELD_S = 3_600.0
FAILED_EVERY = 10  # one entry of so many came to nothing
PRICES = {"BUY": Decimal("50.00"), "SELL": Decimal("120.00")}
CLOSE_PRICES = {"BUY": Decimal("90.00"), "SELL": Decimal("35.00")}
FILLS_A_STATEMENT = 500


class Past:
    """The stores of one data folder; nothing runs on it meanwhile."""

    def __init__(self, data_dir: Path, broker: str) -> None:
        self._engine = open_engine(f"sqlite:///{data_dir / 'tomic.db'}")
        self._store = OrderStore(self._engine)
        self._journal = JournalStore(open_engine(f"sqlite:///{data_dir / 'journal.db'}"))
        self._broker = broker

    def write(self, commands: int) -> None:
        """So many commands of the past year, all ended, and the book folded behind them."""
        now_ns, written, number, fill_id = time.time_ns(), 0, 0, 0
        step_ns = seconds(YEAR_S) // commands
        while written < commands:
            number += 1
            at_ns = now_ns - seconds(YEAR_S) + written * step_ns
            intent = self.numbered(f"past:{number}", at_ns)
            if number % FAILED_EVERY == 0:
                self._fail(intent, at_ns)
                written += 1
            else:
                fill_id = self._trade(intent, number, at_ns)
                written += 2
            end_entry(self._engine, intent.strategy_id)
        told = range(1, fill_id + 1)
        for first in range(0, fill_id, FILLS_A_STATEMENT):
            self._store.mark_told(told[first : first + FILLS_A_STATEMENT])
        PositionStore(self._engine).save([], fill_id, number)

    def numbered(self, correlation_id: str, at_ns: int) -> SizedIntent:
        """A spread of one lot under the number that risk would give it."""
        body = {
            "underlying": "NIFTY",
            "strategy": StrategyType.BULL_PUT_SPREAD.value,
            "direction": "SELL",
            "margin": "60000",
        }
        day = f"{exchange_time(at_ns):%Y%m%d}"
        row = number_entry(self._engine, correlation_id, TAG, day=day, body=body, at_ns=at_ns)
        return an_intent(
            strategy_id=row.strategy_id,
            strategy_tag=TAG,
            idempotency_key=f"{row.strategy_id}:entry",
            correlation_id=correlation_id,
            signal=a_signal(
                StrategyType.BULL_PUT_SPREAD, PUT_SPREAD_LEGS, correlation_id=correlation_id
            ),
            structure=a_put_spread(),
        )

    def orders_for(self, intent: SizedIntent) -> tuple[CommandRow, list[OrderRow]]:
        """An entry of this moment that opened, and its orders as they leave: to be placed at the
        broker under their tags before `write_open`."""
        now_ns = time.time_ns()
        command = entry_command(
            intent, json.dumps(to_plain(intent)), self._broker, now_ns=now_ns, ttl_s=0
        )
        done = replace(command, status=CommandStatus.DONE, processed_ns=now_ns, told=True)
        return done, entry_orders(intent, command)

    def write_open(
        self, command: CommandRow, orders: Sequence[OrderRow], taken: Mapping[str, str],
        prices: Mapping[str, Decimal],
    ) -> None:  # fmt: skip
        """A structure that stands; broker's ids by tag, what was paid or got by symbol."""
        sent = [replace(row, broker_order_id=taken[row.tag]) for row in orders]
        row = self._record(command, sent)
        self._fill(row, prices, command.created_ns)
        untold = [one.fill.fill_id for one in self._store.untold_fills()]
        self._store.mark_told(untold)
        self._tell(command.command_id, command.created_ns, command.strategy_id)

    # -- helpers --

    def _record(self, command: CommandRow, orders: Sequence[OrderRow]) -> CommandRow:
        at_ns = command.created_ns
        left = [
            replace(row, status=OrderStatus.OPEN, sent_ns=at_ns, updated_ns=at_ns) for row in orders
        ]
        return self._store.record(command, left)[0]

    def _fill(self, command: CommandRow, prices: Mapping[str, Decimal], at_ns: int) -> int:
        rows = self._store.orders_of(command.command_id)
        changes = [
            BookChange(
                row=row,
                status=OrderStatus.FILLED,
                filled_quantity=row.quantity,
                average_price=prices.get(row.symbol, prices.get(row.action, Decimal(0))),
                increase=row.quantity,
                price=prices.get(row.symbol, prices.get(row.action, Decimal(0))),
                latency_ms=80,
            )
            for row in rows
        ]
        return self._store.record_book(changes, at_ns)

    def _fail(self, intent: SizedIntent, at_ns: int) -> None:
        payload = json.dumps(to_plain(intent))
        command = entry_command(intent, payload, self._broker, now_ns=at_ns, ttl_s=10)
        orders = [
            replace(row, status=OrderStatus.CANCELLED) for row in entry_orders(intent, command)
        ]
        ended = replace(
            command, status=CommandStatus.FAILED, processed_ns=at_ns, told=True,
            error_code="EXPIRED", last_error="it waited longer than 10 s",
        )  # fmt: skip
        self._store.record(ended, orders)

    def _trade(self, intent: SizedIntent, number: int, at_ns: int) -> int:
        """Entered and closed an hour later; gives the id of its last fill."""
        payload, closed_ns = json.dumps(to_plain(intent)), at_ns + seconds(HELD_S)
        entry = entry_command(intent, payload, self._broker, now_ns=at_ns, ttl_s=10)
        opening = [
            replace(row, broker_order_id=f"P{number}-{row.leg_no}")
            for row in entry_orders(intent, entry)
        ]
        done = replace(
            entry, status=CommandStatus.DONE, processed_ns=at_ns, told=True, closed_ns=closed_ns
        )
        self._fill(self._record(done, opening), PRICES, at_ns)
        key = f"{intent.strategy_id}:close:tp"
        close = close_command(
            entry, key, reason="tp_hit", by="position_manager", now_ns=closed_ns, urgent=False
        )
        closing = [
            replace(
                row, client_order_id=order_key(key, row.leg_no, action), action=action,
                purpose=Purpose.CLOSE, is_exit=True, created_ns=closed_ns,
                broker_order_id=f"P{number}-{row.leg_no}c",
            )
            for row in opening
            for action in ["SELL" if row.action == "BUY" else "BUY"]
        ]  # fmt: skip
        ended = replace(close, status=CommandStatus.DONE, processed_ns=closed_ns, told=True)
        newest = self._fill(self._record(ended, closing), CLOSE_PRICES, closed_ns)
        self._tell(number, at_ns, intent.strategy_id)
        self._tell(-number, closed_ns, intent.strategy_id)
        row = trade_row(intent, self._store.orders_of_strategy(intent.strategy_id))
        exit_price = row.pop("exit_price")
        plain = {name: json.dumps(row.pop(name)) for name in ("entry_reason_meta", "sizing_chain")}
        self._journal.write_entry({**row, **plain, "entry_ns": at_ns})
        self._journal.close_entry(
            intent.strategy_id, at_ns=closed_ns, reason="tp_hit", detail="", exit_price=exit_price,
            amounts={"gross": Decimal(975), "charges": Decimal(95), "net": Decimal(880)},
        )  # fmt: skip
        return newest

    def _tell(self, number: int, at_ns: int, strategy_id: str) -> None:
        for leg_no in (0, 1):
            self._journal.append_fact(
                f"past:{strategy_id}:{number}:{leg_no}", "", "OrderFilled", at_ns=at_ns,
                body={"strategy_id": strategy_id, "leg_no": leg_no},
            )  # fmt: skip
