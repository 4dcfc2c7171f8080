"""A call that hangs holds up its own kind alone: an exit waits for no entry, nor does a cancel."""

from __future__ import annotations

import select
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from actors.execution.executor import Executor
from actors.hosting.worker import Worker
from adapters.catalogue import open_broker
from adapters.sandbox.config import InstanceConfig, SandboxConfig
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.server import SandboxServer
from domain.brokers import BrokerEndpoint
from domain.errors import OutcomeUnknown, StorageFailure
from domain.execution.commands import request_of
from domain.instruments import Kind
from domain.orders import CommandRow, CommandStatus, OrderStatus, Purpose
from domain.settings import Settings
from domain.stamps import Stamps
from messages.market import FreshnessMarked
from messages.trading import (
    CancelOrder,
    CloseStructure,
    OrderAccepted,
    OrderCancelled,
    PlaceOrders,
)
from persistence.database import MainBase, open_engine
from persistence.orders import OrderStore
from tests.kit.order_rows import row
from tests.kit.recording_context import RecordingContext, make_runtime
from tests.kit.trading_desk import BROKER, SPREAD, Desk, fresh_mark, leg, make_intent

KEY = "c0de" * 16
FACT_WITHIN_S = 60.0


class ThreadedContext(RecordingContext):
    """Work runs in the host's own worker threads."""

    def __init__(self, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self.workers: dict[str, Worker] = {}

    def work(self, call: Callable[[], Any], done: Callable[[Any], None], *, lane: str = "") -> None:
        if lane not in self.workers:
            self.workers[lane] = Worker(f"test-{lane}")
        self.workers[lane].submit(call, done)

    def collect_until(self, kind: type) -> Any:
        """Hands results over until such a message was announced; that message."""
        by_descriptor = {worker.descriptor: worker for worker in self.workers.values()}
        while not (found := [said for said in self.announced if isinstance(said, kind)]):
            ready, _, _ = select.select(list(by_descriptor), [], [], FACT_WITHIN_S)
            assert ready, f"no {kind.__name__} came"
            for descriptor in ready:
                for done, result in by_descriptor[descriptor].collect():
                    done(result)
        return found[0]


@pytest.fixture
def exchange():
    instance = InstanceConfig("alpha", 0, 0, KEY)
    with SandboxServer(SandboxConfig(instances=(instance,), always_open=True)) as server:
        yield server


@pytest.fixture
def desk(tmp_path, monkeypatch):
    return Desk(tmp_path, monkeypatch)


class Bench:
    """An executor at a real sandbox, with rows of an entry and of an exit in its store."""

    def __init__(self, folder, exchange) -> None:
        address = exchange.addresses["alpha"]
        endpoint = BrokerEndpoint(
            "alpha", address.rest_url, address.websocket_url, True, True, "A", "openalgo"
        )
        runtime = make_runtime(folder, settings=Settings(), keys={"alpha": KEY})
        runtime.broker, runtime.brokers = (lambda name: endpoint), (endpoint,)
        MainBase.metadata.create_all(open_engine(runtime.database_url))
        self.store = OrderStore(open_engine(runtime.database_url))
        self.context = ThreadedContext("executor.alpha", runtime, instance="alpha")
        self.broker = open_broker(endpoint, KEY)
        self.control = SandboxControl(exchange.control_port)
        options = [
            one
            for one in self.broker.listings()
            if one.name == "NIFTY" and one.kind is Kind.PUT and one.exchange == "NFO"
        ]
        self.options = options[:2]
        self.executor = Executor(self.context, None)
        self.executor.start()
        mark = fresh_mark(self.context.now_ns())
        quotes = Stamps.of({**mark.quotes_ns, **{one.symbol: mark.as_of_ns for one in options}})
        self.executor.on_freshness_marked(FreshnessMarked(mark=replace(mark, quotes_ns=quotes)))

    def place(self, option, *, is_exit: bool, name: str = "", of: str = "") -> str:
        """Writes a row named so of a structure and hands it over; its key."""
        now_ns, name = self.context.now_ns(), name or ("close" if is_exit else "entry")
        command = CommandRow(
            event_type="CLOSE_REQUEST" if is_exit else "ORDER_REQUEST",
            idempotency_key=name, correlation_id=name, strategy_id=name, strategy_tag="TAG",
            underlying="NIFTY", broker_name="alpha", source_agent="test", payload="{}",
            created_ns=now_ns, status=CommandStatus.PROCESSING, cleared_ns=now_ns,
            lease_expires_ns=now_ns + 30 * 10**9,
        )  # fmt: skip
        order = row(
            client_order_id=f"{name}:0:BUY", strategy_id=name, symbol=option.symbol,
            underlying="NIFTY", quantity=option.lot_size, status=OrderStatus.WAITING, sent_ns=0,
            is_exit=is_exit, purpose=Purpose.CLOSE if is_exit else Purpose.ENTRY,
            needs_reconcile=False, tag=name, price=Decimal(0),
        )  # fmt: skip
        command, _ = self.store.record(command, [order])
        message = PlaceOrders(
            strategy_id=of or name, command_id=command.command_id, requests=(request_of(order),),
            is_exit=is_exit,
        )  # fmt: skip
        self.context.deliver(self.executor, message)
        return order.client_order_id

    def hang(self, endpoint: str) -> None:
        self.control.fault_on("timeout_before_accept", endpoint=endpoint, nth=1)

    def wait_until_struck(self) -> None:
        """The hung call is at the exchange."""
        fault = "timeout_before_accept"
        while not {row["fault"]: row for row in self.control.faults()}[fault]["struck"]:
            pass

    def end(self) -> None:
        self.executor.stop()
        self.broker.close()
        self.control.close()


@pytest.fixture
def bench(tmp_path, exchange):
    bench = Bench(tmp_path, exchange)
    yield bench
    bench.end()


def test_an_exit_is_at_the_broker_while_the_call_of_an_entry_still_hangs(bench) -> None:
    bench.hang("placeorder")
    entry = bench.place(bench.options[0], is_exit=False)
    bench.wait_until_struck()
    exit_ = bench.place(bench.options[1], is_exit=True)

    accepted = bench.context.collect_until(OrderAccepted)
    assert accepted.client_order_id == exit_
    assert [order.tag for order in bench.broker.orders()] == ["close"]
    hung = bench.store.order(entry)
    assert (hung.status, hung.needs_reconcile) == (OrderStatus.SENDING, False)


def test_an_exit_is_at_the_broker_while_a_cancel_hangs_and_a_cancel_while_an_entry_does(
    bench,
) -> None:
    first = bench.place(bench.options[0], is_exit=True)
    order_id = bench.context.collect_until(OrderAccepted).broker_order_id
    bench.context.announced.clear()
    bench.hang("cancelorder")
    cancel = CancelOrder(client_order_id=first, broker_order_id=order_id, reason="drill")
    bench.context.deliver(bench.executor, cancel)
    bench.wait_until_struck()
    # Of the very structure whose cancel hangs: the two go by lanes of their own.
    exit_ = bench.place(bench.options[1], is_exit=True, name="again", of="close")
    assert bench.context.collect_until(OrderAccepted).client_order_id == exit_
    entry = bench.place(bench.options[1], is_exit=False)
    told = bench.context.announced
    bench.context.announced = []
    assert bench.context.collect_until(OrderAccepted).client_order_id == entry
    told += bench.context.announced
    assert not [said for said in told if isinstance(said, OrderCancelled)]


def test_an_exit_is_at_the_broker_while_that_of_another_structure_still_hangs(bench) -> None:
    bench.hang("placeorder")
    hung = bench.place(bench.options[0], is_exit=True, name="first")
    bench.wait_until_struck()
    bench.place(bench.options[1], is_exit=True, name="second")

    accepted = bench.context.collect_until(OrderAccepted)
    assert [order.tag for order in bench.broker.orders()] == ["second"]
    assert accepted.client_order_id == "second:0:BUY"
    row = bench.store.order(hung)
    assert (row.status, row.needs_reconcile) == (OrderStatus.SENDING, False)


def standing_pair(desk) -> list:
    """Two structures of two underlyings, both open."""
    pair = (leg(25500, "P", "SELL"), leg(25350, "P", "BUY"))
    intents = [make_intent(number=1), make_intent(number=2, underlying="BANKNIFTY", legs=pair)]
    for intent in intents:
        desk.propose(intent)
        desk.run(4)
    assert desk.statuses() == ["DONE", "DONE"]
    return intents


def close(desk, intent) -> None:
    wish = CloseStructure(
        strategy_id=intent.strategy_id, reason="drill", key=f"{intent.strategy_id}:c", by="me"
    )
    desk.deliver("execution_agent", wish)


def test_a_structure_is_closed_while_the_exit_of_another_hangs(desk) -> None:
    first, second = standing_pair(desk)
    desk.contexts[f"executor.{BROKER}"].hung_lanes.add("exits")
    close(desk, first)
    desk.run(1)
    close(desk, second)
    desk.run(8)

    assert desk.statuses() == ["DONE", "DONE", "PROCESSING", "DONE"]
    desk.contexts[f"executor.{BROKER}"].hung_lanes.clear()
    desk.contexts[f"executor.{BROKER}"].run_work()
    desk.run(20)
    assert desk.broker.net() == {}
    legs_in_and_out = 8
    assert len(desk.broker.requests) == legs_in_and_out


def test_exits_of_one_structure_leave_in_their_order_though_lanes_are_free(bench) -> None:
    bench.hang("placeorder")
    bench.place(bench.options[0], is_exit=True, name="first")
    bench.wait_until_struck()
    waits = bench.place(bench.options[1], is_exit=True, name="first:more", of="first")
    bench.place(bench.options[1], is_exit=True, name="second")
    bench.context.collect_until(OrderAccepted)
    assert [order.tag for order in bench.broker.orders()] == ["second"]
    # It has not left and may still be taken back; a new life finds it unsent, not unknown.
    assert bench.store.order(waits).status is OrderStatus.WAITING


def test_an_exit_that_could_not_be_marked_is_sent_when_the_disk_takes_it(desk) -> None:
    intent = make_intent()
    desk.propose(intent)
    desk.run(4)
    store = desk.actors[f"executor.{BROKER}"]._store
    real, failures = store.begin_sending, [1, 1]

    def sometimes(*args):
        if failures:
            failures.pop()
            raise StorageFailure("database is locked")
        return real(*args)

    store.begin_sending = sometimes
    close(desk, intent)
    desk.run(1.5)
    assert desk.store.orders_of(2)[0].status is OrderStatus.WAITING
    desk.run(4)  # not only after the ten seconds in which the desk hands it over again
    assert desk.broker.net() == {}
    assert "an order was not sent: database is locked" in desk.alerts()


def test_a_structure_is_closed_while_the_entry_of_another_hangs(desk) -> None:
    standing = make_intent(number=1)
    desk.propose(standing)
    desk.run(4)
    assert desk.statuses() == ["DONE"]
    desk.contexts[f"executor.{BROKER}"].hung_lanes.add("entries")
    other = (leg(25500, "P", "SELL"), leg(25350, "P", "BUY"))
    desk.propose(make_intent(number=2, underlying="BANKNIFTY", legs=other))
    desk.run(1)
    close = CloseStructure(strategy_id=standing.strategy_id, reason="drill", key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(8)

    assert desk.statuses() == ["DONE", "PROCESSING", "DONE"]
    assert desk.broker.net() == {}
    hung = [row for row in desk.store.orders_of(2) if row.status is OrderStatus.SENDING]
    assert len(hung) == 1


def test_an_exit_of_a_leg_waits_for_the_hung_entry_of_that_leg_and_for_no_other(desk) -> None:
    intent = make_intent()
    executor = desk.contexts[f"executor.{BROKER}"]
    shorts = SPREAD[0].symbol

    def hang_the_short(request):
        if request.symbol == shorts and request.action == "SELL":
            raise OutcomeUnknown("timed out")
        return request.quantity

    desk.broker.script, desk.broker.arrives = hang_the_short, False
    desk.propose(intent)
    desk.run(1)
    executor.hung_lanes.add("entries")  # the short is marked and its call hangs
    desk.run(1)
    close = CloseStructure(strategy_id=intent.strategy_id, reason="drill", key="c", by="me")
    desk.deliver("execution_agent", close)
    desk.run(5)
    bought_back = [r for r in desk.broker.requests if r.symbol == shorts and r.action == "BUY"]
    assert bought_back == []  # nobody knows yet whether there is anything to buy back
    executor.hung_lanes.clear()
    executor.run_work()
    desk.settle()
    desk.run(60)

    assert desk.broker.net() == {}
    assert [r for r in desk.broker.requests if r.symbol == shorts and r.action == "BUY"] == []
