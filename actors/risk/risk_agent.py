"""Risk: sizes a signal or refuses it; every answer has a code and a sentence (`tomic.md` 7).

Hears EvaluateSignal, InjectSignal, what becomes of its orders, and what it must know: regime,
freshness, margin, the book, the mode, correlations, odds, the track record. Tells ResolveLegs to
chain_keeper, QuoteMargin to account_sync; announces OrderProposed or SignalRefused. Injections and
the numbers of entries are rows, so that no life forgets them.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from actors.actor import Actor, Context, Timer
from actors.risk.active_entries import ActiveEntries
from actors.risk.evaluation_log import EvaluationLog
from actors.risk.execution_broker import execution_broker
from actors.risk.heard import Heard
from actors.risk.injection_desk import InjectionDesk
from domain.charges import rates_on
from domain.clock import exchange_time, seconds
from domain.gates import naked_policy
from domain.intents import Refusal, ResolvedStructure, Signal
from domain.orders import lot_orders
from domain.risk.evaluation import (
    BREAKER,
    INVALID,
    SIZING,
    Approval,
    Block,
    Knowledge,
    check_before_legs,
    check_contracts,
    size_signal,
)
from domain.risk.proposal import legs_of, make_intent, product_of, tag_of
from domain.track_record import check_promotion
from messages.books import MarginQuoted, MarginRead, QuoteMargin
from messages.control import InjectSignal
from messages.market import FreshnessMarked, LegsResolved, ResolveLegs
from messages.trading import (
    CommandEnded,
    CorrelationsMeasured,
    EvaluateSignal,
    OddsMeasured,
    OrderDenied,
    OrderProposed,
    PositionChanged,
    ProposalRecorded,
    RegimeChanged,
    SignalRefused,
    StructureClosed,
    TrackRecordTold,
    TradingModeChanged,
)
from persistence.database import open_engine
from persistence.latches import Latch, read_latch, write_latch

CHAIN_KEEPER = "chain_keeper"
STOPS = "risk_agent.stops"
STOP_WORD = "sl_hit"


@dataclass(frozen=True)
class RiskSettings:
    """`broker` whose margin is asked, execution_agent's unless given; `deadline_s` for one
    evaluation."""

    broker: str = ""
    deadline_s: float = 10.0
    sweep_every_s: float = 30.0

    def __post_init__(self) -> None:
        if self.deadline_s <= 0 or self.sweep_every_s <= 0:
            raise ValueError("deadline_s and sweep_every_s must be greater than 0")


@dataclass
class Pending:
    """One evaluation on its way, and who is to answer next."""

    signal: Signal
    timer: Timer
    waits_for: str
    fencing_number: int
    structure: ResolvedStructure | None = None


class RiskAgent(Actor):
    """At most one evaluation a correlation id; what is proposed counts as a position at once."""

    SETTINGS = RiskSettings
    settings: RiskSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        runtime = context.runtime
        self._broker = execution_broker(runtime, settings.broker)
        self._policy = naked_policy(runtime.settings)
        self._heard = Heard()
        self._log = EvaluationLog(runtime.settings.signal_enqueue_cooldown_s)
        self._pending: dict[str, Pending] = {}
        self._proposed: dict[str, Signal] = {}  # until execution has their rows
        self._stops: tuple[str, int] = ("", 0)

    def start(self) -> None:
        self._engine = open_engine(self.context.runtime.database_url)
        self._entries = ActiveEntries(self.context.runtime.database_url)
        latch = read_latch(self._engine, STOPS)
        if latch and latch.body:
            self._stops = (latch.day, int(latch.body["stops"]))
        self._injections = InjectionDesk(self.context)
        self.context.every(self.settings.sweep_every_s, self._sweep)
        if self._injections.open:
            # The day's readings are not heard yet: a moment for them, then the survivors are
            # judged.
            self.context.after(self.settings.deadline_s, self._evaluate_survivors)

    # -- what it knows --

    def on_regime_changed(self, message: RegimeChanged) -> None:
        self._heard.regime = message.regime

    def on_freshness_marked(self, message: FreshnessMarked) -> None:
        self._heard.mark = message.mark

    def on_margin_read(self, message: MarginRead) -> None:
        if message.margin.broker == self._broker:
            self._heard.margin = message.margin

    def on_position_changed(self, message: PositionChanged) -> None:
        self._heard.book = message.book

    def on_correlations_measured(self, message: CorrelationsMeasured) -> None:
        rows = message.correlations
        self._heard.correlations = {frozenset((row.one, row.other)): row.value for row in rows}

    def on_odds_measured(self, message: OddsMeasured) -> None:
        self._heard.odds = {row.strategy: row for row in message.odds}

    def on_track_record_told(self, message: TrackRecordTold) -> None:
        self._heard.record = message.record

    def on_trading_mode_changed(self, message: TradingModeChanged) -> None:
        """A kill discards what is on its way; nothing old is judged again on resume."""
        self._heard.stopped = message.reason if message.killed else ""
        if message.killed:
            for pending in list(self._pending.values()):
                self._refuse(pending.signal, Block(BREAKER, Refusal("KILLED", message.reason)))

    # -- the day of a signal --

    def on_evaluate_signal(self, message: EvaluateSignal) -> None:
        self._evaluate(message.signal, message.fencing_number)

    def on_inject_signal(self, message: InjectSignal) -> None:
        if self._injections.take(message):
            self._evaluate(message.signal)

    def on_legs_resolved(self, message: LegsResolved) -> None:
        pending = self._pending.get(message.request)
        if pending is None or pending.structure is not None:
            return
        if message.structure is None:
            refusal = message.refusal or Refusal("NO_LEGS", "no contract was found for its legs")
            self._refuse(pending.signal, Block(SIZING, refusal))
            return
        known = self._knowledge(pending.signal)
        block = check_contracts(pending.signal, message.structure, known)
        if block:
            self._refuse(pending.signal, block)
            return
        pending.structure = message.structure
        pending.waits_for = f"account_sync.{self._broker}"
        product = product_of(pending.signal, self.context.runtime.settings.default_product)
        orders = lot_orders(message.structure, tag_of(pending.signal), product)
        self.context.tell(
            pending.waits_for,
            QuoteMargin(request=message.request, orders=orders, reply_to=self.context.name),
        )

    def on_margin_quoted(self, message: MarginQuoted) -> None:
        pending = self._pending.get(message.request)
        if pending is None or pending.structure is None:
            return
        if message.total is None:
            text = f"the broker gave no margin for these legs: {message.reason or 'no reason told'}"
            self._refuse(pending.signal, Block(SIZING, Refusal("MARGIN_UNKNOWN", text)))
            return
        known = self._knowledge(pending.signal)
        outcome = size_signal(pending.signal, pending.structure, message.total, known)
        if isinstance(outcome, Block):
            self._refuse(pending.signal, outcome)
        else:
            self._propose(pending, pending.structure, message.total, outcome)

    def on_proposal_recorded(self, message: ProposalRecorded) -> None:
        number, signal = message.correlation_id, self._proposed.pop(message.correlation_id, None)
        if message.refusal:
            self._entries.end(message.strategy_id)
            self._log.not_recorded(number, message.refusal)
            if signal:
                said = SignalRefused(signal=signal, result=INVALID, refusal=message.refusal)
                self.context.announce(said)
        else:
            self._log.recorded(number, message.command_id, message.duplicate)
        result = {"result": "enqueued", "strategy_id": message.strategy_id}
        if message.refusal:
            refusal = message.refusal
            result = {"result": "refused", "code": refusal.code, "reason": refusal.text}
        self._injections.end(number, result)
        self._report()

    def on_order_denied(self, message: OrderDenied) -> None:
        self._log.denied(message.command_id, message.refusal, message.retry_after_s)
        self._report()

    def on_command_ended(self, message: CommandEnded) -> None:
        self._log.ended(message.command_id, message.status, message.refusal)
        self._report()
        if message.status in ("FAILED", "DEAD_LETTER") and not message.is_exit:
            self._entries.end(message.strategy_id)

    def on_structure_closed(self, message: StructureClosed) -> None:
        self._entries.end(message.strategy_id)
        if not message.stood:
            return  # no trade was judged: the stops in a row go on
        stops = self._stops_today() + 1 if message.reason == STOP_WORD else 0
        now_ns = self.context.now_ns()
        self._stops = (exchange_time(now_ns).date().isoformat(), stops)
        day = self._stops[0]
        body = {"stops": stops}
        write_latch(self._engine, Latch(STOPS, stops > 0, day, "", now_ns, now_ns, body))

    # -- helpers --

    def _evaluate(self, signal: Signal, fencing_number: int = 0) -> None:
        if signal.correlation_id in self._pending:
            return
        block = check_before_legs(signal, self._knowledge(signal))
        if block:
            self._refuse(signal, block)
            return
        number = signal.correlation_id
        timer = self.context.after(self.settings.deadline_s, lambda: self._late(number))
        self._pending[number] = Pending(signal, timer, CHAIN_KEEPER, fencing_number)
        self.context.tell(
            CHAIN_KEEPER,
            ResolveLegs(
                reply_to=self.context.name,
                request=number,
                underlying=signal.instrument,
                legs=legs_of(signal),
                dte_min=signal.dte_min,
                dte_max=signal.dte_max,
                expiry=signal.expiry,
            ),
        )
        self._report()

    def _evaluate_survivors(self) -> None:
        for signal in list(self._injections.open.values()):
            self._evaluate(signal)

    def _late(self, correlation_id: str) -> None:
        pending = self._pending.get(correlation_id)
        if pending:
            text = f"{pending.waits_for} did not answer within {self.settings.deadline_s:g} s"
            self._refuse(pending.signal, Block(SIZING, Refusal("NO_ANSWER", text)))

    def _knowledge(self, signal: Signal) -> Knowledge:
        """A signal's own entry, numbered by an earlier life, does not stand in its way."""
        now_ns, heard, runtime = self.context.now_ns(), self._heard, self.context.runtime
        mine = signal.correlation_id
        on_their_way = [row.signal for key, row in self._pending.items() if key != mine]
        return Knowledge(
            now_ns=now_ns,
            capital_cap=runtime.settings.capital,
            policy=self._policy,
            rates=rates_on(exchange_time(now_ns).date()),
            allow_pyramiding=runtime.settings.allow_pyramiding,
            regime=heard.regime,
            mark=heard.mark,
            margin=heard.margin,
            active=self._entries.active(heard.book, on_their_way, but=mine),
            unexplained=heard.book.unexplained,
            stops_in_row=self._stops_today(),
            stopped=heard.stopped,
            correlations=heard.correlations,
            odds=heard.odds,
            calendars=runtime.calendars,
            events=runtime.events,
            unproven=check_promotion(runtime.settings.mode, runtime.is_on_paper, heard.record),
            phase=heard.record.phase if heard.record and not runtime.is_on_paper else None,
        )

    def _propose(
        self, pending: Pending, structure: ResolvedStructure, lot_margin: Decimal, passed: Approval
    ) -> None:
        signal, sizing, now_ns = pending.signal, passed.sizing, self.context.now_ns()
        keys, margin = self.context.runtime.settings, lot_margin * sizing.lots
        intent = make_intent(
            signal,
            structure,
            passed,
            self._heard.regime,
            strategy_id=self._entries.number(signal, tag_of(signal), margin, now_ns),
            product=product_of(signal, keys.default_product),
            margin=margin,
            valid_until_ns=signal.valid_until_ns or now_ns + seconds(keys.signal_loop_interval_s),
            fencing_number=pending.fencing_number,
        )
        sentence = f"{sizing.lots} lots: {sizing.steps[-1].reason}"
        self._finish(signal, ("enqueued", "", sentence), sizing.steps, sizing.units, sizing.lots)
        self._proposed[signal.correlation_id] = signal
        self.context.announce(OrderProposed(intent=intent))

    def _refuse(self, signal: Signal, block: Block) -> None:
        outcome = (block.result, block.refusal.code, block.refusal.text)
        row = self._finish(signal, outcome, block.steps)
        self._injections.end(signal.correlation_id, row)
        self.context.announce(
            SignalRefused(
                signal=signal, result=block.result, refusal=block.refusal, sizing=block.steps
            )
        )

    def _finish(
        self,
        signal: Signal,
        outcome: tuple[str, str, str],
        steps: Any,
        units: int = 0,
        lots: int = 0,
    ) -> dict[str, Any]:
        pending = self._pending.pop(signal.correlation_id, None)
        if pending:
            pending.timer.cancel()
        row = self._log.add(
            signal,
            outcome,
            at_ns=self.context.now_ns(),
            regime=self._heard.regime,
            margin=self._heard.margin,
            positions=self._entries.count(self._heard.book),
            steps=steps,
            units=units,
            lots=lots,
        )
        self._report()
        return row

    def _stops_today(self) -> int:
        day, stops = self._stops
        return stops if day == exchange_time(self.context.now_ns()).date().isoformat() else 0

    def _sweep(self) -> None:
        self._entries.sweep(self._heard.book, self.context.now_ns())
        self._report()

    def _report(self) -> None:
        self.context.report(
            lambda: self._log.body(len(self._pending.keys() | self._injections.open.keys()))
        )
