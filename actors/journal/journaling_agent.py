"""journaling_agent: each trade with its context, and how trades do over time.

Hears OrderFilled, StructureOpened, StructureClosed; reads what was wanted and what filled from the
order tables, so that any of them finds the whole trade. Counts by the minute what orders, feeds and
breakers do. Announces OddsMeasured and TrackRecordTold; reports the rolling performance.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from actors.actor import Actor
from actors.journal.minute_keeper import MinuteKeeper
from actors.journal.write_queue import WriteQueue
from domain.clock import exchange_time, iso_utc
from domain.intents import SizedIntent
from domain.journal.performance import (
    ClosedTrade,
    by_strategy,
    expectancy,
    max_drawdown_share,
    metrics,
    monthly_profit,
    sessions_between,
    strategy_odds,
    strategy_of,
)
from domain.journal.trade import trade_row
from domain.orders import CommandStatus
from domain.results import Result, result_of
from domain.track_record import PaperRecord, TrackRecord, phase_in
from messages.codec import from_plain
from messages.lifecycle import AlertRaised, NodeRestarted
from messages.market import FeedSwitched
from messages.trading import (
    CommandEnded,
    OddsMeasured,
    OrderAccepted,
    OrderFilled,
    OrderProposed,
    OrderRejected,
    SignalRefused,
    StructureClosed,
    StructureOpened,
    TrackRecordTold,
)
from persistence.database import open_engine
from persistence.journal import JournalStore
from persistence.metrics import MetricStore
from persistence.orders import OrderStore

RISK, ENGINE = "risk_agent", "strategy_engine"
RECLAIMED = "lease:reclaimed"
STALE_RESULT = "blocked_freshness"
REPORT_EVERY_S = 3_600.0
SEGMENT = "NFO"
CATCH_UP_EVERY_S = 30.0


class JournalingAgent(Actor):
    """Writes journal entries; one row a structure, from its first fill on."""

    def start(self) -> None:
        runtime = self.context.runtime
        self._store = JournalStore(open_engine(runtime.journal_url))
        self._orders = OrderStore(open_engine(runtime.database_url))
        self._writes = WriteQueue(self.context)
        metrics = MetricStore(open_engine(runtime.journal_url))
        self._metrics = metrics
        self._minutes = MinuteKeeper(self.context, metrics, self._writes)
        self._report()
        self._writes.put(self._catch_up)
        self.context.every(CATCH_UP_EVERY_S, lambda: self._writes.put(self._catch_up))
        if not runtime.is_on_paper:  # another day may be another month of live trading
            self.context.every(REPORT_EVERY_S, self._report)

    def on_order_filled(self, message: OrderFilled) -> None:
        strategy_id = message.fill.strategy_id
        self._minutes.now().filled(message.latency_ms, message.slippage_ticks)

        def write() -> None:
            self._write(strategy_id)
            self._store.add_execution(strategy_id, message.slippage_ticks, message.latency_ms)

        self._writes.put(write)

    def on_structure_opened(self, message: StructureOpened) -> None:
        def write() -> None:
            self._write(message.intent.strategy_id)

        self._writes.put(write)

    def on_structure_closed(self, message: StructureClosed) -> None:
        if message.reason == "unhedged_cut":
            self._minutes.now().count("unhedged_incidents")
        self._writes.put(lambda: self._close(message))

    def on_order_proposed(self, _message: OrderProposed) -> None:
        """A signal that is followed counts for its day."""
        day = exchange_time(self.context.now_ns()).date().isoformat()
        paper = self.context.runtime.is_on_paper
        self._writes.put(lambda: self._metrics.count_signal(day, paper))

    # -- the minute --

    def on_order_accepted(self, _message: OrderAccepted) -> None:
        self._minutes.now().count("orders_placed")

    def on_order_rejected(self, _message: OrderRejected) -> None:
        self._minutes.now().count("orders_rejected")

    def on_signal_refused(self, message: SignalRefused) -> None:
        if message.result == STALE_RESULT:
            self._minutes.now().count("stale_blocks")

    def on_command_ended(self, message: CommandEnded) -> None:
        if message.status == CommandStatus.DEAD_LETTER:
            self._minutes.now().count("dead_letters")

    def on_feed_switched(self, message: FeedSwitched) -> None:
        if message.using_fallback:
            self._minutes.now().count("failovers")

    def on_alert_raised(self, message: AlertRaised) -> None:
        """Breakers and a new life of execution tell what they did by alert."""
        if message.dedupe_key.startswith("breaker:") and message.level != "INFO":
            self._minutes.now().count("breaker_trips")
        elif message.dedupe_key == RECLAIMED:
            self._minutes.now().count("lease_reclaims")

    # -- the trade --

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name in (RISK, ENGINE):
            self._report()

    def _close(self, message: StructureClosed) -> None:
        result = Result(message.gross, message.charges, message.reason, message.detail)
        self._end(message.strategy_id, result, message.at_ns)
        self._report()

    def _catch_up(self) -> None:
        """Trades whose end was told and did not come here: it died in the hands of two lives."""
        late = self._store.standing_trades()
        for strategy_id in late:
            commands = self._orders.commands_of(strategy_id)
            entry = next((row for row in commands if not row.is_exit and row.closed_ns), None)
            if entry is not None:
                reasons = {row.command_id: row.reason for row in commands}
                orders = self._orders.orders_of_strategy(strategy_id)
                self._end(strategy_id, result_of(entry, orders, reasons), entry.closed_ns)
        if len(self._store.standing_trades()) < len(late):
            self._report()

    def _end(self, strategy_id: str, result: Result, at_ns: int) -> None:
        exit_price = self._write(strategy_id)
        self._store.close_entry(
            strategy_id,
            at_ns=at_ns,
            reason=result.reason,
            detail=result.detail,
            exit_price=exit_price,
            amounts={"gross": result.gross, "charges": result.charges, "net": result.net},
        )

    def _write(self, strategy_id: str) -> float | None:
        """The row as it stands now; gives what was paid or got after the entry, per unit."""
        entry = next(
            (row for row in self._orders.commands_of(strategy_id) if not row.is_exit), None
        )
        fills = self._orders.fills_of_strategy(strategy_id)
        if entry is None or not fills:
            return None
        intent: SizedIntent = from_plain(SizedIntent, json.loads(entry.payload))
        row = trade_row(intent, self._orders.orders_of_strategy(strategy_id))
        exit_price: float | None = row.pop("exit_price")
        plain: dict[str, Any] = {
            key: json.dumps(row.pop(key), sort_keys=True)
            for key in ("entry_reason_meta", "sizing_chain")
        }
        self._store.write_entry(
            {**row, **plain, "entry_ns": fills[0].at_ns, "paper": self.context.runtime.is_on_paper}
        )
        return exit_price

    def _report(self) -> None:
        trades, by_kind = [], defaultdict(list)
        rows = self._store.entries(closed_only=True)
        rows.sort(key=lambda row: (row["exit_ns"], row["id"]))
        for row in rows:
            tag, day = row["strategy_tag"], exchange_time(row["exit_ns"]).date()
            trade = ClosedTrade(tag, day, Decimal(row["pnl"]), row["slippage_ticks"])
            trades.append(trade)
            by_kind[strategy_of(tag, row["instrument"])].append(trade)
        odds = (strategy_odds(kind, rows) for kind, rows in by_kind.items())
        record = self._track_record(rows)
        self.context.announce(TrackRecordTold(record=record))
        as_of, runtime = iso_utc(self.context.now_ns()), self.context.runtime
        sessions = sessions_between(runtime.calendars.get(SEGMENT), trades)
        self.context.announce(
            OddsMeasured(
                odds=tuple(one for one in odds if one),
                closed_trades=len(trades),
                monthly_profit=monthly_profit(trades, sessions),
            )
        )
        self.context.report(
            {
                "metrics": metrics(trades, runtime.settings.capital, as_of, sessions),
                "strategy_breakdown": by_strategy(trades),
                "track_record": asdict(record),
            }
        )

    def _track_record(self, rows: list[dict[str, Any]]) -> TrackRecord:
        """What was proven on paper, and the phase of live trading, of closed trades as rows."""
        closed = {
            paper: [(exchange_time(row["exit_ns"]).date(), Decimal(row["pnl"])) for row in rows
                    if row["paper"] is paper]
            for paper in (True, False)
        }  # fmt: skip
        trades = [ClosedTrade("", day, net, 0.0) for day, net in closed[True]]
        signals = self._metrics.signal_days(paper=True)
        capital = self.context.runtime.settings.capital
        paper = PaperRecord(
            days=len(signals),
            signals=sum(signals),
            trades=len(trades),
            expectancy=expectancy(trades)["expectancy"],
            drawdown=max_drawdown_share(trades, capital),
        )
        first_ns = self._store.first_live_entry_ns()
        since = exchange_time(first_ns).date() if first_ns else None
        today = exchange_time(self.context.now_ns()).date()
        return TrackRecord(paper, phase_in(closed[False], since, today))
