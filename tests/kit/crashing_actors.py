"""The actors of an order's way with crash points at every step of it; for topologies of tests.

Each is the product's own actor; what is added stands in crash_points.py. POINTS names all points
in the order of an order's life, each with the actor that reaches it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from urllib3.connection import HTTPConnection

from actors.actor import Actor, Context
from actors.brokers.account_sync import AccountSync
from actors.brokers.broker_session import BrokerSession
from actors.execution.entry_desk import EntryDesk
from actors.execution.execution_agent import ExecutionAgent
from actors.execution.executor import Executor
from actors.execution.position_book import PositionBook
from actors.execution.reconciler import Reconciler
from actors.hosting.context import HostContext
from actors.journal.journaling_agent import JournalingAgent
from actors.journal.recorder import Recorder
from actors.risk.breaker_gate import BreakerGate
from adapters.openalgo.rest import OpenAlgoBroker
from domain.order_changes import BookChange
from domain.orders import CommandRow
from messages.base import Message
from messages.trading import (
    ClearOrder,
    OrderCleared,
    OrderFilled,
    PlaceOrders,
    ProposalRecorded,
    StructureClosed,
    StructureOpened,
)
from persistence.journal import JournalStore
from persistence.orders import OrderStore
from persistence.positions import PositionStore
from tests.kit.crash_points import FOLDER, Condition, Seam, claim, install, jumped_ns, strike
from tests.kit.order_driver import OrderDriver
from tests.kit.roomy_breaker import RoomyBreaker

HALF_SENT, UNANSWERED = "half_sent", "accepted_unanswered"
ORDER_FIELD = b'"pricetype"'  # in the body of a placing call, and of no other


def telling(kind: type[Message], is_exit: bool | None = None) -> Condition:
    """A letter of that class is about to leave; of an exit, of an entry, or (None) of any."""

    def about(_context: HostContext, *words: Any) -> bool:
        message = words[-1]
        return isinstance(message, kind) and is_exit in (None, getattr(message, "is_exit", None))

    return about


def recording(is_exit: bool) -> Condition:
    """A command's first row."""

    def about(_store: OrderStore, command: CommandRow, *_rest: Any, **_more: Any) -> bool:
        return command.is_exit is is_exit

    return about


def brings_fill(_store: OrderStore, changes: Sequence[BookChange], *_rest: Any) -> bool:
    """The broker's book shows something filled."""
    return any(change.increase > 0 for change in changes)


def asks_for(is_exit: bool) -> Condition:
    """A question at the gate's door."""

    def about(_gate: BreakerGate, message: ClearOrder) -> bool:
        return message.is_exit is is_exit

    return about


AGENT_SEAMS = (
    Seam("before_row", OrderStore, "record", when=recording(False)),
    Seam("row_written", HostContext, "tell", when=telling(ProposalRecorded)),
    Seam("lease_taken", HostContext, "tell", when=telling(ClearOrder, False)),
    Seam("clearance_heard", EntryDesk, "cleared"),
    Seam("legs_handed", HostContext, "tell", when=telling(PlaceOrders, False)),
    Seam("fill_unwritten", OrderStore, "record_book", when=brings_fill),
    Seam("fill_unfolded", OrderStore, "record_book", True, brings_fill),
    Seam("fill_untold", HostContext, "announce", when=telling(OrderFilled)),
    Seam("fill_unmarked", OrderStore, "mark_told"),
    Seam("entry_ending", EntryDesk, "_end"),
    Seam("opening_untold", HostContext, "announce", when=telling(StructureOpened)),
    Seam("close_unwritten", OrderStore, "record", when=recording(True)),
    Seam("close_written", OrderStore, "record", True, recording(True)),
    Seam("close_handed", HostContext, "tell", when=telling(PlaceOrders, True)),
    Seam("closing_untold", HostContext, "announce", when=telling(StructureClosed)),
)
GATE_SEAMS = (
    Seam("gate_asked", BreakerGate, "on_clear_order", when=asks_for(False)),
    Seam("gate_weighs", BreakerGate, "on_breaker_verdict"),
    Seam("gate_clears", HostContext, "announce", when=telling(OrderCleared)),
    Seam("close_at_gate", BreakerGate, "on_clear_order", when=asks_for(True)),
)
EXECUTOR_SEAMS = (
    Seam("unmarked", OrderStore, "begin_sending"),
    Seam("marked_sending", OrderStore, "begin_sending", True),
    Seam("answer_unwritten", OrderStore, "record_answers"),
    Seam("answer_untold", OrderStore, "record_answers", True),
    Seam("cancel_unsent", OpenAlgoBroker, "cancel"),
    Seam("cancel_sent", OpenAlgoBroker, "cancel", True),
)
READER_SEAMS = (
    Seam("book_unread", OpenAlgoBroker, "orders"),
    Seam("book_read", OpenAlgoBroker, "orders", True),
)
BOOK_SEAMS = (
    Seam("fold_unwritten", PositionStore, "save"),
    Seam("fold_written", PositionStore, "save", True),
)
RECORDER_SEAMS = (
    Seam("fact_unwritten", JournalStore, "append_fact"),
    Seam("fact_written", JournalStore, "append_fact", True),
)
JOURNAL_SEAMS = (
    Seam("trade_unwritten", JournalStore, "write_entry"),
    Seam("trade_written", JournalStore, "write_entry", True),
    Seam("trade_closing", JournalStore, "close_entry"),
    Seam("trade_closed", JournalStore, "close_entry", True),
)


def watch_the_wire(data_dir: Path) -> None:
    """The two points inside a placing call: half of it is sent; it is answered and nobody read."""
    send, getresponse = HTTPConnection.send, HTTPConnection.getresponse

    def half_send(connection: Any, data: Any) -> None:
        connection.places = isinstance(data, bytes) and ORDER_FIELD in data
        order = claim(data_dir, HALF_SENT) if connection.places else None
        if order:
            send(connection, data[: len(data) // 2])
            strike(order, data_dir)
            data = data[len(data) // 2 :]
        send(connection, data)

    def unread(connection: Any, *args: Any, **kwargs: Any) -> Any:
        answer = getresponse(connection, *args, **kwargs)
        order = claim(data_dir, UNANSWERED) if connection.places else None
        if order:
            strike(order, data_dir)
        return answer

    HTTPConnection.send, HTTPConnection.getresponse = half_send, unread  # type: ignore[method-assign]


def set_the_clock(data_dir: Path) -> None:
    """The wall clock of this process jumps with that of the tree."""
    now_ns = HostContext.now_ns
    HostContext.now_ns = lambda self: now_ns(self) + jumped_ns(data_dir)  # type: ignore[method-assign]


class _Crashing(Actor):
    """Wraps the seams of its process before its actor begins."""

    SEAMS: tuple[Seam, ...] = ()

    def __init__(self, context: Context, settings: Any) -> None:
        data_dir = context.runtime.data_dir
        (data_dir / FOLDER).mkdir(exist_ok=True)
        install(data_dir, self.SEAMS)
        set_the_clock(data_dir)
        super().__init__(context, settings)


class CrashingAgent(_Crashing, ExecutionAgent):
    SEAMS = AGENT_SEAMS


class CrashingGate(_Crashing, BreakerGate):
    SEAMS = GATE_SEAMS


class CrashingExecutor(_Crashing, Executor):
    SEAMS = EXECUTOR_SEAMS

    def __init__(self, context: Context, settings: Any) -> None:
        watch_the_wire(context.runtime.data_dir)
        super().__init__(context, settings)


class CrashingReader(_Crashing, AccountSync):
    SEAMS = READER_SEAMS


class CrashingBook(_Crashing, PositionBook):
    SEAMS = BOOK_SEAMS


class CrashingRecorder(_Crashing, Recorder):
    SEAMS = RECORDER_SEAMS


class CrashingJournal(_Crashing, JournalingAgent):
    SEAMS = JOURNAL_SEAMS


class JumpingReconciler(_Crashing, Reconciler):
    """No point of its own; its clock jumps with the tree's."""


class JumpingBreaker(_Crashing, RoomyBreaker):
    """The same."""


class JumpingSession(_Crashing, BrokerSession):
    """The same."""


class JumpingDriver(_Crashing, OrderDriver):
    """The same."""


# What stands in the place of which actor of a topology.
IN_PLACE_OF = {
    "actors.execution.execution_agent.ExecutionAgent": CrashingAgent,
    "actors.risk.breaker_gate.BreakerGate": CrashingGate,
    "actors.execution.executor.Executor": CrashingExecutor,
    "actors.brokers.account_sync.AccountSync": CrashingReader,
    "actors.execution.position_book.PositionBook": CrashingBook,
    "actors.journal.recorder.Recorder": CrashingRecorder,
    "actors.journal.journaling_agent.JournalingAgent": CrashingJournal,
    "actors.execution.reconciler.Reconciler": JumpingReconciler,
    "actors.risk.breaker.Breaker": JumpingBreaker,
    "tests.kit.roomy_breaker.RoomyBreaker": JumpingBreaker,
    "actors.brokers.broker_session.BrokerSession": JumpingSession,
    "tests.kit.order_driver.OrderDriver": JumpingDriver,
}
# Every point, and how often one spread that is opened and closed reaches it.
POINTS: dict[str, int] = {
    "before_row": 1, "row_written": 1, "lease_taken": 1, "gate_asked": 1, "gate_weighs": 4,
    "gate_clears": 2, "clearance_heard": 1, "legs_handed": 2, "unmarked": 4, "marked_sending": 4,
    HALF_SENT: 4, UNANSWERED: 4, "answer_unwritten": 4, "answer_untold": 4, "book_unread": 3,
    "book_read": 3, "fill_unwritten": 3, "fill_unfolded": 3, "fold_unwritten": 3,
    "fold_written": 3, "fill_untold": 4, "fill_unmarked": 1, "entry_ending": 1,
    "opening_untold": 1, "fact_unwritten": 10, "fact_written": 10, "trade_unwritten": 5,
    "trade_written": 5, "close_unwritten": 1, "close_written": 1, "close_at_gate": 1,
    "close_handed": 2, "closing_untold": 1, "trade_closing": 1, "trade_closed": 1,
}  # fmt: skip
