"""From opinion to fill, in the order of the day (`style.md` 4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain.brokers import OrderRequest
from domain.intents import Refusal, RouteDecision, Signal, SizedIntent, SizingStep
from domain.orders import Fill, Purpose
from domain.positions import BookSnapshot
from domain.readings import Correlation, Regime, StrategyOdds
from domain.track_record import TrackRecord
from messages.base import Message, Overflow


@dataclass(frozen=True, kw_only=True)
class RegimeChanged(Message):
    """The regime agent's snapshot changed (or was confirmed on a new bar: same version, newer
    time).
    """

    regime: Regime


@dataclass(frozen=True, kw_only=True)
class CorrelationsMeasured(Message):
    """By the volatility agent: of all pairs of underlyings with enough daily closes."""

    correlations: tuple[Correlation, ...]


@dataclass(frozen=True, kw_only=True)
class OddsMeasured(Message):
    """By the journaling agent: of all strategies with enough closed trades; how many closed ever,
    and what a month of them brought on average, rupees."""

    odds: tuple[StrategyOdds, ...]
    closed_trades: int = 0
    monthly_profit: float = 0.0


@dataclass(frozen=True, kw_only=True)
class TrackRecordTold(Message):
    """By the journaling agent: what trading on paper has proven, and the phase of live trading."""

    record: TrackRecord


@dataclass(frozen=True, kw_only=True)
class ScanRequested(Message):
    """A cycle begins: agents answer with ScanCompleted. `dry` scans change nothing anywhere."""

    cycle: int
    regime: Regime
    dry: bool = False


@dataclass(frozen=True, kw_only=True)
class ScanCompleted(Message):
    """One agent's opinions of one cycle; `notes` say per underlying why there is none.

    `inputs` is the agent's part of `agent_inputs` in the quality snapshot (`tomic.md` 13.4),
    JSON-ready.
    """

    cycle: int
    source: str
    signals: tuple[Signal, ...]
    notes: tuple[Refusal, ...]
    regime_version: int
    dry: bool = False
    inputs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SignalRaised(Message):
    """An agent formed an opinion (a fact, for the journal; the router works on ScanCompleted)."""

    signal: Signal


@dataclass(frozen=True, kw_only=True)
class RouteSignals(Message):
    """To the router: all opinions of a cycle."""

    cycle: int
    signals: tuple[Signal, ...]
    regime: Regime
    dry: bool = False


@dataclass(frozen=True, kw_only=True)
class SignalsRouted(Message):
    """The router's answer to a cycle; accepted signals in order of priority."""

    cycle: int
    accepted: tuple[Signal, ...]
    decisions: tuple[RouteDecision, ...]
    diagnostics: dict[str, Any]
    dry: bool = False


@dataclass(frozen=True, kw_only=True)
class SignalRouted(Message):
    """A signal won its underlying (a fact, for the journal)."""

    signal: Signal
    decision: RouteDecision


@dataclass(frozen=True, kw_only=True)
class SignalSetAside(Message):
    """A signal lost, or was held by the loop's own guards; the code says why."""

    signal: Signal
    refusal: Refusal


@dataclass(frozen=True, kw_only=True)
class EvaluateSignal(Message):
    """To risk: size this signal, or refuse it. `fencing_number` is the control lease's under which
    the loop decided; 0 is nobody's."""

    signal: Signal
    fencing_number: int = 0


@dataclass(frozen=True, kw_only=True)
class SignalRefused(Message):
    """Risk said no. `result` is one of tomic.md 7.1's counters (blocked_regime, invalid_signal,
    ...).
    """

    signal: Signal
    result: str
    refusal: Refusal
    sizing: tuple[SizingStep, ...] = ()


@dataclass(frozen=True, kw_only=True)
class OrderProposed(Message):
    """Risk said yes: to execution, which writes the row before anything else."""

    intent: SizedIntent


@dataclass(frozen=True, kw_only=True)
class ProposalRecorded(Message):
    """Execution has the row (or had it already); from here the order survives any crash."""

    correlation_id: str
    command_id: int
    strategy_id: str
    duplicate: bool = False
    refusal: Refusal | None = None


@dataclass(frozen=True, kw_only=True)
class ClearOrder(Message):
    """Execution asks the gate. Rupees; `leg_orders` counts the legs, however they are sliced."""

    command_id: int
    broker: str
    underlying: str
    notional: Decimal
    margin: Decimal
    leg_orders: int
    is_exit: bool
    reply_to: str


@dataclass(frozen=True, kw_only=True)
class WeighOrder(Message):
    """The gate asks one breaker; `early` (and numbered below 0) while no row stands yet."""

    command_id: int
    broker: str
    underlying: str
    notional: Decimal
    margin: Decimal
    leg_orders: int
    early: bool = False


@dataclass(frozen=True, kw_only=True)
class BreakerVerdict(Message):
    """One breaker's answer. `action`: clear, deny, defer, kill. `retry_after_s` only with defer."""

    command_id: int
    breaker: str
    action: str
    reason: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class OrderCleared(Message):
    """Every breaker answered in time and none objected."""

    command_id: int


@dataclass(frozen=True, kw_only=True)
class OrderDenied(Message):
    """Ours, not theirs. With `retry_after_s` > 0 it only waits (a throttle)."""

    command_id: int
    refusal: Refusal
    breaker: str = ""
    retry_after_s: float = 0.0


@dataclass(frozen=True, kw_only=True)
class PlaceOrders(Message):
    """To an executor: place these orders of one step, in this order; rows stand and are WAITING."""

    strategy_id: str
    command_id: int
    requests: tuple[OrderRequest, ...]
    is_exit: bool


@dataclass(frozen=True, kw_only=True)
class CancelOrder(Message):
    """To an executor: cancel one working order by its broker id."""

    client_order_id: str
    broker_order_id: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class OrderAccepted(Message):
    """The broker took it: one per leg."""

    client_order_id: str
    broker_order_id: str
    broker: str
    command_id: int = 0


@dataclass(frozen=True, kw_only=True)
class OrderRejected(Message):
    """The broker refused it, or it was never sent (`error_class` of tomic.md 8.3)."""

    client_order_id: str
    broker: str
    error_class: str
    reason: str
    may_retry: bool = False
    command_id: int = 0


@dataclass(frozen=True, kw_only=True)
class OrderUnknown(Message):
    """Nobody knows whether it arrived: resolved from the broker's book, never by sending again."""

    client_order_id: str
    broker: str
    reason: str
    sent_ns: int
    command_id: int = 0


@dataclass(frozen=True, kw_only=True)
class OrderCancelled(Message):
    """A working order is out of the market (whatever it filled before)."""

    client_order_id: str
    broker: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class OrderFilled(Message):
    """An increase of an order's filled quantity; its row in `fills` is already durable. `purpose`
    is its order's: a CORRECTION was booked, not traded, and costs nothing.
    """

    fill: Fill
    broker: str
    command_id: int
    purpose: Purpose = Purpose.ENTRY
    latency_ms: float = 0.0
    slippage_ticks: float = 0.0


@dataclass(frozen=True, kw_only=True)
class CommandEnded(Message):
    """A command reached a final state (or waits for a person: UNKNOWN_OUTCOME, DEAD_LETTER). Its
    orders went out under `cleared_by`, the id of the gate's OrderCleared, as its row has it."""

    command_id: int
    correlation_id: str
    strategy_id: str
    status: str
    is_exit: bool
    refusal: Refusal | None = None
    cleared_by: str = ""


@dataclass(frozen=True, kw_only=True)
class StructureOpened(Message):
    """All legs of an entry stand; the position manager watches it from here."""

    intent: SizedIntent
    command_id: int


@dataclass(frozen=True, kw_only=True)
class StructureClosed(Message):
    """All that an entry ever filled is flat again; rupees, P&L before and after charges.

    `stood` is False for an entry that was taken back before all its legs stood; `reason` is one of
    `EXIT_WORDS`, `detail` what else is known of it.
    """

    strategy_id: str
    strategy_tag: str
    reason: str
    gross: Decimal
    charges: Decimal
    net: Decimal
    stood: bool = True
    detail: str = ""


@dataclass(frozen=True, kw_only=True)
class CloseStructure(Message):
    """To execution: flatten what this strategy holds. Never expires, waits for no breaker. Who is
    named in `reply_to` hears CloseRecorded of this `request`."""

    URGENT = True
    strategy_id: str
    reason: str
    key: str
    by: str
    force: bool = False
    request: str = ""
    reply_to: str = ""


@dataclass(frozen=True, kw_only=True)
class ShortBreached(Message):
    """By the position manager: it closes this structure because of the delta of these shorts."""

    strategy_id: str
    symbols: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class FlattenLeg(Message):
    """To execution, from the unhedged breaker: buy back this much of a naked short, now."""

    URGENT = True
    position_key: str
    quantity: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class PositionChanged(Message):
    """The book at a new version (or with new prices: same version)."""

    OVERFLOW = Overflow.NEWEST_WINS
    book: BookSnapshot


@dataclass(frozen=True, kw_only=True)
class FillsRecorded(Message):
    """To the position book: new rows stand in `fills`; fold them."""

    last_fill_id: int


@dataclass(frozen=True, kw_only=True)
class TradingModeChanged(Message):
    """The gate's mode: active, reducing (exits only) or halted; `killed` when the latch is set."""

    URGENT = True
    mode: str
    killed: bool
    reason: str
    since_ns: int


@dataclass(frozen=True, kw_only=True)
class CorrectBook(Message):
    """To execution, from the reconciler: book these signed units, because the broker shows it so.

    `key` names the difference; the same key twice is one correction.
    """

    position_key: str
    units: int
    price: Decimal
    reason: str
    key: str
