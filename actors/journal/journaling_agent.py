"""journaling_agent: each trade with its context, and how trades do over time.

Hears StructureOpened, OrderFilled, CommandEnded, StructureClosed. Tells nobody; reports the rolling
performance.
"""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal

from actors.actor import Actor
from domain.clock import exchange_time, iso_utc
from domain.journal.performance import ClosedTrade, by_strategy, metrics
from messages.codec import to_plain
from messages.trading import (
    CommandEnded,
    OrderFilled,
    StructureClosed,
    StructureOpened,
)
from persistence.database import open_engine
from persistence.journal import JournalStore


class JournalingAgent(Actor):
    """Writes journal entries; one row a structure."""

    def start(self) -> None:
        self._store = JournalStore(open_engine(self.context.runtime.journal_url))
        self._worst: dict[str, tuple[float, float]] = {}  # of structures not yet open: ticks, ms
        self._report()

    def on_structure_opened(self, message: StructureOpened) -> None:
        intent = message.intent
        self._store.open_entry(
            {
                "event_id": f"{intent.idempotency_key}:journal",
                "correlation_id": intent.correlation_id,
                "strategy_id": intent.strategy_id,
                "strategy_tag": intent.strategy_tag,
                "instrument": intent.signal.instrument,
                "exchange": intent.structure.legs[0].exchange if intent.structure.legs else "",
                "direction": intent.signal.direction,
                "quantity": intent.quantity,
                "entry_price": intent.structure.credit,
                "entry_reason": intent.entry_reason,
                "entry_reason_meta": json.dumps(intent.signal.extras, sort_keys=True),
                "regime_phase": intent.regime_phase,
                "regime_score": intent.regime_score,
                "vix_at_entry": intent.vix,
                "sizing_chain": json.dumps(to_plain(intent.sizing)),
                "entry_ns": message.at_ns,
            }
        )
        ticks, latency_ms = self._worst.pop(intent.strategy_id, (0.0, 0.0))
        self._store.add_execution(intent.strategy_id, ticks, latency_ms)

    def on_order_filled(self, message: OrderFilled) -> None:
        """Legs fill before their structure stands: until then their worst figures wait here."""
        strategy_id = message.fill.strategy_id
        ticks, latency_ms = self._worst.get(strategy_id, (0.0, 0.0))
        self._worst[strategy_id] = (
            max(ticks, message.slippage_ticks),
            max(latency_ms, message.latency_ms),
        )
        self._store.add_execution(strategy_id, message.slippage_ticks, message.latency_ms)

    def on_command_ended(self, message: CommandEnded) -> None:
        self._worst.pop(message.strategy_id, None)

    def on_structure_closed(self, message: StructureClosed) -> None:
        amounts = {"gross": message.gross, "charges": message.charges, "net": message.net}
        self._store.close_entry(
            message.strategy_id, at_ns=message.at_ns, reason=message.reason, amounts=amounts
        )
        self._report()

    def _report(self) -> None:
        trades = [
            ClosedTrade(
                row["strategy_tag"],
                _day(row["exit_ns"]),
                Decimal(row["pnl"]),
                row["slippage_ticks"],
            )
            for row in reversed(self._store.entries(closed_only=True))
        ]
        as_of = iso_utc(self.context.now_ns())
        self.context.report(
            {
                "metrics": metrics(trades, self.context.runtime.settings.capital, as_of),
                "strategy_breakdown": by_strategy(trades),
            }
        )


def _day(at_ns: int) -> date:
    return exchange_time(at_ns).date()
