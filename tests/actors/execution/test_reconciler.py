"""Our book against the broker's: nothing on one look, nothing on an error, one correction."""

from __future__ import annotations

from decimal import Decimal

import pytest

from actors.execution.reconciler import Reconciler
from domain.brokers import BrokerPosition
from messages.books import (
    BrokerConnectionChanged,
    BrokerPositionsRead,
    ReadPositions,
    ReconciliationDone,
)
from messages.lifecycle import NodeRestarted
from messages.trading import CorrectBook, PositionChanged
from tests.kit.recording_context import RecordingContext
from tests.kit.trading_desk import BROKER, LOT, Desk, make_intent

SHORT, LONG = "NIFTY24NOV2625500PE", "NIFTY24NOV2625300PE"


@pytest.fixture
def desk(tmp_path, monkeypatch):
    desk = Desk(tmp_path, monkeypatch)
    desk.propose(make_intent())
    desk.run(30)
    return desk


@pytest.fixture
def reconciler(desk):
    context = RecordingContext("reconciler", desk.runtime, now_ns=desk.now_ns)
    actor = Reconciler(context, None)
    actor.start()
    return actor


def book(quantities) -> tuple[BrokerPosition, ...]:
    return tuple(
        BrokerPosition("NFO", symbol, "NRML", units, Decimal(50), Decimal(52), Decimal(0))
        for symbol, units in quantities.items()
        if units
    )


def read(reconciler, quantities, ok=True) -> None:
    context = reconciler.context
    context.deliver(
        reconciler,
        BrokerPositionsRead(
            broker=BROKER,
            ok=ok,
            positions=book(quantities) if ok else (),
            reason="" if ok else "time-out",
            started_ns=context.now_ns(),
        ),
    )


EQUAL = {SHORT: -LOT, LONG: LOT}


def test_one_equal_look_at_start_is_clean(reconciler) -> None:
    assert len(reconciler.context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 1
    read(reconciler, EQUAL)
    done = reconciler.context.heard(ReconciliationDone)
    assert [(m.clean, m.unexplained) for m in done] == [(True, ())]


def test_ten_minutes_of_failed_reads_change_nothing_and_say_nothing(desk, reconciler) -> None:
    before = desk.store.orders_of_strategy(make_intent().strategy_id)
    for _ in range(20):
        read(reconciler, {}, ok=False)
        reconciler.context.advance(30)
    assert reconciler.context.heard(ReconciliationDone) == []
    assert reconciler.context.told_to("execution_agent") == []
    assert desk.store.orders_of_strategy(make_intent().strategy_id) == before


def test_what_is_gone_at_the_broker_is_booked_when_seen_twice(desk, reconciler) -> None:
    gone = {SHORT: -LOT}
    read(reconciler, gone)
    first = reconciler.context.heard(ReconciliationDone)[-1]
    assert (first.clean, first.unexplained) == (False, (f"NFO:{LONG}",))
    assert reconciler.context.told_to("execution_agent", CorrectBook) == []
    reconciler.context.advance(5)
    assert len(reconciler.context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 2
    read(reconciler, gone)
    asked = reconciler.context.told_to("execution_agent", CorrectBook)
    assert [(m.units, m.position_key.split("|")[0]) for m in asked] == [(-LOT, LONG)]

    desk.deliver("execution_agent", asked[0])
    desk.deliver("execution_agent", asked[0])
    desk.settle()
    positions = desk.announced(PositionChanged)[-1].book.open_positions
    assert [(row.symbol, row.signed_quantity) for row in positions] == [(SHORT, -LOT)]
    reconciler.context.advance(30)
    read(reconciler, gone)
    assert reconciler.context.heard(ReconciliationDone)[-1].clean


def test_a_lost_correction_is_asked_for_again_under_the_same_key(reconciler) -> None:
    for _ in range(3):
        read(reconciler, {SHORT: -LOT})
        reconciler.context.advance(6)
    asked = reconciler.context.told_to("execution_agent", CorrectBook)
    assert len(asked) == 2
    assert len({m.key for m in asked}) == 1
    assert len(reconciler.context.alerts) == 1


def test_a_position_made_by_hand_is_seen_and_left_alone(reconciler) -> None:
    by_hand = EQUAL | {"NIFTY24NOV2626000CE": -LOT}
    read(reconciler, by_hand)
    reconciler.context.advance(5)
    read(reconciler, by_hand)
    done = reconciler.context.heard(ReconciliationDone)
    assert [m.clean for m in done] == [False, True]
    assert [row.symbol for row in done[-1].unmanaged] == ["NIFTY24NOV2626000CE"]
    assert reconciler.context.told_to("execution_agent") == []


def test_the_other_side_at_the_broker_waits_for_a_person(reconciler) -> None:
    for _ in range(3):
        read(reconciler, {SHORT: LOT, LONG: LOT})
        reconciler.context.advance(6)
    assert reconciler.context.told_to("execution_agent") == []
    assert reconciler.context.heard(ReconciliationDone)[-1].unexplained == (f"NFO:{SHORT}",)


def test_a_symbol_on_the_move_is_not_compared(desk, reconciler) -> None:
    desk.propose(make_intent(number=2))
    desk.run(1)
    reconciler.context.advance(1)
    read(reconciler, EQUAL)
    assert reconciler.context.heard(ReconciliationDone)[-1].clean


def test_it_looks_again_after_a_restart_a_connection_and_each_minute(reconciler) -> None:
    context = reconciler.context
    read(reconciler, EQUAL)
    restarted = NodeRestarted(name="executor.x", life=2, reason="x", handles_orders=False)
    context.deliver(reconciler, restarted)
    read(reconciler, EQUAL)
    connected = BrokerConnectionChanged(
        broker=BROKER, state="connected", reason="", sandbox_proven=True, proven_ns=1
    )
    context.deliver(reconciler, connected)
    read(reconciler, EQUAL)
    context.advance(60)
    assert len(context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 4


def test_a_question_that_died_with_the_reader_is_asked_of_its_next_life(reconciler) -> None:
    context = reconciler.context
    restarted = NodeRestarted(
        name=f"account_sync.{BROKER}", life=2, reason="killed", handles_orders=True
    )
    context.deliver(reconciler, restarted)
    assert len(context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 2
    read(reconciler, EQUAL)
    context.deliver(reconciler, restarted)  # nothing was asked of that life
    assert len(context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 2


def test_a_new_gate_is_told_whether_the_books_agree(reconciler) -> None:
    read(reconciler, EQUAL)
    restarted = NodeRestarted(name="breaker_gate", life=2, reason="killed", handles_orders=False)
    reconciler.context.deliver(reconciler, restarted)
    assert len(reconciler.context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 2


def test_who_asks_during_a_read_gets_one_that_began_after_the_question(reconciler) -> None:
    restarted = NodeRestarted(name="executor.x", life=2, reason="killed", handles_orders=True)
    for _ in range(3):
        reconciler.context.deliver(reconciler, restarted)

    def asked() -> int:
        return len(reconciler.context.told_to(f"account_sync.{BROKER}", ReadPositions))

    assert asked() == 1
    read(reconciler, EQUAL)
    assert asked() == 2
    read(reconciler, EQUAL)
    assert asked() == 2


def test_a_read_that_nobody_answers_is_asked_again_within_seconds(reconciler) -> None:
    reconciler.context.advance(10)
    assert len(reconciler.context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 2
    read(reconciler, EQUAL)
    reconciler.context.advance(11)
    assert len(reconciler.context.told_to(f"account_sync.{BROKER}", ReadPositions)) == 2
