"""actors.brokers.account_sync: how often books are read, and that a failed read is never empty."""

from decimal import Decimal

import pytest

from actors.brokers import account_sync as module
from actors.brokers.account_sync import AccountSync
from domain.brokers import BrokerOrder, BrokerPosition, Funds, MarginQuote, OrderRequest
from domain.errors import NotSent, OutcomeUnknown
from messages.books import (
    BrokerOrdersRead,
    BrokerPositionsRead,
    MarginQuoted,
    MarginRead,
    QuoteMargin,
    ReadOrders,
    ReadPositions,
)
from messages.lifecycle import NodeRestarted
from tests.kit.feed_makers import make_feed_runtime
from tests.kit.recording_context import START_NS, RecordingContext


def order(status):
    return BrokerOrder(
        "1", "NFO", "X", "BUY", 65, "LIMIT", "NRML", Decimal(1), Decimal(0), status, 0, Decimal(0),
        "", "TAG", START_NS,
    )  # fmt: skip


POSITION = BrokerPosition("NFO", "X", "NRML", -65, Decimal(90), Decimal(91), Decimal(0))
IN_FLIGHT = ReadOrders(reason="a leg is in flight", in_flight=True)
ONCE = ReadOrders(reason="resolve", in_flight=False)


class PlayedBroker:
    """Books as the test set them; an exception is raised."""

    def __init__(self):
        self.books = {
            "orders": [],
            "positions": [POSITION],
            "funds": Funds(Decimal(700_000), Decimal(100_000), Decimal(0), Decimal(0)),
            "margin": MarginQuote(Decimal("8007.20")),
        }
        self.reads = []
        self.closed = False

    def _read(self, name):
        self.reads.append(name)
        if isinstance(self.books[name], Exception):
            raise self.books[name]
        return self.books[name]

    def orders(self):
        return self._read("orders")

    def positions(self):
        return self._read("positions")

    def funds(self):
        return self._read("funds")

    def margin(self, requests):
        return self._read("margin")

    def close(self):
        self.closed = True


@pytest.fixture
def broker(monkeypatch):
    broker = PlayedBroker()
    monkeypatch.setattr(module, "open_broker", lambda endpoint, key: broker)
    return broker


@pytest.fixture
def runtime(tmp_path):
    return make_feed_runtime(tmp_path, listings=0)


@pytest.fixture
def context(runtime):
    return RecordingContext("account_sync.alpha", runtime, instance="alpha")


@pytest.fixture
def sync(context, broker):
    actor = AccountSync(context, None)
    actor.start()
    return actor


def orders_read(broker):
    return broker.reads.count("orders")


def test_the_book_is_read_at_start_and_then_every_45_seconds(context, sync, broker):
    assert orders_read(broker) == 1
    context.advance(44.9)
    assert orders_read(broker) == 1
    context.advance(45.1)
    assert orders_read(broker) == 3


def test_with_working_orders_the_book_is_read_every_five_seconds(context, sync, broker):
    broker.books["orders"] = [order("open"), order("complete")]
    context.deliver(sync, ONCE)
    context.advance(20)
    assert orders_read(broker) == 6


def test_final_orders_are_no_reason_to_hurry(context, sync, broker):
    broker.books["orders"] = [
        order(word) for word in ("complete", "rejected", "cancelled", "expired")
    ]
    context.deliver(sync, ONCE)
    context.advance(40)
    assert orders_read(broker) == 2


def test_while_a_leg_is_in_flight_the_book_is_read_every_half_second_for_five_seconds(
    context, sync, broker
):
    context.deliver(sync, IN_FLIGHT)
    assert orders_read(broker) == 2
    context.advance(5)
    assert orders_read(broker) == 12
    context.advance(40)
    assert orders_read(broker) == 12


def test_each_word_of_a_leg_in_flight_extends_the_hurry(context, sync, broker):
    context.deliver(sync, IN_FLIGHT)
    context.advance(4)
    context.deliver(sync, IN_FLIGHT)
    before = orders_read(broker)
    context.advance(4.9)
    assert orders_read(broker) == before + 9


def test_a_book_that_could_not_be_read_is_not_ok_and_read_again_soon(context, sync, broker):
    broker.books["orders"] = OutcomeUnknown("no answer")
    context.deliver(sync, ONCE)
    read = context.heard(BrokerOrdersRead)[-1]
    assert (read.ok, read.orders, read.reason) == (False, (), "no answer")
    before = orders_read(broker)
    context.advance(5)
    assert orders_read(broker) == before + 1


def test_a_failed_read_does_not_forget_that_orders_work(context, sync, broker):
    broker.books["orders"] = [order("open")]
    context.deliver(sync, ONCE)
    broker.books["orders"] = NotSent("refused")
    context.advance(5)
    broker.books["orders"] = [order("open")]
    context.advance(5)
    assert context.heard(BrokerOrdersRead)[-1].orders == (order("open"),)


def test_who_asks_while_a_read_is_on_its_way_gets_one_that_began_after_the_question(
    context, sync, broker
):
    context.hold_work = True
    context.deliver(sync, ONCE)
    context.advance(1)
    context.deliver(sync, ONCE)
    context.deliver(sync, ONCE)
    asked_ns = context.now_ns()
    context.run_work()
    started = [read.started_ns for read in context.heard(BrokerOrdersRead)]
    assert started[-2:] == [asked_ns - 10**9, asked_ns]
    assert orders_read(broker) == 3


def test_the_book_as_read_is_announced_with_the_moment_the_read_began(context, sync, broker):
    broker.books["orders"] = [order("complete")]
    context.deliver(sync, ONCE)
    read = context.heard(BrokerOrdersRead)[-1]
    assert (read.broker, read.ok, read.orders) == ("alpha", True, (order("complete"),))
    assert read.started_ns == START_NS


def test_positions_are_read_when_asked(context, sync, broker):
    context.deliver(sync, ReadPositions(reason="reconcile"))
    (read,) = context.heard(BrokerPositionsRead)
    assert (read.ok, read.positions, read.started_ns) == (True, (POSITION,), START_NS)


def test_positions_that_could_not_be_read_are_not_ok(context, sync, broker):
    broker.books["positions"] = OutcomeUnknown("positionbook: 'x' is not a number")
    context.deliver(sync, ReadPositions(reason="reconcile"))
    (read,) = context.heard(BrokerPositionsRead)
    assert (read.ok, read.positions) == (False, ())
    assert "not a number" in read.reason


def test_the_money_of_the_broker_that_executes_is_read_every_thirty_seconds(context, sync, broker):
    context.advance(60)
    reads = context.heard(MarginRead)
    assert [row.margin.as_of_ns - START_NS for row in reads] == [0, 30 * 10**9, 60 * 10**9]
    money = reads[0].margin
    assert (money.broker, money.free, money.used) == ("alpha", Decimal(700_000), Decimal(100_000))
    assert money.capital == Decimal(800_000)


def test_a_new_life_of_anyone_is_told_the_margin_at_once(context, sync, broker):
    context.announced.clear()
    restarted = NodeRestarted(name="risk_agent", life=2, reason="killed", handles_orders=False)
    context.deliver(sync, restarted)
    ((name, told),) = context.told
    assert (name, told.margin.free) == ("risk_agent", Decimal(700_000))
    assert context.heard(MarginRead) == []


def test_capital_is_capped_by_the_setting(context, sync, broker):
    broker.books["funds"] = Funds(Decimal(9_000_000), Decimal(0), Decimal(0), Decimal(0))
    context.advance(30)
    assert context.heard(MarginRead)[-1].margin.capital == Decimal(1_000_000)


def test_money_that_could_not_be_read_is_not_told(context, sync, broker):
    broker.books["funds"] = NotSent("refused")
    context.advance(30)
    assert len(context.heard(MarginRead)) == 1


def test_the_money_of_another_broker_is_nobodys_margin(runtime, broker):
    context = RecordingContext("account_sync.beta", runtime, instance="beta")
    AccountSync(context, None).start()
    context.advance(60)
    assert "funds" not in broker.reads


REQUEST = OrderRequest("k", "TAG", "NFO", "X", "BUY", 65, "MARKET", "NRML")


def test_a_margin_is_quoted_to_who_asked(context, sync, broker):
    context.deliver(sync, QuoteMargin(request="q1", orders=(REQUEST,), reply_to="risk_agent"))
    (quoted,) = context.told_to("risk_agent", MarginQuoted)
    assert (quoted.request, quoted.total) == ("q1", Decimal("8007.20"))


def test_a_margin_the_broker_does_not_say_is_none_with_the_reason(context, sync, broker):
    broker.books["margin"] = OutcomeUnknown("margin: no answer")
    context.deliver(sync, QuoteMargin(request="q1", orders=(REQUEST,), reply_to="risk_agent"))
    (quoted,) = context.told_to("risk_agent", MarginQuoted)
    assert (quoted.total, quoted.reason) == (None, "margin: no answer")


def test_a_bug_is_no_failed_read(context, sync, broker):
    broker.books["orders"] = KeyError("x")
    with pytest.raises(KeyError):
        context.deliver(sync, ONCE)


def test_a_stopped_sync_ends_its_connections(context, sync, broker):
    sync.stop()
    assert broker.closed
