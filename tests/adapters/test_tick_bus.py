"""adapters.tick_bus over real sockets, in one process and across two."""

import multiprocessing
import select
import tempfile
import time
from pathlib import Path

import msgpack
import numpy as np
import pytest
import zmq

from adapters.price_table import PriceReader, table_path
from adapters.tick_bus import (
    BATCHES_QUEUED_MAX,
    SCHEMA_VERSION,
    TickPublisher,
    TickSubscriber,
)
from domain.prices import BAR_DTYPE, TICK_DTYPE


@pytest.fixture
def run_dir():
    with tempfile.TemporaryDirectory(prefix="bus", dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def opened():
    sockets = []

    def keep(socket):
        sockets.append(socket)
        return socket

    yield keep
    for socket in sockets:
        socket.close()


def ticks(*prices):
    rows = np.zeros(len(prices), TICK_DTYPE)
    rows["ltp"] = prices
    return rows


def receive(subscriber, count):
    """The next `count` batches; fails after 10 s without them."""
    batches, deadline = [], time.monotonic() + 10
    while len(batches) < count:
        assert time.monotonic() < deadline, f"only {len(batches)} of {count} batches came"
        select.select([subscriber.descriptor], [], [], 0.01)
        batches += subscriber.drain()
    return batches


def join(publisher, subscriber):
    """Publishes until the subscription has arrived at the publisher; returns the last sequence
    sent.
    """
    deadline = time.monotonic() + 10
    sent = 0
    while not subscriber.drain():
        assert time.monotonic() < deadline
        sent = publisher.publish("ticks.test", ticks(1.0), {}, 0)
        select.select([subscriber.descriptor], [], [], 0.01)
    while subscriber.sequence("shard.test.1", "ticks.test") < sent:
        assert time.monotonic() < deadline
        subscriber.drain()
    return sent


def pair(run_dir, opened, prefix="ticks"):
    subscriber = opened(TickSubscriber(run_dir, ["shard.test.1"]))
    subscriber.subscribe(prefix)
    publisher = opened(TickPublisher(run_dir, "shard.test.1"))
    return publisher, subscriber, join(publisher, subscriber)


def test_columns_meta_and_times_arrive_as_they_were_sent(run_dir, opened):
    publisher, subscriber, last = pair(run_dir, opened)
    columns = ticks(100.05, 200.1)
    columns["listing"] = [7, 9]

    publisher.publish("ticks.test", columns, {"step": 3, "words": ["a"]}, 1_795_205_512_023_000_000)

    (batch,) = receive(subscriber, 1)
    assert (batch.topic, batch.source, batch.sequence) == ("ticks.test", "shard.test.1", last + 1)
    assert batch.sent_ns == 1_795_205_512_023_000_000
    assert batch.meta == {"step": 3, "words": ["a"]}
    assert np.array_equal(batch.columns, columns)
    assert batch.missed == 0


def test_columns_are_read_only_views_of_what_arrived(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    publisher.publish("ticks.test", ticks(1.0), {}, 0)

    (batch,) = receive(subscriber, 1)

    assert not batch.columns.flags.owndata
    with pytest.raises(ValueError, match="read-only"):
        batch.columns["ltp"] = 2.0


def test_an_empty_batch_and_a_strided_one_travel_too(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    publisher.publish("ticks.test", ticks(), {}, 0)
    publisher.publish("ticks.test", ticks(1.0, 2.0, 3.0)[::2], {}, 0)

    empty, strided = receive(subscriber, 2)

    assert len(empty.columns) == 0
    assert list(strided.columns["ltp"]) == [1.0, 3.0]


def test_a_subscriber_gets_only_topics_that_begin_with_its_prefix(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    publisher.publish("bars.1m", np.zeros(1, BAR_DTYPE), {}, 0)
    publisher.publish("ticks.other", ticks(1.0), {}, 0)

    (batch,) = receive(subscriber, 1)

    assert batch.topic == "ticks.other"


def test_each_topic_counts_from_one(run_dir, opened):
    publisher = opened(TickPublisher(run_dir, "shard.test.1"))

    assert publisher.publish("a", ticks(1.0), {}, 0) == 1
    assert publisher.publish("b", ticks(1.0), {}, 0) == 1
    assert publisher.publish("a", ticks(1.0), {}, 0) == 2


def test_columns_of_another_shape_are_refused(run_dir, opened):
    publisher = opened(TickPublisher(run_dir, "shard.test.1"))

    with pytest.raises(ValueError, match="do not travel"):
        publisher.publish("ticks.test", np.zeros(3), {}, 0)


def test_drain_leaves_the_rest_for_the_next_drain(run_dir, opened):
    publisher, subscriber, last = pair(run_dir, opened)
    for price in (1.0, 2.0, 3.0):
        publisher.publish("ticks.test", ticks(price), {}, 0)
    deadline = time.monotonic() + 10
    taken = []
    while len(taken) < 3:
        assert time.monotonic() < deadline
        batches = subscriber.drain(1)
        assert len(batches) <= 1
        taken += batches

    assert [batch.sequence - last for batch in taken] == [1, 2, 3]
    assert subscriber.drain() == []


def test_a_gap_is_counted_on_the_batch_after_it(run_dir, opened):
    publisher, subscriber, last = pair(run_dir, opened)
    publisher._sequences["ticks.test"] = last + 4

    publisher.publish("ticks.test", ticks(1.0), {}, 0)

    batch, _ = receive(subscriber, 2)
    assert batch.missed == 4
    assert subscriber.counters.missed == 4


def test_a_source_that_is_born_again_counts_from_one_and_that_is_no_gap(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    publisher.close()

    reborn = opened(TickPublisher(run_dir, "shard.test.1"))
    reborn.publish("other", ticks(1.0), {}, 0)
    join(reborn, subscriber)

    assert subscriber.counters.missed == 0


def send_raw(run_dir, opened, header, raw=b"", meta=b"\x80"):
    """One handmade message beside a good one, both from a source of their own."""
    subscriber = opened(TickSubscriber(run_dir, ["raw"]))
    subscriber.subscribe("")
    socket = opened(zmq.Context.instance().socket(zmq.PUB))
    socket.setsockopt(zmq.LINGER, 0)
    socket.bind(f"ipc://{run_dir}/raw.ipc")
    deadline = time.monotonic() + 10
    while not subscriber.counters.refused:
        assert time.monotonic() < deadline
        socket.send_multipart([b"ticks.test", header, meta, raw])
        select.select([subscriber.descriptor], [], [], 0.01)
        assert subscriber.drain() == []
    return set(subscriber.counters.refused)


@pytest.mark.parametrize(
    ("header", "raw", "reason"),
    [
        ((SCHEMA_VERSION + 1, "raw", "e", 1, 0, "tick", 0), b"", "schema_version"),
        ((SCHEMA_VERSION, "raw", "e", 1, 0, "orders", 0), b"", "dtype"),
        ((SCHEMA_VERSION, "raw", "e", 1, 0, "tick", 2), bytes(TICK_DTYPE.itemsize), "frame"),
        ((SCHEMA_VERSION, "raw", "e", 1, 0, "tick", 1), b"short", "frame"),
        ((SCHEMA_VERSION, "raw"), b"", "frame"),
    ],
)
def test_a_batch_that_cannot_be_read_is_counted_and_dropped(run_dir, opened, header, raw, reason):
    assert send_raw(run_dir, opened, msgpack.packb(header), raw) == {reason}


def test_a_header_that_is_not_msgpack_is_counted_and_dropped(run_dir, opened):
    assert send_raw(run_dir, opened, b"\xc1") == {"frame"}


def test_a_source_keeps_the_newest_price_of_each_listing_for_those_who_missed_a_batch(
    run_dir, opened
):
    publisher = opened(TickPublisher(run_dir, "shard.test.1"))
    for listing, price in ((7, 100.0), (8, 50.0), (7, 101.0)):
        columns = ticks(price)
        columns["listing"] = listing
        publisher.publish("ticks.test", columns, {}, 0)  # nobody subscribed to it

    reader = PriceReader(table_path(run_dir, "shard.test.1"))
    assert [reader.read(listing).ltp for listing in (7, 8)] == [101.0, 50.0]


def stamped(received_ns, **prices):
    """A tick a listing, as received at that moment; `s7=1.5` is listing 7 at 1.5."""
    columns = ticks(*prices.values())
    columns["listing"] = [int(name[1:]) for name in prices]
    columns["received_ns"] = columns["ts_ns"] = received_ns
    return columns


def lose(publisher, *batches):
    """What leaves the publisher and comes nowhere."""
    sending, publisher._socket = publisher._socket, Nowhere()
    for columns in batches:
        publisher.publish("ticks.test", columns, {}, 0)
    publisher._socket = sending


class Nowhere:
    def send_multipart(self, _parts, _flags):
        pass


def told(batches):
    return [{int(row["listing"]): float(row["ltp"]) for row in batch.columns} for batch in batches]


def test_who_lost_ticks_is_handed_the_newest_of_each_listing_that_ticked_meanwhile(run_dir, opened):
    publisher, subscriber, last = pair(run_dir, opened)
    publisher.publish("ticks.test", stamped(10, s4=1.0), {}, 0)
    publisher.publish("ticks.test", stamped(20, s5=1.0), {}, 0)
    receive(subscriber, 2)
    lose(publisher, stamped(30, s7=3.0, s8=4.0), stamped(40, s7=3.5))
    publisher.publish("ticks.test", stamped(50, s9=5.0), {}, 0)
    lose(publisher, stamped(60, s8=4.5, s10=6.0))  # the next batch will tell of that gap

    late, recovered = receive(subscriber, 2)

    assert (late.missed, late.recovered) == (2, False)
    assert (recovered.missed, recovered.recovered) == (0, True)
    assert (recovered.topic, recovered.source) == ("ticks.test", "shard.test.1")
    assert recovered.sequence == subscriber.sequence("shard.test.1", "ticks.test") == last + 5
    assert told([recovered]) == [{5: 1.0, 7: 3.5, 9: 5.0}]
    with pytest.raises(ValueError, match="read-only"):
        recovered.columns["ltp"] = 2.0
    assert subscriber.drain() == []

    publisher.publish("ticks.test", stamped(70, s9=7.0), {}, 0)
    late, recovered = receive(subscriber, 2)
    assert late.missed == 1
    assert told([recovered]) == [{9: 7.0, 8: 4.5, 10: 6.0}]
    assert subscriber.counters.sources["shard.test.1"].recovered == 6


def test_ticks_lost_between_two_lives_of_a_source_are_recovered(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    publisher.publish("ticks.test", stamped(10, s5=1.0), {}, 0)
    receive(subscriber, 1)
    lose(publisher, stamped(20, s6=2.0))
    publisher.close()
    reborn = opened(TickPublisher(run_dir, "shard.test.1"))
    deadline = time.monotonic() + 10
    batches = []
    while not batches:
        assert time.monotonic() < deadline
        reborn.publish("ticks.test", stamped(30, s7=3.0), {}, 0)
        select.select([subscriber.descriptor], [], [], 0.01)
        batches = subscriber.drain()

    assert told(batches[-1:]) == [{5: 1.0, 6: 2.0, 7: 3.0}]
    assert subscriber.counters.missed == 0


def test_a_clock_that_was_set_back_hides_no_lost_tick(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    publisher.publish("ticks.test", stamped(100, s5=1.0), {}, 0)
    receive(subscriber, 1)
    lose(publisher, stamped(40, s6=2.0))
    publisher.publish("ticks.test", stamped(50, s7=3.0), {}, 0)

    _, recovered = receive(subscriber, 2)

    assert told([recovered]) == [{0: 1.0, 6: 2.0, 7: 3.0}]  # 0 is what joined it


def test_a_slow_subscriber_ends_with_the_newest_price_of_every_listing(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    listings, rounds = 40, 3 * BATCHES_QUEUED_MAX  # more than both ends' queues hold
    newest = {}
    for number in range(1, rounds):
        listing = 1 + number % listings if number < rounds - 9 else 1
        publisher.publish("ticks.test", stamped(number, **{f"s{listing}": number}), {}, 0)
        newest[listing] = number
    seen, deadline = {}, time.monotonic() + 30
    while seen != newest:
        assert time.monotonic() < deadline
        for batch in subscriber.drain():
            seen |= told([batch])[0]
        publisher.publish("ticks.test", stamped(rounds, s1=rounds), {}, 0)
        newest[1] = rounds

    counters = subscriber.counters.sources["shard.test.1"]
    assert counters.missed > 0
    assert counters.recovered > 0


def test_without_a_price_table_a_gap_is_counted_and_looked_for_again(run_dir, opened):
    publisher, subscriber, _ = pair(run_dir, opened)
    path = table_path(run_dir, "shard.test.1")
    aside = path.rename(path.with_suffix(".away"))
    lose(publisher, stamped(10, s5=1.0))
    publisher.publish("ticks.test", stamped(20, s6=2.0), {}, 0)
    receive(subscriber, 1)
    assert subscriber.counters.refused["price_table"] >= 1
    aside.rename(path)
    assert told(subscriber.drain()) == [{0: 1.0, 5: 1.0, 6: 2.0}]
    assert subscriber.drain() == []


def test_bars_have_no_price_table(run_dir, opened):
    opened(TickPublisher(run_dir, "bars")).publish("bars.1m", np.zeros(1, BAR_DTYPE), {}, 0)

    assert not table_path(run_dir, "bars").exists()


def test_a_subscriber_counts_by_source_what_came_what_was_lost_and_how_late(run_dir, opened):
    publisher, subscriber, last = pair(run_dir, opened)
    before = subscriber.counters.sources["shard.test.1"].batches
    publisher._sequences["ticks.test"] = last + 4
    for received_ns in (1_000, 2_000):
        columns = ticks(1.0, 2.0)
        columns["received_ns"] = [received_ns, 9_000]
        publisher.publish("ticks.test", columns, {}, 5_000)
    publisher.publish("ticks.test", ticks(), {}, 5_000)
    deadline = time.monotonic() + 10
    while subscriber.sequence("shard.test.1", "ticks.test") < last + 7:
        assert time.monotonic() < deadline
        subscriber.drain(now_ns=10_000)

    counters = subscriber.counters.sources["shard.test.1"]
    assert counters.batches - before == 3
    assert counters.rows == before + 4  # what joined it had one row each
    assert counters.missed == 4
    assert list(counters.lags_ns) == [9_000, 8_000, 5_000]


def test_a_sources_figures_tell_quantiles_in_milliseconds_and_the_deepest_queue(run_dir, opened):
    _, subscriber, _ = pair(run_dir, opened)
    counters = subscriber.counters.sources["shard.test.1"]
    counters.lags_ns.extend(range(1_000_000, 101_000_000, 1_000_000))
    counters.batches, counters.rows, counters.missed, counters.waiting_max = 100, 900, 2, 7

    assert subscriber.figures() == {
        "shard.test.1": {
            "batches": 100, "rows": 900, "gaps": 2, "recovered": 0, "waiting_max": 7,
            "lag_ms_p50": 50.0, "lag_ms_p99": 99.0,
        }
    }  # fmt: skip


def test_the_most_batches_that_waited_for_one_drain_are_remembered(run_dir, opened):
    publisher, subscriber, last = pair(run_dir, opened)
    counters = subscriber.counters.sources["shard.test.1"]
    counters.waiting_max = 0
    for price in (1.0, 2.0, 3.0):
        publisher.publish("ticks.test", ticks(price), {}, 0)
    deadline = time.monotonic() + 10
    deepest = 0
    while subscriber.sequence("shard.test.1", "ticks.test") < last + 3:
        assert time.monotonic() < deadline
        deepest = max(deepest, len(subscriber.drain()))

    assert counters.waiting_max == deepest >= 1


def publish_forever(run_dir, stop):
    publisher = TickPublisher(run_dir, "shard.test.1")
    while not stop.wait(0.001):
        publisher.publish("ticks.test", ticks(1.0, 2.0), {}, 0)


def test_batches_cross_processes_without_a_gap_even_when_the_publisher_is_killed(run_dir, opened):
    fork = multiprocessing.get_context("fork")
    subscriber = opened(TickSubscriber(run_dir, ["shard.test.1"]))
    subscriber.subscribe("ticks")

    for _life in range(2):
        stop = fork.Event()
        process = fork.Process(target=publish_forever, args=(run_dir, stop))
        process.start()
        batches = receive(subscriber, 20)
        process.kill()
        process.join()
        numbers = [batch.sequence for batch in batches if not batch.recovered]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        while subscriber.drain():
            pass

    assert subscriber.counters.missed == 0
