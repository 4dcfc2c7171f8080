"""Keeps a broker-side stop on every naked short, none where no short is left (`tomic.md` 8.7)."""

from __future__ import annotations

from actors.actor import Context
from actors.execution.close_desk import CloseDesk
from actors.execution.entry_checks import intent_of
from actors.execution.entry_desk import entry_shape
from actors.execution.order_desk import OrderDesk
from domain.execution.flattening import Step, cancellable, in_flight
from domain.execution.guarding import missing_stops, stray_stops, unsent_stops
from domain.orders import CommandRow
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
        if not any(row.naked_approved for row in orders):
            return
        now_ns = self._context.now_ns()
        needs = missing_stops(orders)
        if needs.hopeless:
            text = f"{command.strategy_id}: its stop was refused three times, it is closed;"
            text += f" no naked short is opened at {command.broker_name} until you resume"
            self._context.alert("CRITICAL", text, f"unguarded:{command.strategy_id}")
            key = f"{command.strategy_id}:close:unguarded"
            self._closes.close(
                command.strategy_id, key, reason="unhedged_cut", by=self._context.name, urgent=True
            )
            return
        stray = stray_stops(orders)
        step = Step(
            send=needs.place + tuple(d for d in unsent_stops(orders) if d.waiting[0] not in stray),
            cancel=cancellable(stray, now_ns),
            withdraw=tuple(row for row in stray if not in_flight(row)),
            phase="GUARDING",
        )
        intent = intent_of(command)
        self._desk.carry_out(step, command, lambda leg_no: entry_shape(intent, leg_no, command))
