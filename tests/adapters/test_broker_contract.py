"""What every broker's adapter must do, on a real server of its protocol."""

import select
import time
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import pytest

from adapters.catalogue import open_broker, open_stream, trading_adapters
from adapters.sandbox.config import InstanceConfig, RateLimits, SandboxConfig
from adapters.sandbox.control import SandboxControl
from adapters.sandbox.server import SandboxServer
from domain.brokers import BrokerEndpoint, OrderRequest
from domain.clock import exchange_time
from domain.errors import BrokerRejected, NotAuthenticated, OutcomeUnknown, RateLimited
from domain.instruments import OPTION_KINDS, InstrumentIndex, Kind

KEY = "c0de" * 16


@pytest.fixture(scope="module")
def exchange():
    # One server for the module: the pace of its tests together is not what they are about.
    config = SandboxConfig(
        instances=(InstanceConfig("alpha", 0, 0, KEY),),
        always_open=True,
        limits=RateLimits(order_per_s=1_000, smart_order_per_s=1_000, api_per_s=1_000),
    )
    with SandboxServer(config) as server:
        yield server


@pytest.fixture
def control(exchange):
    control = SandboxControl(exchange.control_port)
    control.reset()
    yield control
    for row in control.faults():
        control.fault_off(row["fault"])
    control.close()


@pytest.fixture(params=trading_adapters())
def endpoint(request, exchange):
    address = exchange.addresses["alpha"]
    return BrokerEndpoint(
        "alpha", address.rest_url, address.websocket_url, True, True, "Alpha", request.param
    )


@pytest.fixture
def broker(endpoint, control):
    broker = open_broker(endpoint, KEY)
    yield broker
    broker.close()


@pytest.fixture(scope="module")
def master(exchange):
    address = exchange.addresses["alpha"]
    endpoint = BrokerEndpoint("alpha", address.rest_url, address.websocket_url, True, True, "")
    broker = open_broker(endpoint, KEY)
    rows = broker.listings()
    broker.close()
    return rows


@pytest.fixture
def index(master):
    rows = (replace(row, listing_id=number) for number, row in enumerate(master, start=1))
    return InstrumentIndex(rows)


@pytest.fixture
def options(index):
    """A call and a put of the nearest NIFTY expiry, near the middle of the chain."""
    expiry = min(row.expiry for row in index.by_id.values() if row.name == "NIFTY" and row.expiry)
    chain = index.chain("NIFTY", index.expiries("NIFTY", expiry)[0])
    middle = chain[len(chain) // 2].strike
    return [row for row in chain if row.strike == middle]


def buy(listing, quantity, **changes):
    request = OrderRequest(
        client_order_id=f"key:{listing.symbol}",
        tag="TAG",
        exchange=listing.exchange,
        symbol=listing.symbol,
        action="BUY",
        quantity=quantity,
        price_type="MARKET",
        product="NRML" if listing.kind in OPTION_KINDS else "MIS",
        underlying=listing.name,
        underlying_exchange="NSE_INDEX",
    )
    return replace(request, **changes)


def test_a_broker_with_our_key_answers_and_proves_that_it_is_a_sandbox(broker):
    assert broker.ping()
    assert broker.is_sandbox()


def test_a_wrong_key_is_told_apart_from_a_broken_line(endpoint):
    stranger = open_broker(endpoint, "dead" * 16)
    with pytest.raises(NotAuthenticated):
        stranger.ping()
    stranger.close()


def test_the_master_holds_every_kind_with_lots_ticks_and_expiries(master):
    assert {row.kind for row in master} == set(Kind)
    assert len({row.key for row in master}) == len(master)
    for row in master:
        if row.kind in OPTION_KINDS:
            assert row.lot_size > 1
            assert row.strike > 0
            assert row.expiry
            assert row.tick_size > 0
        if row.kind is Kind.INDEX:
            assert row.name == row.symbol


def test_a_market_order_is_placed_stands_in_the_book_and_makes_a_position(broker, options):
    call = options[0]

    (placed,) = broker.place([buy(call, call.lot_size)])

    assert placed.failure is None
    assert placed.client_order_id == f"key:{call.symbol}"
    (order,) = [row for row in broker.orders() if row.order_id == placed.order_id]
    assert (order.symbol, order.exchange, order.action) == (call.symbol, "NFO", "BUY")
    assert (order.status, order.filled_quantity) == ("complete", call.lot_size)
    assert (order.tag, order.product, order.price_type) == ("TAG", "NRML", "MARKET")
    assert order.average_price > 0
    assert order.is_final
    assert abs(order.ordered_at_ns - time.time_ns()) < 120 * 10**9
    (position,) = broker.positions()
    assert (position.symbol, position.quantity) == (call.symbol, call.lot_size)
    assert position.average_price == order.average_price


def test_a_short_is_a_negative_position(broker, options):
    put = options[1]
    broker.place([buy(put, put.lot_size, action="SELL")])
    (position,) = broker.positions()
    assert position.quantity == -put.lot_size


def test_a_closed_position_leaves_the_book(broker, options):
    call = options[0]
    broker.place([buy(call, call.lot_size)])
    broker.place([buy(call, call.lot_size, action="SELL")])
    assert broker.positions() == []


def test_each_leg_of_a_step_has_its_own_row_in_the_order_asked(broker, options):
    call, put = options
    bad = buy(put, put.lot_size + 1)

    first, second = broker.place([buy(call, call.lot_size), bad])

    assert (first.client_order_id, first.failure) == (f"key:{call.symbol}", None)
    assert second.client_order_id == f"key:{put.symbol}"
    assert type(second.failure) is BrokerRejected
    assert "lot size" in str(second.failure)
    assert second.order_id == ""


def test_a_working_order_is_open_until_it_is_cancelled(broker, options):
    call = options[0]
    low = buy(call, call.lot_size, price_type="LIMIT", price=Decimal("0.05"))
    (placed,) = broker.place([low])
    (order,) = broker.orders()
    assert (order.status, order.price, order.is_final) == ("open", Decimal("0.05"), False)

    broker.cancel(placed.order_id, "TAG")

    assert broker.orders()[0].status == "cancelled"
    with pytest.raises(BrokerRejected, match="Cannot cancel"):
        broker.cancel(placed.order_id, "TAG")


def test_money_follows_the_orders_and_a_margin_is_quoted_before_them(broker, options):
    before = broker.funds()
    quote = broker.margin([buy(options[0], options[0].lot_size)])
    assert quote.total > 0

    broker.place([buy(options[0], options[0].lot_size)])

    after = broker.funds()
    assert after.available < before.available
    assert after.used_margin > before.used_margin


def test_history_comes_in_order_within_its_dates(broker, index):
    nifty = index.underlying("NIFTY")
    last = exchange_time(time.time_ns()).date()
    first = last - timedelta(days=10)
    for interval, step_s in (("1m", 60), ("15m", 900), ("D", 86_400)):
        bars = broker.history(nifty, interval, first, last)
        starts = [bar.start_ns for bar in bars]
        assert bars
        assert starts == sorted(set(starts))
        assert all((b - a) // 10**9 >= step_s for a, b in pairwise(starts))
        assert all(bar.low <= min(bar.open, bar.close) <= bar.high for bar in bars)


def test_an_interval_nobody_asked_for_is_refused_before_the_call(broker, index):
    with pytest.raises(ValueError, match="interval"):
        broker.history(index.underlying("NIFTY"), "7m", None, None)


PLACING = {"endpoint": "placeorder"}


@pytest.mark.parametrize(
    ("fault", "kind", "arrives"),
    [
        ("http_429", RateLimited, False),
        ("http_500", OutcomeUnknown, False),
        ("connection_reset", OutcomeUnknown, False),
        ("drop_ids", OutcomeUnknown, True),
        ("reject", BrokerRejected, False),
    ],
)
def test_each_way_to_fail_an_order_has_its_class_and_nothing_is_sent_twice(
    broker, control, options, fault, kind, arrives
):
    control.fault_on(fault, times=1, **PLACING)
    (placed,) = broker.place([buy(options[0], options[0].lot_size)])
    assert type(placed.failure) is kind
    complete = [row for row in broker.orders() if row.status == "complete"]
    assert len(complete) == arrives


def test_a_read_survives_two_failures_of_the_broker(endpoint, control):
    waits = []
    patient = open_broker(endpoint, KEY)
    patient._http._wait = waits.append
    control.fault_on("http_500", times=2, endpoint="positionbook")
    assert patient.positions() == []
    patient.close()
    assert waits == [2.0, 2.0]


def collect(stream, done):
    ticks, events, deadline = [], [], time.monotonic() + 15
    while not done(ticks, events):
        assert time.monotonic() < deadline, (ticks[:3], events)
        select.select([stream.descriptor], [], [], 0.1)
        rows, news = stream.take()
        ticks += rows.tolist()
        events += news
    return ticks, events


def test_a_stream_brings_ticks_of_what_was_subscribed_and_no_other(
    endpoint, control, index, options
):
    nifty = index.underlying("NIFTY")
    stream = open_stream(endpoint, KEY, index, clock=time.time_ns)
    stream.open()
    collect(stream, lambda _, events: ("authenticated", "") in events)
    stream.subscribe([nifty, *options], [1, 3, 3])

    wanted = {nifty.listing_id, *(row.listing_id for row in options)}
    ticks, _ = collect(stream, lambda ticks, _: {row[0] for row in ticks} >= wanted)

    stream.close()
    assert {row[0] for row in ticks} == wanted
    option = next(row for row in ticks if row[0] == options[0].listing_id)
    assert option[1] == 3
    assert option[5] < option[6]  # bid below ask
    assert abs(option[2] - time.time_ns()) < 60 * 10**9
    assert stream.counters.refused == {}


def test_a_stream_with_a_wrong_key_is_refused(endpoint, control, index):
    stream = open_stream(endpoint, "dead" * 16, index, clock=time.time_ns)
    stream.open()
    collect(stream, lambda _, events: any(kind == "refused" for kind, _ in events))
    stream.close()
