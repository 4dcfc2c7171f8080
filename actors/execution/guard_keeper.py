"""Keeps a broker-side stop on every naked short and long single option, none where neither is left
(`tomic.md` 8.7, 8.10)."""

from __future__ import annotations

from collections.abc import Sequence

from actors.actor import Context
from actors.execution.close_desk import CloseDesk
from actors.execution.entry_checks import intent_of
from actors.execution.entry_desk import entry_shape
from actors.execution.order_desk import OrderDesk
from domain.execution.flattening import Step, cancellable, in_flight
from domain.execution.guarding import (
    missing_backstops,
    missing_stops,
    stray_stops,
    unsent_stops,
)
from domain.orders import CommandRow, OrderRow, Purpose
from domain.virtual_guard import SINGLE_LONGS, rules_of
from persistence.orders import OrderStore


class GuardKeeper:
    """Holds no state: the rows say which stop is missing."""

    def __init__(
        self, context: Context, store: OrderStore, desk: OrderDesk, closes: CloseDesk
    ) -> None:
        self._context, self._store, self._desk, self._closes = context, store, desk, closes

    def keep(self, command: CommandRow) -> None:
        """Places what is missing for one entry that opens or stands, and takes strays out."""
        orders = self._store.orders_of_strategy(command.strategy_id)
        rules = rules_of(self._context.runtime.settings)
        if any(row.naked_approved for row in orders):
            needs = missing_stops(orders)
            if needs.hopeless:
                self._give_up(command)
                return
        elif rules and _is_single_long(command, orders):
            needs = missing_backstops(orders, rules.stop)
            if needs.hopeless:
                text = f"{command.strategy_id}: its stop was refused three times at"
                text += f" {command.broker_name}; only its virtual guard watches it"
                self._context.alert("RISK", text, f"backstop:{command.strategy_id}")
        else:
            return
        now_ns = self._context.now_ns()
        stray = stray_stops(orders)
        step = Step(
            send=needs.place + tuple(d for d in unsent_stops(orders) if d.waiting[0] not in stray),
            cancel=cancellable(stray, now_ns),
            withdraw=tuple(row for row in stray if not in_flight(row)),
            phase="GUARDING",
        )
        intent = intent_of(command)
        self._desk.carry_out(step, command, lambda leg_no: entry_shape(intent, leg_no, command))

    def _give_up(self, command: CommandRow) -> None:
        text = f"{command.strategy_id}: its stop was refused three times, it is closed;"
        text += f" no naked short is opened at {command.broker_name} until you resume"
        self._context.alert("CRITICAL", text, f"unguarded:{command.strategy_id}")
        key = f"{command.strategy_id}:close:unguarded"
        self._closes.close(
            command.strategy_id, key, reason="unhedged_cut", by=self._context.name, urgent=True
        )


def _is_single_long(command: CommandRow, orders: Sequence[OrderRow]) -> bool:
    if any(row.leg_no or (row.purpose is Purpose.ENTRY and row.action == "SELL") for row in orders):
        return False  # most structures: their payload need not be read
    return intent_of(command).signal.strategy in SINGLE_LONGS
