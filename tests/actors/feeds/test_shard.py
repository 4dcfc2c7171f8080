"""actors.feeds.shard: one socket through good and bad times."""

import pytest

from actors.feeds import shard as module
from actors.feeds.shard import Shard
from actors.runtime import ReplayPlan
from messages.market import (
    InstrumentsLoaded,
    SessionClosed,
    SessionOpened,
    ShardStateChanged,
    SubscribeListings,
)
from persistence.database import open_engine
from persistence.instruments import InstrumentStore
from tests.kit.feed_makers import DAY, PlayedStream, make_feed_runtime, make_listings
from tests.kit.recording_context import RecordingContext

OPENED = SessionOpened(day=DAY, opens_ns=0, closes_ns=1, intraday_exit_ns=1, square_off_ns=1)
CLOSED = SessionClosed(day=DAY, reason="after the close", next_opens_ns=0)


@pytest.fixture(autouse=True)
def streams(monkeypatch):
    """Streams in the order the shard made them."""
    monkeypatch.setattr(PlayedStream, "made", [])
    monkeypatch.setattr(
        module,
        "open_stream",
        lambda _e, _k, index, *, clock, steps: PlayedStream(index, steps=steps),
    )
    monkeypatch.setattr(module.random, "uniform", lambda *_: 0.0)
    return PlayedStream.made


@pytest.fixture
def runtime(tmp_path):
    return make_feed_runtime(tmp_path)


@pytest.fixture
def context(runtime):
    return RecordingContext("shard.alpha.1", runtime, instance="alpha")


@pytest.fixture
def shard(context):
    actor = Shard(context, None)
    actor.start()
    return actor


def play(context, stream, *events, ticks=()):
    stream.put(*events, ticks=ticks, at_ns=context.now_ns())
    context.readable(stream.descriptor)


def go_live(context, streams):
    play(context, streams[-1], "open", "authenticated")


def want(context, shard, *ids, mode=2):
    message = SubscribeListings(listing_ids=ids, modes=(mode,) * len(ids))
    context.deliver(shard, message)


def states(context):
    return [row.state for row in context.heard(ShardStateChanged)]


def test_a_shard_connects_and_tells_each_step(context, shard, streams):
    go_live(context, streams)
    assert states(context) == ["connecting", "authenticating", "live"]
    assert streams[0].opened


def test_nothing_is_subscribed_before_the_socket_is_authenticated(context, shard, streams):
    want(context, shard, 1, 2)
    play(context, streams[0], "open")
    assert streams[0].requests == []
    play(context, streams[0], "authenticated")
    assert streams[0].requests == [("subscribe", ["S1", "S2"], [2, 2])]


def test_only_what_changed_is_asked_for(context, shard, streams):
    go_live(context, streams)
    want(context, shard, 1, 2)
    context.deliver(shard, SubscribeListings(listing_ids=(2, 3, 1), modes=(2, 2, 3)))
    assert streams[0].requests[1:] == [
        ("unsubscribe", ["S1"], [2]),
        ("subscribe", ["S3", "S1"], [2, 3]),
    ]
    want(context, shard)
    assert streams[0].requests[-1] == ("unsubscribe", ["S2", "S3", "S1"], [2, 2, 3])


def test_the_ticks_of_a_wake_are_published_as_one_batch(context, shard, streams):
    go_live(context, streams)
    play(context, streams[0], ticks=[(1, 100.0), (2, 200.0)])
    ((topic, columns, _),) = context.published
    assert topic == "ticks.alpha"
    assert columns["ltp"].tolist() == [100.0, 200.0]


def test_a_lost_socket_is_made_again_after_doubling_pauses_with_all_subscriptions(
    context, shard, streams
):
    want(context, shard, 1)
    for pause_s in (1, 2, 4):
        go_live(context, streams)
        lost = streams[-1]
        play(context, lost, ("closed", "reset"))
        assert lost.closed
        context.advance(pause_s - 0.01)
        assert streams[-1] is lost
        context.advance(0.01)
        assert streams[-1] is not lost
    go_live(context, streams)
    assert streams[-1].requests == [("subscribe", ["S1"], [2])]
    assert context.heard(ShardStateChanged)[-1].reconnects == 3


def test_a_connection_that_never_stood_is_a_failure_and_no_disconnect(context, shard, streams):
    play(context, streams[0], ("closed", "refused"))
    last = context.heard(ShardStateChanged)[-1]
    assert (last.reconnects, last.failures_in_row) == (0, 1)


def test_failures_in_a_row_end_with_a_tick_and_not_with_a_connection(context, shard, streams):
    play(context, streams[-1], ("closed", "x"))
    context.advance(1)
    go_live(context, streams)
    assert context.heard(ShardStateChanged)[-1].failures_in_row == 1
    play(context, streams[-1], ticks=[(1, 1.0)])
    play(context, streams[-1], ("closed", "x"))
    assert context.heard(ShardStateChanged)[-1].failures_in_row == 1


def test_a_refused_key_is_tried_again_only_after_a_minute_and_a_person_is_told(
    context, shard, streams
):
    play(context, streams[0], "open", ("refused", "Invalid API key"))
    assert states(context)[-1] == "refused"
    assert "Invalid API key" in context.alerts[0].text
    context.advance(59.9)
    assert len(streams) == 1
    context.advance(0.1)
    assert len(streams) == 2


def test_the_fifth_attempt_alerts(context, shard, streams):
    for pause_s in (1, 2, 4, 8):
        play(context, streams[-1], ("closed", "x"))
        context.advance(pause_s)
    assert context.alerts == []
    play(context, streams[-1], ("closed", "x"))
    assert [alert.level for alert in context.alerts] == ["RISK"]


def test_a_socket_that_never_answers_the_authentication_is_given_up(context, shard, streams):
    play(context, streams[0], "open")
    context.advance(11)
    assert states(context)[-1] == "down"
    assert streams[0].closed


def silent_shard(context, shard, streams):
    context.deliver(shard, OPENED)
    go_live(context, streams)
    want(context, shard, 1)


def test_silence_in_session_is_mute_after_five_seconds_and_a_new_socket_after_fifteen(
    context, shard, streams
):
    silent_shard(context, shard, streams)
    context.advance(4)
    assert states(context)[-1] == "live"
    context.advance(1)
    assert states(context)[-1] == "mute"
    context.advance(9)
    assert len(streams) == 1
    context.advance(1)
    assert states(context)[-1] == "down"
    assert streams[0].closed


@pytest.mark.parametrize("phase_s", [0.1, 0.35, 0.99])
def test_a_silence_is_noticed_at_its_limit_whenever_it_began(context, shard, streams, phase_s):
    silent_shard(context, shard, streams)
    context.advance(phase_s)
    play(context, streams[0], ticks=[(1, 1.0)])
    context.advance(4.999)
    assert states(context)[-1] == "live"
    context.advance(0.001)
    assert states(context)[-1] == "mute"
    context.advance(10)
    assert states(context)[-1] == "down"


def test_a_tick_ends_a_silence(context, shard, streams):
    silent_shard(context, shard, streams)
    context.advance(6)
    play(context, streams[0], ticks=[(1, 1.0)])
    assert states(context)[-1] == "live"
    context.advance(4)
    assert states(context)[-1] == "live"


def test_silence_out_of_session_or_without_subscriptions_means_nothing(context, shard, streams):
    go_live(context, streams)
    context.advance(100)
    want(context, shard, 1)
    context.advance(100)
    context.deliver(shard, OPENED)
    context.deliver(shard, CLOSED)
    context.advance(100)
    assert states(context)[-1] == "live"
    assert len(streams) == 1


def test_while_ticks_come_a_silence_counts_though_nobody_told_of_a_session(context, shard, streams):
    go_live(context, streams)
    want(context, shard, 1)
    context.advance(6)
    play(context, streams[0], ticks=[(1, 1.0)])
    context.advance(5)
    assert states(context)[-1] == "mute"


def test_the_price_that_answers_a_subscription_is_no_sign_of_an_open_market(
    context, shard, streams
):
    go_live(context, streams)
    want(context, shard, 1)
    play(context, streams[0], ticks=[(1, 1.0)])
    context.advance(100)
    assert states(context)[-1] == "live"
    assert len(streams) == 1


def test_listings_of_a_newer_master_are_subscribed_when_it_is_loaded(
    context, shard, streams, runtime
):
    go_live(context, streams)
    want(context, shard, 1, 11)
    assert streams[0].requests == [("subscribe", ["S1"], [2])]
    engine = open_engine(runtime.database_url)
    InstrumentStore(engine).load(make_listings(11), "alpha", DAY)
    engine.dispose()

    context.deliver(shard, InstrumentsLoaded(broker="alpha", rows=11, day=DAY))

    assert streams[0].requests[-1] == ("subscribe", ["S11"], [2])
    assert len(streams[0].index) == 11


def test_ticks_go_on_while_a_new_master_is_read(context, shard, streams):
    go_live(context, streams)
    context.hold_work = True
    context.deliver(shard, InstrumentsLoaded(broker="alpha", rows=9, day=DAY))
    context.clear()
    play(context, streams[0], ticks=[(1, 100.0)])
    assert [topic for topic, _, _ in context.published] == ["ticks.alpha"]


def test_a_master_that_says_the_same_is_not_taken_again(context, shard, streams):
    go_live(context, streams)
    index = streams[0].index
    context.deliver(shard, InstrumentsLoaded(broker="alpha", rows=9, day=DAY))
    assert streams[0].index is index


def test_the_feed_hears_every_five_seconds_how_its_shard_is(context, shard, streams):
    go_live(context, streams)
    context.clear()
    context.advance(10)
    assert len(context.told_to("feed.alpha", ShardStateChanged)) == 2


def test_a_stopped_shard_closes_its_socket(context, shard, streams):
    shard.stop()
    assert streams[0].closed


@pytest.fixture
def replayed(tmp_path, streams):
    plan = ReplayPlan(tmp_path / "day.csv", None, 0.0, None, 60_000_000_000)
    context = RecordingContext(
        "shard.alpha.1", make_feed_runtime(tmp_path, replay=plan), instance="alpha"
    )
    actor = Shard(context, None)
    actor.start()
    return context, actor


def test_in_a_replay_a_round_waits_until_every_request_is_answered(replayed, streams):
    _, shard = replayed
    assert streams[0].steps
    streams[0].settled = False
    assert not shard.has_market_step(0)
    streams[0].settled = True
    assert shard.has_market_step(0)


def test_in_a_replay_no_round_waits_for_a_socket_that_is_gone(replayed, streams):
    context, shard = replayed
    play(context, streams[0], ("closed", "reset"))
    assert shard.has_market_step(5)


def test_in_a_replay_ticks_are_published_within_the_round_that_has_their_step(replayed, streams):
    context, shard = replayed
    go_live(context, streams)
    assert not shard.has_market_step(1)
    play(context, streams[0], ("step", "1"), ticks=[(1, 1.0)])
    play(context, streams[0], ("step", "2"), ticks=[(1, 2.0)])
    assert shard.has_market_step(2)
    assert not shard.has_market_step(3)
    assert context.published == []
    context.advance(0)
    ((_, columns, _),) = context.published
    assert columns["ltp"].tolist() == [1.0, 2.0]


def test_in_a_replay_silence_is_the_recordings(replayed, streams):
    context, shard = replayed
    context.deliver(shard, OPENED)
    go_live(context, streams)
    want(context, shard, 1)
    context.advance(600)
    assert len(streams) == 1
