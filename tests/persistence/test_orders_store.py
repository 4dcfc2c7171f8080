"""The order store on a real file: one row a key, guarded changes, one fill a quantity."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest

from domain.errors import IllegalTransition, StorageFailure
from domain.execution.commands import entry_command, entry_orders
from domain.order_changes import BookChange, SendingAnswer
from domain.orders import CommandStatus, OrderStatus
from persistence.database import MainBase, open_engine
from persistence.orders import OrderStore
from tests.kit.trading_desk import LOT, make_intent

NOW = 1_000


@pytest.fixture
def store(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'main.db'}", durable=True)
    MainBase.metadata.create_all(engine)
    return OrderStore(engine)


@pytest.fixture
def command(store):
    return record(store, 1)[0]


def record(store, number):
    intent = make_intent(number=number)
    command = entry_command(intent, "{}", "alpha", now_ns=NOW, ttl_s=10)
    return store.record(command, entry_orders(intent, command))


def test_a_row_comes_back_as_it_was_written(store, command) -> None:
    intent = make_intent(number=1)
    written = entry_orders(intent, command)
    assert store.orders_of(command.command_id) == written
    assert store.command(command.command_id) == command


def test_a_known_key_gives_the_first_row_and_writes_nothing(store, command) -> None:
    again, duplicate = record(store, 1)
    assert (again, duplicate) == (command, True)
    assert len(store.orders_of(command.command_id)) == 2


def test_orders_and_command_stand_together_or_not_at_all(store) -> None:
    intent = make_intent(number=5)
    command = entry_command(intent, "{}", "alpha", now_ns=NOW, ttl_s=10)
    rows = entry_orders(intent, command)
    with pytest.raises(Exception, match="UNIQUE"):
        store.record(command, [rows[0], rows[0]])
    assert store.open_commands() == []


def test_a_change_is_refused_when_somebody_was_faster(store, command) -> None:
    taken = store.move(command, CommandStatus.PROCESSING, owner_token="one")
    assert taken
    assert store.move(command, CommandStatus.PROCESSING, owner_token="two") is None
    stale = replace(taken, owner_token="two")
    assert store.move(stale, CommandStatus.DONE) is None


def test_a_final_state_is_never_left(store, command) -> None:
    failed = store.move(command, CommandStatus.FAILED)
    with pytest.raises(IllegalTransition):
        store.move(failed, CommandStatus.PENDING)


def test_only_one_sender_takes_a_waiting_row(store, command) -> None:
    key = store.orders_of(command.command_id)[0].client_order_id
    first = store.begin_sending([key], NOW)[0]
    assert (first.status, first.sends, first.sent_ns) == (OrderStatus.SENDING, 1, NOW)
    assert store.begin_sending([key], NOW) == []
    assert store.change_waiting(key, status=OrderStatus.CANCELLED) is False


def test_an_id_of_another_order_leaves_the_row_unknown(store, command) -> None:
    first, second = (row.client_order_id for row in store.orders_of(command.command_id))
    for key in (first, second):
        store.begin_sending([key], NOW)
        store.record_answers([SendingAnswer(key, OrderStatus.SENT, "B1")], NOW)
    assert store.order(first).broker_order_id == "B1"
    row = store.order(second)
    assert (row.status, row.needs_reconcile) == (OrderStatus.SENDING, True)


def test_the_same_news_twice_is_one_fill(store, command) -> None:
    key = store.orders_of(command.command_id)[0].client_order_id
    store.begin_sending([key], NOW)
    store.record_answers([SendingAnswer(key, OrderStatus.SENT, "B1")], NOW)
    change = BookChange(
        row=store.order(key),
        status=OrderStatus.FILLED,
        filled_quantity=LOT,
        average_price=Decimal("49.90"),
        increase=LOT,
        price=Decimal("49.90"),
    )
    assert store.record_book([change], NOW) == 1
    assert store.record_book([change], NOW) == 0
    fills = store.untold_fills()
    assert [(row.fill.quantity, row.fill.price) for row in fills] == [(LOT, Decimal("49.90"))]
    store.mark_told([fills[0].fill.fill_id])
    assert store.untold_fills() == []


def test_what_was_not_sent_has_no_time_of_sending(store, command) -> None:
    key = store.orders_of(command.command_id)[0].client_order_id
    store.begin_sending([key], NOW)
    store.record_answers([SendingAnswer(key, OrderStatus.WAITING)], NOW)
    row = store.order(key)
    assert (row.status, row.sent_ns, row.sends) == (OrderStatus.WAITING, 0, 1)


def test_a_full_disk_is_a_storage_failure(store, command) -> None:
    with store._engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages}")
    with pytest.raises(StorageFailure):
        fill_up(store)


def fill_up(store) -> None:
    for number in range(2, 200):
        record(store, number)


def test_closes_are_worked_on_before_entries(store, command) -> None:
    from domain.execution.commands import close_command

    close = close_command(command, "c", reason="x", by="x", now_ns=NOW, urgent=False)
    store.record(close, [])
    assert [row.is_exit for row in store.open_commands()] == [True, False]


def test_what_is_written_together_stands_together_and_is_read_inside(store) -> None:
    with store.together():
        command, _ = record(store, 1)
        store.move(command, CommandStatus.PROCESSING, owner_token="one")
        assert [row.status for row in store.open_commands()] == [CommandStatus.PROCESSING]
        assert OrderStore(store._engine).open_commands() == []
    assert [row.owner_token for row in OrderStore(store._engine).open_commands()] == ["one"]


def test_of_what_is_written_together_nothing_stands_when_a_part_fails(store) -> None:
    def record_and_end() -> None:
        with store.together():
            command, _ = record(store, 1)
            store.move(command, CommandStatus.DONE)

    with pytest.raises(IllegalTransition):
        record_and_end()
    assert store.open_commands() == []
    assert record(store, 1)[1] is False


def test_what_waits_for_the_disk_is_called_after_the_whole_write(store) -> None:
    seen = []

    def look() -> None:
        seen.append(len(OrderStore(store._engine).open_commands()))

    store.when_durable(look)
    with store.together():
        with store.together():
            record(store, 1)
            store.when_durable(look)
        record(store, 2)
        assert seen == [0]
    assert seen == [0, 2]


def test_what_waits_for_the_disk_is_never_called_when_it_failed(store) -> None:
    seen: list[int] = []

    def record_and_fail() -> None:
        with store.together():
            record(store, 1)
            store.when_durable(lambda: seen.append(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record_and_fail()
    with store.together():
        record(store, 2)
    assert seen == []
