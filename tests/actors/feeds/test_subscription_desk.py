"""actors.feeds.subscription_desk: many wishes, one subscription."""

import pytest

from actors.feeds.subscription_desk import SubscriptionDesk
from messages.lifecycle import NodeRestarted
from messages.market import SubscribeListings, WantListings
from tests.kit.feed_makers import make_feed_runtime
from tests.kit.recording_context import RecordingContext


@pytest.fixture
def context(tmp_path):
    return RecordingContext("subscription_desk", make_feed_runtime(tmp_path, listings=0))


@pytest.fixture
def desk(context):
    actor = SubscriptionDesk(context, None)
    actor.start()
    return actor


def want(context, desk, owner, *ids, mode=1, pinned=False):
    message = WantListings(owner=owner, listing_ids=ids, mode=mode, pinned=pinned)
    context.deliver(desk, message)


def told(context, broker="alpha"):
    return [
        dict(zip(row.listing_ids, row.modes, strict=True))
        for row in context.told_to(f"feed.{broker}", SubscribeListings)
    ]


def test_every_feed_hears_the_union_in_the_highest_mode(context, desk):
    want(context, desk, "bar_builder", 1, 2, mode=2)
    want(context, desk, "chain_keeper", 2, 3, mode=3)
    assert told(context) == [{1: 2, 2: 2}, {1: 2, 2: 3, 3: 3}]
    assert told(context, "beta") == told(context)


def test_a_wish_replaces_the_one_before_and_an_empty_one_ends_it(context, desk):
    want(context, desk, "a", 1, 2)
    want(context, desk, "a", 3)
    want(context, desk, "b", 3, 4)
    want(context, desk, "a")
    assert told(context)[-1] == {3: 1, 4: 1}


def test_what_another_owner_still_wants_is_not_dropped(context, desk):
    want(context, desk, "a", 1)
    want(context, desk, "b", 1)
    context.clear()
    want(context, desk, "a")
    assert told(context) == []


def test_pinned_listings_stand_first_so_that_they_are_the_last_to_go(context, desk):
    want(context, desk, "chain_keeper", 1, 2, 3)
    want(context, desk, "positions", 3, 9, pinned=True)
    assert list(told(context)[-1]) == [3, 9, 1, 2]


def test_a_wish_that_changes_nothing_is_told_to_nobody(context, desk):
    want(context, desk, "a", 1, 2)
    want(context, desk, "a", 1, 2)
    assert len(told(context)) == 1


def test_a_feed_with_a_new_life_is_told_again_and_no_other(context, desk):
    want(context, desk, "a", 1)
    context.clear()
    again = NodeRestarted(name="feed.beta", life=2, reason="killed", handles_orders=False)
    context.deliver(desk, again)
    assert told(context, "beta") == [{1: 1}]
    assert told(context, "alpha") == []


def test_a_new_life_of_the_desk_waits_for_all_owners_before_it_speaks(tmp_path):
    runtime = make_feed_runtime(tmp_path, listings=0)
    context = RecordingContext("subscription_desk", runtime, life=2)
    desk = SubscriptionDesk(context, None)
    desk.start()
    want(context, desk, "a", 1)
    context.advance(1)
    want(context, desk, "b", 2)
    assert told(context) == []
    context.advance(1)
    assert told(context) == [{1: 1, 2: 1}]
