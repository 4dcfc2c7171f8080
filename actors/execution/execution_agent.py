"""The execution agent: every order's way from a proposal to a standing structure, and back.

Hears OrderProposed, OrderCleared, OrderDenied, what executors and brokers' books say,
CloseStructure, FlattenLeg, ApproveCommand, CorrectBook. Tells the gate, executors, account_sync and
the book; announces OrderFilled, StructureOpened, StructureClosed, CommandEnded.
Decisions are domain/execution's, made anew from the rows each time: nothing to lose in a crash.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from actors.actor import Actor, Context, Timer
from actors.execution.book_reader import BookReader
from actors.execution.close_desk import CloseDesk
from actors.execution.conditions import Conditions
from actors.execution.entry_checks import EntryChecks
from actors.execution.entry_desk import EntryDesk
from actors.execution.guard_keeper import GuardKeeper
from actors.execution.order_desk import OrderDesk
from actors.execution.person_desk import PersonDesk
from actors.execution.quote_board import QuoteBoard
from actors.execution.teller import Teller
from domain.clock import NS_PER_S, SET_BACK_MIN_NS, StepWatch, seconds
from domain.errors import StorageFailure
from domain.gates import naked_policy
from domain.orders import CommandStatus
from domain.positions import unhedged_shorts
from messages.books import BrokerOrdersRead, BrokerPositionsRead
from messages.control import (
    ApproveCommand,
    DecideOutcome,
    ManageDeadLetter,
    StartTrading,
    StopTrading,
    TradingResumed,
)
from messages.lifecycle import NodeRestarted
from messages.market import FreshnessMarked, SessionOpened
from messages.trading import (
    CloseStructure,
    CorrectBook,
    FlattenLeg,
    OrderAccepted,
    OrderCancelled,
    OrderCleared,
    OrderDenied,
    OrderProposed,
    OrderRejected,
    OrderUnknown,
    PositionChanged,
    RegimeChanged,
    TradingModeChanged,
)
from persistence.database import open_engine
from persistence.orders import OrderStore
from persistence.settings import RESUMED_NS, RUNNING, SettingStore

LOOK_EVERY_S = 0.5  # `tomic.md` 8.1
UNHEDGED_MAX_S = 5.0  # [S2]
FLATTEN_AGAIN_S = 1.0
WRITE_AGAIN_S = 1.0


@dataclass(frozen=True)
class ExecutionSettings:
    """`broker` is where entries go (a name of the brokers block)."""

    broker: str


class ExecutionAgent(Actor):
    """State: the newest conditions, and since when a short has been without cover."""

    SETTINGS = ExecutionSettings

    def __init__(self, context: Context, settings: Any) -> None:
        super().__init__(context, settings)
        self._timer: Timer | None = None
        self._unhedged: dict[str, int] = {}
        self._counts = {"placed": 0, "filled": 0, "rejected": 0, "unknown": 0}

    def start(self) -> None:
        context = self.context
        self._store = OrderStore(open_engine(context.runtime.database_url, durable=True))
        settings = context.runtime.settings
        self._conditions = Conditions(naked_policy(settings), settings.allow_pyramiding)
        desk = OrderDesk(context, self._store, QuoteBoard(context))
        self._desk = desk
        self._books = BookReader(context, self._store)
        checks = EntryChecks(self._store, self._conditions, self._books)
        self._entries = EntryDesk(context, self._store, desk, checks)
        self._closes = CloseDesk(context, self._store, desk, self._entries)
        self._guards = GuardKeeper(context, self._store, desk, self._closes)
        self._people = PersonDesk(context, self._store, self._conditions, self._books)
        self._teller = Teller(context, self._store)
        self._recall()
        self._steps = StepWatch(context.now_ns(), context.monotonic_ns())
        self._ahead_ns = self._store.newest_ns() - context.now_ns()
        self._is_exact = False
        self._is_taken_back = False
        for broker in sorted({row.broker_name for row in self._store.unfinished()}):
            self._books.ask(broker, "a new life begins")
        self._look()

    def drain(self) -> bool:
        """Entries under way are finished or unwound; what was not sent waits on disk.

        A new life of this actor takes everything up from the rows: then nothing has to end here.
        Nor can it when a recording is over, for no clock moves on.
        """
        if not self.context.runtime_ends or self.context.runtime.replay:
            return True
        self._conditions.draining = True
        busy = False
        for command in self._store.open_commands():
            sent = any(row.sent_ns for row in self._store.orders_of(command.command_id))
            if not command.is_exit and sent and command.status is CommandStatus.PROCESSING:
                self._entries.abort(command, "STOPPED", "the runtime was stopped")
                busy = True
        self._safely(self._work)
        return not busy

    # -- entries --

    def on_order_proposed(self, message: OrderProposed) -> None:
        if self._entries.propose(message.intent, self.settings.broker):
            self._look_soon()
        else:
            self._look()

    def on_order_cleared(self, message: OrderCleared) -> None:
        self._safely(lambda: self._entries.cleared(message))
        self._look_soon()

    def on_order_denied(self, message: OrderDenied) -> None:
        self._then_look(lambda: self._entries.denied(message))

    def on_approve_command(self, message: ApproveCommand) -> None:
        self._then_look(
            lambda: self._entries.approve(message.command_id, message.approved, message.by)
        )

    # -- brokers --

    def on_order_accepted(self, message: OrderAccepted) -> None:
        self._counts["placed"] += 1
        self._books.ask(message.broker, "an order was accepted")
        self._look()

    def on_order_rejected(self, message: OrderRejected) -> None:
        self._note_refusal(message)
        self._look()

    def on_order_unknown(self, message: OrderUnknown) -> None:
        self._counts["unknown"] += 1
        text = (
            f"order {message.client_order_id}: nobody knows whether it arrived ({message.reason})"
        )
        self.context.alert("RISK", text, f"unknown:{message.client_order_id}")
        self._look()

    def on_order_cancelled(self, message: OrderCancelled) -> None:
        self._books.ask(message.broker, "an order was cancelled")
        self._look()

    def on_broker_orders_read(self, message: BrokerOrdersRead) -> None:
        def take() -> None:
            for change in self._books.take(message):
                refusal = OrderRejected(
                    client_order_id=change.row.client_order_id,
                    broker=change.row.broker_name,
                    error_class="broker_reject",
                    reason=change.error_message or "refused after it was accepted",
                    command_id=change.row.command_id,
                )
                self.context.announce(refusal)
                self._note_refusal(refusal)

        self._then_look(take)

    def on_broker_positions_read(self, message: BrokerPositionsRead) -> None:
        self._desk.standing.keep(message)

    def on_correct_book(self, message: CorrectBook) -> None:
        self._then_look(lambda: self._people.correct(message))

    # -- exits --

    def on_close_structure(self, message: CloseStructure) -> None:
        """An exit that cannot be written is not given up: it is tried until it can. Who asked hears
        of it when it is on disk, not before."""
        if self._safely(lambda: self._closes.asked(message)):
            self._look()
        else:
            self.context.after(WRITE_AGAIN_S, lambda: self.on_close_structure(message))

    def on_flatten_leg(self, message: FlattenLeg) -> None:
        by = "breaker.unhedged_exposure"
        self._then_look(lambda: self._closes.flatten(message.position_key, "unhedged_cut", by))

    def on_manage_dead_letter(self, message: ManageDeadLetter) -> None:
        self._then_look(lambda: self._people.manage(message))

    def on_decide_outcome(self, message: DecideOutcome) -> None:
        self._then_look(lambda: self._people.decide(message))

    # -- conditions --

    def on_trading_mode_changed(self, message: TradingModeChanged) -> None:
        self._conditions.mode, self._conditions.mode_reason = message.mode, message.reason
        self._conditions.killed = message.killed
        if message.killed:
            self._then_look(lambda: self._abort_entries(message.reason))

    def on_start_trading(self, message: StartTrading) -> None:
        self._conditions.stopped = ""

    def on_stop_trading(self, message: StopTrading) -> None:
        self._conditions.stopped = f"{message.reason} (by {message.by})"
        text = self._conditions.stopped
        self._then_look(lambda: self._entries.abort_unsent("TRADING_STOPPED", text))

    def on_trading_resumed(self, message: TradingResumed) -> None:
        self._conditions.resumed_ns = message.at_ns

    def on_session_opened(self, message: SessionOpened) -> None:
        self._conditions.session = message

    def on_freshness_marked(self, message: FreshnessMarked) -> None:
        self._conditions.mark = message.mark

    def on_regime_changed(self, message: RegimeChanged) -> None:
        self._conditions.regime = message.regime

    def on_position_changed(self, message: PositionChanged) -> None:
        self._conditions.book = message.book
        self._watch_unhedged()

    def on_node_restarted(self, message: NodeRestarted) -> None:
        if message.name.startswith("executor."):
            self._desk.forget()
            self._look()

    # -- the loop --

    def _then_look(self, action: Callable[[], None]) -> None:
        if self._safely(action):
            self._look()
        else:
            self._look_soon()

    def _look_soon(self) -> None:
        """What was done had nothing to do with the rest: that need not be looked at before it
        leaves. Nor is a disk that took nothing tried again at once: each try may take long."""
        if self._timer is None:
            self._timer = self.context.after(LOOK_EVERY_S, self._look)

    def _look(self) -> None:
        """Works on everything open, and looks again soon while something is."""
        busy: list[bool] = []
        self._safely(lambda: busy.append(self._work()))
        if self._timer:
            self._timer.cancel()
        goes_on = not busy or busy[0]
        self._timer = self.context.after(LOOK_EVERY_S, self._look) if goes_on else None

    def _work(self) -> bool:
        if not self._is_taken_back:
            self._entries.take_back()
            self._is_taken_back = True
        commands = self._store.open_commands()
        closing = {command.strategy_id for command in commands if command.is_exit}
        for command in commands:
            with self._store.together():
                if command.is_exit:
                    self._closes.work_on(command, commands)
                elif command.status is not CommandStatus.UNKNOWN_OUTCOME or (
                    command.strategy_id not in closing
                ):
                    phase = self._entries.work_on(command)
                    if phase == "OPENING":
                        self._guards.keep(command)
        self.context.send_now()
        telling = self._teller.tell()
        for command in self._store.standing_entries():
            if command.strategy_id not in closing:
                self._guards.keep(command)
        brokers = {row.broker_name for row in self._store.unfinished()} | {self.settings.broker}
        moving = [self._books.poll(broker) for broker in sorted(brokers)]
        self.context.report(self._body)
        return telling or bool(self._store.open_commands()) or any(moving)

    def _safely(self, action: Callable[[], Any]) -> bool:
        """A disk that takes no row stops this step, not the actor; nothing unwritten was sent.
        False when it was stopped."""
        try:
            self._follow_the_clock()
            action()
        except StorageFailure as failure:
            self.context.alert("CRITICAL", f"orders cannot be recorded: {failure}", "storage")
            return False
        return True

    def _follow_the_clock(self) -> None:
        """Nothing waits for a time of the future: where the clock was set back, in this life or
        before it, what rows say goes back with it."""
        now_ns = self.context.now_ns()
        back_ns = self._steps.set_back_ns(now_ns, self.context.monotonic_ns())
        if back_ns:
            self._ahead_ns, self._is_exact = back_ns, self._ahead_ns < SET_BACK_MIN_NS
        if self._ahead_ns < SET_BACK_MIN_NS:
            return
        self._store.set_back(self._ahead_ns, now_ns, is_exact=self._is_exact)
        text = f"the clock was set back by {self._ahead_ns / NS_PER_S:.0f} s; orders go on"
        self.context.alert("RISK", text, "clock")
        self._ahead_ns = 0

    def _recall(self) -> None:
        """What people last said of entries, as control_desk keeps it; a launch begins anew."""
        runtime = self.context.runtime
        stored = SettingStore(open_engine(runtime.database_url))
        running = runtime.settings.auto_start
        if self.context.life > 1:
            running = stored.read(RUNNING, running)
        if not running:
            self._conditions.stopped = "the runtime is stopped; start it first"
        self._conditions.resumed_ns = stored.read(RESUMED_NS, 0)

    def _note_refusal(self, message: OrderRejected) -> None:
        self._counts["rejected"] += 1
        row = self._store.order(message.client_order_id)
        if row and row.is_exit:
            text = f"exit {row.action} {row.quantity} {row.symbol} was refused: {message.reason}"
            self.context.alert("CRITICAL", text, f"exit:{row.symbol}")

    def _abort_entries(self, reason: str) -> None:
        for command in self._store.open_commands():
            if not command.is_exit:
                self._entries.abort(command, "KILLED", f"kill switch: {reason}")

    def _watch_unhedged(self) -> None:
        """[S2]: a short without cover for more than 5 s is bought back, again each second."""
        now_ns = self.context.monotonic_ns()
        naked = {short.key for short in unhedged_shorts(self._conditions.book.positions)}
        for key in naked - self._unhedged.keys():
            self._unhedged[key] = now_ns
            self.context.after(UNHEDGED_MAX_S, lambda key=key: self._cut(key))  # type: ignore[misc]
        self._unhedged = {key: at for key, at in self._unhedged.items() if key in naked}

    def _cut(self, key: str) -> None:
        since_ns = self._unhedged.get(key)
        if since_ns is None or self.context.monotonic_ns() - since_ns < seconds(UNHEDGED_MAX_S):
            return
        self.context.alert("CRITICAL", f"{key} stands without cover and is bought back", key)
        self._then_look(lambda: self._closes.flatten(key, "unhedged_cut", self.context.name))
        self.context.after(FLATTEN_AGAIN_S, lambda: self._cut(key))

    def _body(self) -> dict[str, Any]:
        commands = self._store.open_commands()
        pending = sum(row.status is CommandStatus.PENDING for row in commands)
        dead = len(self._store.dead_letters())
        states = {status.value: 0 for status in CommandStatus}
        for row in commands:
            states[row.status.value] += 1
        return {
            "pending": pending,
            "dead_letters": dead,
            "orders": dict(self._counts),
            "outcomes": self._books.inquiries(),
            "queue": {**{key.lower(): n for key, n in states.items() if n}, "dead_letters": dead},
        }  # fmt: skip
