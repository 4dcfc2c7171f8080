"""actors.feeds.feed: the balance over a broker's shards."""

import pytest

from actors.feeds.feed import Feed
from messages.lifecycle import NodeRestarted
from messages.market import (
    CarriageChanged,
    FeedStateChanged,
    ShardStateChanged,
    SubscribeListings,
)
from tests.kit.feed_makers import make_feed_runtime
from tests.kit.recording_context import RecordingContext

ONE, TWO = "shard.alpha.1", "shard.alpha.2"


@pytest.fixture
def context(tmp_path):
    return RecordingContext("feed.alpha", make_feed_runtime(tmp_path), instance="alpha")


@pytest.fixture
def feed(context):
    actor = Feed(context, None)
    actor.start()
    for name in (ONE, TWO):
        tell_state(context, actor, name, "live")
    return actor


def tell_state(context, feed, shard, state, **fields):
    fields = {"reason": "", "listings": 0, "reconnects": 0, "last_message_ns": 0} | fields
    context.deliver(feed, ShardStateChanged(shard=shard, broker="alpha", state=state, **fields))


def want(context, feed, *ids, mode=2):
    context.deliver(feed, SubscribeListings(listing_ids=ids, modes=(mode,) * len(ids)))


def part(context, shard):
    return context.told_to(shard, SubscribeListings)[-1].listing_ids


def live_on(context, feed, seconds, *shards):
    """Time passes while these shards tell that they are live."""
    for _ in range(seconds):
        for name in shards:
            tell_state(context, feed, name, "live")
        context.advance(1)


def test_listings_are_spread_evenly(context, feed):
    want(context, feed, 1, 2, 3, 4, 5)
    assert part(context, ONE) == (1, 3, 5)
    assert part(context, TWO) == (2, 4)


def test_a_change_tells_only_the_shards_it_concerns(context, feed):
    want(context, feed, 1, 2)
    context.clear()
    want(context, feed, 1, 2, 3)
    assert part(context, ONE) == (1, 3)
    assert context.told_to(TWO) == []


def test_a_new_mode_reaches_the_shard_that_carries_the_listing(context, feed):
    want(context, feed, 1, 2)
    context.clear()
    context.deliver(feed, SubscribeListings(listing_ids=(1, 2), modes=(3, 2)))
    assert context.told_to(ONE, SubscribeListings)[-1].modes == (3,)
    assert context.told_to(TWO) == []


def test_a_shard_that_is_down_for_five_seconds_loses_its_listings_to_the_other(context, feed):
    want(context, feed, 1, 2, 3, 4)
    tell_state(context, feed, ONE, "down", reason="reset")
    live_on(context, feed, 4, TWO)
    assert part(context, TWO) == (2, 4)
    live_on(context, feed, 2, TWO)
    assert part(context, TWO) == (2, 4, 1, 3)
    assert part(context, ONE) == ()


def test_a_blip_moves_nothing(context, feed):
    want(context, feed, 1, 2)
    context.clear()
    tell_state(context, feed, ONE, "down")
    live_on(context, feed, 3, TWO)
    live_on(context, feed, 10, ONE, TWO)
    assert context.told_to(ONE, SubscribeListings) == context.told_to(TWO, SubscribeListings) == []


def test_a_refused_shard_loses_its_listings_at_once(context, feed):
    want(context, feed, 1, 2)
    tell_state(context, feed, TWO, "refused")
    assert part(context, ONE) == (1, 2)


def test_a_shard_nobody_hears_of_loses_its_listings(context, feed):
    want(context, feed, 1, 2)
    live_on(context, feed, 14, ONE)
    assert part(context, ONE) == (1,)
    live_on(context, feed, 6, ONE)
    assert part(context, ONE) == (1, 2)


def test_a_shard_that_came_back_gets_its_share_after_a_minute_and_only_then_the_other_lets_go(
    context, feed
):
    want(context, feed, 1, 2, 3, 4)
    tell_state(context, feed, TWO, "refused")
    live_on(context, feed, 61, ONE, TWO)
    assert part(context, TWO) == (4, 2)
    assert part(context, ONE) == (1, 3, 2, 4)
    live_on(context, feed, 2, ONE, TWO)
    assert part(context, ONE) == (1, 3)


def test_with_no_shard_left_everything_stays_assigned(context, feed):
    want(context, feed, 1, 2)
    tell_state(context, feed, ONE, "refused")
    tell_state(context, feed, TWO, "refused")
    assert set(part(context, ONE) + part(context, TWO)) == {1, 2}


def test_a_shard_with_a_new_life_is_told_its_part_again(context, feed):
    want(context, feed, 1, 2)
    context.clear()
    again = NodeRestarted(name=TWO, life=2, reason="killed", handles_orders=False)
    context.deliver(feed, again)
    assert part(context, TWO) == (2,)
    assert context.told_to(ONE) == []


def test_listings_without_room_are_the_last_ones_and_alerted(context, feed):
    want(context, feed, *range(1, 2003))
    assert len(part(context, ONE)) == len(part(context, TWO)) == 1000
    assert set(part(context, ONE) + part(context, TWO)) == set(range(1, 2001))
    assert "2 listings" in context.alerts[0].text


def test_the_feed_is_announced_when_it_changes_and_not_otherwise(context, feed):
    context.clear()
    tell_state(context, feed, ONE, "mute", last_message_ns=7, reconnects=1, failures_in_row=1)
    (view,) = context.heard(FeedStateChanged)
    assert (view.state, view.connected, view.shards) == ("degraded", 2, 2)
    assert (view.disconnects, view.failures_in_row, view.last_message_ns) == (1, 0, 7)
    tell_state(context, feed, ONE, "mute", last_message_ns=8, reconnects=1, failures_in_row=1)
    assert len(context.heard(FeedStateChanged)) == 1


def test_the_selector_hears_of_the_feed_every_five_seconds(context, feed):
    context.clear()
    context.advance(10)
    assert len(context.told_to("feed_selector", FeedStateChanged)) == 2


def test_another_brokers_shards_are_not_its_business(context, feed):
    tell_state(context, feed, "shard.beta.1", "down")
    assert context.heard(FeedStateChanged)[-1].state == "live"


def carriage(context):
    return [
        dict(zip(row.listing_ids, row.since_ns, strict=True))
        for row in context.heard(CarriageChanged)
    ]


def test_one_lost_socket_of_two_is_told_with_its_listings_and_the_moment_of_its_last_tick(
    context, feed
):
    want(context, feed, 1, 2, 3, 4)
    tell_state(context, feed, ONE, "down", last_message_ns=77)
    assert carriage(context) == [{1: 77, 3: 77}]
    live_on(context, feed, 6, TWO)  # the other socket takes them over
    assert carriage(context) == [{1: 77, 3: 77}, {}]


def test_a_socket_that_is_refused_loses_its_listings_at_once_and_its_outage_is_still_told(
    context, feed
):
    want(context, feed, 1, 2)
    tell_state(context, feed, TWO, "refused", last_message_ns=77)
    assert carriage(context) == [{2: 77}, {}]


def test_a_shard_with_a_new_life_was_not_heard_since_the_last_tick_it_told(context, feed):
    want(context, feed, 1, 2)
    tell_state(context, feed, ONE, "live", last_message_ns=77)
    tell_state(context, feed, ONE, "connecting")
    tell_state(context, feed, ONE, "live")
    assert carriage(context) == [{1: 77}, {}]


def test_a_shard_nobody_hears_of_lost_its_listings_with_its_last_tick(context, feed):
    want(context, feed, 1, 2)
    tell_state(context, feed, TWO, "live", last_message_ns=77)
    live_on(context, feed, 20, ONE)
    assert carriage(context) == [{2: 77}, {}]


def test_silence_is_no_loss(context, feed):
    want(context, feed, 1, 2)
    tell_state(context, feed, ONE, "mute", last_message_ns=77)
    assert carriage(context) == []


def test_who_has_a_new_life_hears_again_what_is_not_carried(context, feed):
    again = NodeRestarted(name="bar_builder", life=2, reason="killed", handles_orders=False)
    context.deliver(feed, again)
    assert carriage(context) == []
    for name in (ONE, TWO):
        tell_state(context, feed, name, "down", last_message_ns=77)
    want(context, feed, 1)
    context.deliver(feed, again)
    assert len(carriage(context)) == 2
    assert carriage(context)[0] == carriage(context)[1] == {1: context.now_ns()}
