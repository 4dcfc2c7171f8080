"""A desk in one process: execution agent, executor, position book, and a broker that can misbehave.

Messages go by hand: `settle` delivers until nobody has anything to say, `run` also moves the clock.
Any actor may be replaced by a new life on the same files at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

from actors.actor import Actor, handler_name
from actors.execution.execution_agent import ExecutionAgent, ExecutionSettings
from actors.execution.executor import Executor
from actors.execution.position_book import PositionBook
from adapters.ports import PlacedOrder
from domain.brokers import BrokerEndpoint, BrokerOrder, BrokerPosition, OrderRequest
from domain.clock import seconds
from domain.errors import BrokerFailure, OutcomeUnknown
from domain.instruments import Kind
from domain.intents import (
    Bias,
    Refusal,
    ResolvedLeg,
    ResolvedStructure,
    Signal,
    SizedIntent,
    StrategyType,
)
from domain.readings import FreshnessMark, Regime
from domain.settings import Settings
from domain.stamps import Stamps
from messages.base import Message
from messages.books import BrokerOrdersRead, BrokerPositionsRead, ReadOrders, ReadPositions
from messages.market import FreshnessMarked
from messages.trading import (
    ClearOrder,
    OrderCleared,
    OrderDenied,
    OrderProposed,
    RegimeChanged,
)
from persistence.database import MainBase, open_engine
from persistence.orders import OrderStore
from tests.kit.recording_context import START_NS, RecordingContext, make_runtime

BROKER = "alpha"
EXPIRY = date(2026, 11, 24)
LOT = 65


def fill_but_stops(request: OrderRequest) -> int:
    """Everything at once; a stop rests until its price comes."""
    return 0 if request.price_type == "SL" else request.quantity


class FakeBroker:
    """A broker's book. `script` decides each order: returns filled units, or raises a failure.

    An OutcomeUnknown raised by the script means that the order arrived all the same when
    `arrives` is True.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.now = now
        self.script: Callable[[OrderRequest], int] = fill_but_stops
        self.arrives = True
        self.sandbox: bool | BrokerFailure = True
        self.book: dict[str, BrokerOrder] = {}
        self.requests: list[OrderRequest] = []
        self.cancelled: list[str] = []
        self.carries_tag = True
        self.during_place: Callable[[], None] = lambda: None

    def is_sandbox(self) -> bool:
        if isinstance(self.sandbox, BrokerFailure):
            raise self.sandbox
        return self.sandbox

    def place(self, requests: Sequence[OrderRequest]) -> list[PlacedOrder]:
        self.during_place()
        return [self._place(request) for request in requests]

    def _place(self, request: OrderRequest) -> PlacedOrder:
        self.requests.append(request)
        order_id, failure, filled = "", None, 0
        try:
            filled = self.script(request)
        except OutcomeUnknown as unknown:
            failure, filled = unknown, request.quantity
            if not self.arrives:
                return PlacedOrder(request.client_order_id, "", failure, "{}", "{}")
        except BrokerFailure as refused:
            return PlacedOrder(request.client_order_id, "", refused, "{}", "{}")
        order_id = f"B{len(self.book) + 1}"
        self.book[order_id] = BrokerOrder(
            order_id=order_id,
            exchange=request.exchange,
            symbol=request.symbol,
            action=request.action,
            quantity=request.quantity,
            price_type=request.price_type,
            product=request.product,
            price=request.price,
            trigger_price=request.trigger_price,
            status="complete" if filled == request.quantity else "open",
            filled_quantity=filled,
            average_price=request.price or Decimal(50),
            rejection="",
            tag=request.tag if self.carries_tag else "",
            ordered_at_ns=self.now(),
        )
        shown = "" if failure else order_id
        return PlacedOrder(request.client_order_id, shown, failure, "{}", "{}")

    def fill(self, order_id: str, filled: int | None = None) -> None:
        row = self.book[order_id]
        units = row.quantity if filled is None else filled
        status = "complete" if units == row.quantity else row.status
        self.book[order_id] = replace(row, filled_quantity=units, status=status)

    def shift(self, by_s: float) -> None:
        """All its times as a clock would have told them that goes by so much otherwise."""
        for key, row in self.book.items():
            self.book[key] = replace(row, ordered_at_ns=row.ordered_at_ns + seconds(by_s))

    def reject(self, order_id: str, why: str) -> None:
        self.book[order_id] = replace(self.book[order_id], status="rejected", rejection=why)

    def cancel(self, order_id: str, tag: str) -> None:
        self.cancelled.append(order_id)
        row = self.book[order_id]
        if not row.is_final:
            self.book[order_id] = replace(row, status="cancelled")

    def net(self) -> dict[str, int]:
        """Signed units the broker holds by symbol, zeros left out."""
        net: dict[str, int] = {}
        for row in self.book.values():
            units = row.filled_quantity if row.action == "BUY" else -row.filled_quantity
            net[row.symbol] = net.get(row.symbol, 0) + units
        return {symbol: units for symbol, units in net.items() if units}

    def positions(self) -> list[BrokerPosition]:
        return [
            BrokerPosition("NFO", symbol, "NRML", units, Decimal(50), Decimal(50), Decimal(0))
            for symbol, units in self.net().items()
        ]

    def close(self) -> None:
        return None


class Desk:
    """The actors on one database, their broker, and the mail between them."""

    def __init__(self, folder: Path, monkeypatch: Any, **settings: Any) -> None:
        endpoint = BrokerEndpoint(BROKER, "http://127.0.0.1:1", "ws://127.0.0.1:1", True, True, "A")
        self.runtime = make_runtime(folder, settings=Settings(**{"auto_start": True} | settings))
        self.runtime.broker = lambda name: endpoint
        self.runtime.brokers = (endpoint,)
        MainBase.metadata.create_all(open_engine(self.runtime.database_url))
        self.store = OrderStore(open_engine(self.runtime.database_url))
        self.now_ns = START_NS
        self.broker = FakeBroker(lambda: self.now_ns)
        monkeypatch.setattr("actors.execution.executor.open_broker", lambda *_: self.broker)
        self.lives: dict[str, int] = {}
        self.contexts: dict[str, RecordingContext] = {}
        self.actors: dict[str, Actor] = {}
        self.gate: Callable[[ClearOrder], Message] = lambda ask: OrderCleared(
            command_id=ask.command_id
        )
        self.book_ok = True
        self.regime = Regime(
            version=1, vix=14.0, vix_flags=(), as_of_ns=START_NS, stale_after_s=86_400.0
        )
        self.heard: list[Message] = []
        self.told: list[tuple[str, Message]] = []
        self.dead: set[str] = set()
        self._reads = 0
        for name in ("position_book", f"executor.{BROKER}", "execution_agent"):
            self.begin(name)

    @property
    def agent(self) -> ExecutionAgent:
        return self.actors["execution_agent"]  # type: ignore[return-value]

    def begin(self, name: str, is_marked: bool = True) -> None:
        """Starts an actor, or a new life of it: what it held in memory and in its mail is gone.

        Not `is_marked`: its first freshness mark is still to come.
        """
        self.lives[name] = self.lives.get(name, 0) + 1
        context = RecordingContext(
            name, self.runtime, instance=BROKER, life=self.lives[name], now_ns=self.now_ns
        )
        kinds: dict[str, Any] = {
            "position_book": PositionBook,
            f"executor.{BROKER}": Executor,
            "execution_agent": ExecutionAgent,
        }
        settings = ExecutionSettings(BROKER) if name == "execution_agent" else None
        self.contexts[name], self.actors[name] = context, kinds[name](context, settings)
        self.dead.discard(name)
        self.actors[name].start()
        if name == "execution_agent":
            context.deliver(self.actors[name], RegimeChanged(regime=self.regime))
        if is_marked:
            self.fresh()

    def kill(self, name: str) -> None:
        """Ends an actor as `kill -9` does: its mail and timers are gone."""
        self.dead.add(name)
        self.contexts[name].told.clear()
        self.contexts[name].announced.clear()

    def fresh(self) -> None:
        """All data is fresh as of now."""
        mark = fresh_mark(self.now_ns)
        for name, actor in self.actors.items():
            if name not in self.dead and hasattr(actor, "on_freshness_marked"):
                self.contexts[name].deliver(actor, FreshnessMarked(mark=mark))

    def turn(self, **changes: Any) -> None:
        """The regime is another one from now on."""
        self.regime = replace(self.regime, version=self.regime.version + 1, **changes)
        self.deliver("execution_agent", RegimeChanged(regime=self.regime))

    def propose(self, intent: SizedIntent) -> None:
        self.deliver("execution_agent", OrderProposed(intent=intent))

    def deliver(self, name: str, message: Message) -> None:
        """One message, then everything it causes."""
        self._hand(name, message)
        self.settle()

    def settle(self) -> None:
        """Delivers until nobody has anything to say."""
        for _ in range(200):
            mail = self._collect()
            if not mail:
                return
            for sender, target, message in mail:
                self._route(sender, target, message)
        raise AssertionError("the desk never came to rest")

    def run(self, duration_s: float, step_s: float = 0.25) -> None:
        """Moves every clock on, with fresh data all the way."""
        for _ in range(round(duration_s / step_s)):
            self.now_ns += seconds(step_s)
            self.fresh()
            for name, context in list(self.contexts.items()):
                if name not in self.dead:
                    context.advance(step_s)
            self.settle()

    def announced(self, kind: type[Message]) -> list[Any]:
        return [message for message in self.heard if isinstance(message, kind)]

    def statuses(self) -> list[str]:
        """Status of every command, oldest first."""
        return [row.status.value for row in reversed(self.store.recent_commands(100))]

    def alerts(self) -> list[str]:
        return [alert.text for context in self.contexts.values() for alert in context.alerts]

    # -- mail --

    def _collect(self) -> list[tuple[str, str, Message]]:
        mail = []
        for name, context in self.contexts.items():
            if name in self.dead:
                continue
            mail += [(name, target, message) for target, message in context.told]
            mail += [(name, "", message) for message in context.announced]
            context.told.clear()
            context.announced.clear()
        return mail

    def _route(self, sender: str, target: str, message: Message) -> None:
        if not target:
            self.heard.append(message)
            for name in list(self.actors):
                if name != sender:
                    self._hand(name, message)
            return
        self.told.append((target, message))
        if isinstance(message, ClearOrder) and not message.is_exit:
            answer = self.gate(message)
            if answer is not None:
                self._hand("execution_agent", answer)
        elif isinstance(message, ReadOrders):
            self._read_book()
        elif isinstance(message, ReadPositions):
            self._read_positions()
        elif target in self.actors:
            self._hand(target, message)

    def _hand(self, name: str, message: Message) -> None:
        actor = self.actors[name]
        if name not in self.dead and hasattr(actor, handler_name(type(message))):
            self.contexts[name].deliver(actor, message)

    def _read_book(self) -> None:
        self._hand(
            "execution_agent",
            BrokerOrdersRead(
                broker=BROKER,
                ok=self.book_ok,
                orders=tuple(self.broker.book.values()) if self.book_ok else (),
                reason="" if self.book_ok else "the broker is down",
                started_ns=self.now_ns,
            ),
        )

    def _read_positions(self) -> None:
        self._hand(
            "execution_agent",
            BrokerPositionsRead(
                broker=BROKER,
                ok=self.book_ok,
                positions=tuple(self.broker.positions()) if self.book_ok else (),
                reason="" if self.book_ok else "the broker is down",
                started_ns=self.now_ns,
            ),
        )


def denied(code: str, retry_after_s: float = 0.0) -> Callable[[ClearOrder], Message]:
    """A gate that says no, or not yet."""
    return lambda ask: OrderDenied(
        command_id=ask.command_id,
        refusal=Refusal(code, "not now"),
        retry_after_s=retry_after_s,
    )


def fresh_mark(now_ns: int) -> FreshnessMark:
    """Everything a NIFTY entry depends on was seen this moment."""
    symbols = [leg_symbol(strike, kind) for strike in range(25000, 27001, 50) for kind in "CP"]
    quotes = {"NIFTY": now_ns, "BANKNIFTY": now_ns} | dict.fromkeys(symbols, now_ns)
    return FreshnessMark(
        as_of_ns=now_ns,
        expires_ns=now_ns + seconds(5),
        quotes_ns=Stamps.of(quotes),
        iv_ns={"NIFTY": now_ns, "BANKNIFTY": now_ns},
        vix_ns=now_ns,
        switched_ns=0,
        gate_open=True,
    )


def leg_symbol(strike: int, side: str) -> str:
    return f"NIFTY24NOV26{strike}{side}E"


def leg(strike: int, side: str, direction: str, **changes: Any) -> ResolvedLeg:
    """A leg at 49.90 bid, 50.10 ask: the mid is 50."""
    fields: dict[str, Any] = {
        "listing_id": strike * 2 + (side == "C"),
        "exchange": "NFO",
        "symbol": leg_symbol(strike, side),
        "option_type": Kind.CALL if side == "C" else Kind.PUT,
        "direction": direction,
        "strike": Decimal(strike),
        "expiry": EXPIRY,
        "ratio": 1,
        "lot_size": LOT,
        "tick_size": Decimal("0.05"),
        "freeze_quantity": 1755,
        "ltp": 50.0,
        "bid": 49.9,
        "ask": 50.1,
        "iv": 0.14,
        "delta": 0.2,
    }
    return ResolvedLeg(**(fields | changes))


SPREAD = (leg(25500, "P", "SELL"), leg(25300, "P", "BUY"))
CONDOR = (*SPREAD, leg(26400, "C", "SELL"), leg(26600, "C", "BUY"))
STRANGLE = (leg(25500, "P", "SELL"), leg(26400, "C", "SELL"))
LONG_CALL = (leg(25500, "C", "BUY"),)


def make_intent(
    strategy: StrategyType = StrategyType.BULL_PUT_SPREAD,
    legs: tuple[ResolvedLeg, ...] = SPREAD,
    *,
    number: int = 1,
    quantity: int = LOT,
    naked_approved: bool = False,
    underlying: str = "NIFTY",
) -> SizedIntent:
    """A sized intent; `number` makes another one of the same kind."""
    tag = f"TOMIC_{strategy.value}_{underlying}"
    strategy_id = f"{tag}_20261120_{number}"
    return SizedIntent(
        strategy_id=strategy_id,
        strategy_tag=tag,
        idempotency_key=f"{strategy_id}:entry",
        correlation_id=f"volatility_agent:{underlying}:{number}",
        signal=Signal(
            correlation_id=f"volatility_agent:{underlying}:{number}",
            source="volatility_agent",
            instrument=underlying,
            strategy=strategy,
            direction="SELL",
            bias=Bias.NEUTRAL,
        ),
        structure=ResolvedStructure(
            underlying=underlying,
            spot=25950.0,
            legs=legs,
            credit=20.0,
            credit_executable=19.0,
            width=200.0,
            net_delta=0.0,
            days_to_expiry=4.0,
            as_of_ns=START_NS,
        ),
        quantity=quantity,
        lots=quantity // LOT,
        product="NRML",
        loss_per_unit=180.0,
        margin_required=Decimal(60_000),
        sizing=(),
        regime_version=3,
        regime_phase="CONGESTION",
        regime_score=5,
        vix=14.0,
        entry_reason="test",
        valid_until_ns=0,
        naked_approved=naked_approved,
    )
