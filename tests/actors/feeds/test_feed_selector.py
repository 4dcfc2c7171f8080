"""actors.feeds.feed_selector: leaving a feed, coming back, and telling so."""

import numpy as np
import pytest

from actors.feeds import feed_selector as module
from actors.feeds.feed_selector import FIRST_DECISION_AFTER_S, FeedSelector
from domain.prices import TICK_DTYPE
from messages.lifecycle import NodeRestarted
from messages.market import FeedStateChanged, FeedSwitched, SessionClosed, SessionOpened
from tests.kit.feed_makers import DAY, make_feed_runtime
from tests.kit.recording_context import START_NS, RecordingContext


@pytest.fixture
def context(tmp_path):
    return RecordingContext("feed_selector", make_feed_runtime(tmp_path))


@pytest.fixture
def selector(context):
    actor = FeedSelector(context, None)
    actor.start()
    context.advance(FIRST_DECISION_AFTER_S)
    for broker in ("alpha", "beta"):
        tell(context, actor, broker, "live")
    return actor


def tell(context, selector, broker, state, **fields):
    fields = {
        "reason": "", "connected": 2, "shards": 2, "listings": 42, "disconnects": 0,
        "failures_in_row": 0, "last_message_ns": context.now_ns(),
    } | fields  # fmt: skip
    context.deliver(selector, FeedStateChanged(broker=broker, state=state, **fields))


def restarted(name):
    return NodeRestarted(name=name, life=2, reason="killed", handles_orders=False)


def fail_over(context, selector):
    tell(context, selector, "alpha", "down", failures_in_row=3, connected=0, reason="reset")


def test_good_feeds_are_left_alone(context, selector):
    context.advance(600)
    assert context.heard(FeedSwitched) == []


def test_an_unfit_feed_is_left_for_the_next_and_a_person_is_told(context, selector):
    fail_over(context, selector)
    (switch,) = context.heard(FeedSwitched)
    assert (switch.from_broker, switch.to_broker, switch.using_fallback) == ("alpha", "beta", True)
    assert "3 failures in a row" in switch.reason
    assert [alert.level for alert in context.alerts] == ["RISK"]


def test_at_a_start_the_feed_that_connects_first_does_not_win(context):
    selector = FeedSelector(context, None)
    selector.start()
    tell(context, selector, "beta", "live")
    fail_over(context, selector)
    context.advance(14)
    assert context.heard(FeedSwitched) == []
    context.advance(1)
    assert context.heard(FeedSwitched)[0].to_broker == "beta"


def test_silence_is_noticed_by_the_clock_alone(context, selector):
    tell(context, selector, "alpha", "mute", last_message_ns=context.now_ns() - 5 * 10**9)
    context.advance(9)
    assert context.heard(FeedSwitched) == []
    context.advance(1)
    assert context.heard(FeedSwitched)[0].to_broker == "beta"


def test_the_primary_is_taken_back_after_five_healthy_minutes(context, selector):
    fail_over(context, selector)
    tell(context, selector, "alpha", "live")
    context.advance(299)
    assert len(context.heard(FeedSwitched)) == 1
    context.advance(1)
    back = context.heard(FeedSwitched)[1]
    assert (back.from_broker, back.to_broker, back.using_fallback) == ("beta", "alpha", False)


def test_more_than_three_failovers_a_day_are_critical(context, selector):
    for _ in range(4):
        assert [alert for alert in context.alerts if alert.level == "CRITICAL"] == []
        fail_over(context, selector)
        tell(context, selector, "alpha", "live")
        context.advance(301)
    assert "4 feed failovers" in next(a.text for a in context.alerts if a.level == "CRITICAL")


def test_failovers_of_yesterday_do_not_count(context, selector):
    for _ in range(4):
        fail_over(context, selector)
        tell(context, selector, "alpha", "live")
        context.stall(86_400)
    assert [alert for alert in context.alerts if alert.level == "CRITICAL"] == []


def test_the_close_ends_a_silence(context, selector):
    tell(context, selector, "alpha", "mute")
    context.deliver(selector, SessionClosed(day=DAY, reason="after the close", next_opens_ns=0))
    context.advance(3600)
    assert context.heard(FeedSwitched) == []


def test_a_consumer_with_a_new_life_hears_of_the_fallback_again(context, selector):
    context.deliver(selector, restarted("chain_keeper"))
    assert context.heard(FeedSwitched) == []
    fail_over(context, selector)
    context.deliver(selector, restarted("shard.beta.1"))
    assert len(context.heard(FeedSwitched)) == 1
    context.deliver(selector, restarted("chain_keeper"))
    ((name, again),) = context.told
    assert (name, again.to_broker) == ("chain_keeper", "beta")
    assert len(context.heard(FeedSwitched)) == 1


def new_life(context, *, life=2, after_s=0):
    again = RecordingContext(
        "feed_selector", context.runtime, life=life, now_ns=context.now_ns() + after_s * 10**9
    )
    selector = FeedSelector(again, None)
    selector.start()
    return again, selector


def test_a_new_life_of_the_selector_makes_everyone_believe_the_primary(tmp_path):
    context = RecordingContext("feed_selector", make_feed_runtime(tmp_path), life=2)
    FeedSelector(context, None).start()
    (switch,) = context.heard(FeedSwitched)
    assert (switch.to_broker, switch.using_fallback) == ("alpha", False)


@pytest.mark.parametrize("life", [1, 2])
def test_a_new_life_stays_with_the_fallback_until_the_primary_has_been_healthy(
    context, selector, life
):
    fail_over(context, selector)
    again, selector = new_life(context, life=life)
    (switch,) = again.heard(FeedSwitched)
    assert (switch.to_broker, switch.using_fallback) == ("beta", True)
    tell(again, selector, "beta", "live")
    tell(again, selector, "alpha", "live")
    again.advance(299)
    assert len(again.heard(FeedSwitched)) == 1
    again.advance(1)
    assert again.heard(FeedSwitched)[-1].to_broker == "alpha"
    third, _ = new_life(again)
    assert third.heard(FeedSwitched)[0].to_broker == "alpha"


def test_a_new_life_decides_at_once(context, selector):
    again, selector = new_life(context)
    tell(again, selector, "beta", "live")
    fail_over(again, selector)
    assert again.heard(FeedSwitched)[-1].to_broker == "beta"


def test_failovers_before_a_restart_count(context, selector):
    for _ in range(3):
        fail_over(context, selector)
        tell(context, selector, "alpha", "live")
        context.advance(301)
    again, selector = new_life(context)
    again.advance(1)
    assert again.reports[-1]["failovers_today"] == 3
    tell(again, selector, "beta", "live")
    fail_over(again, selector)
    assert [row.level for row in again.alerts] == ["RISK", "CRITICAL"]


def test_the_next_day_begins_with_the_primary(context, selector):
    fail_over(context, selector)
    again, _ = new_life(context, after_s=86_400)
    assert again.heard(FeedSwitched)[0].to_broker == "alpha"


def test_a_feed_that_is_no_more_in_the_sequence_is_not_gone_back_to(context, selector):
    fail_over(context, selector)
    context.runtime.feed_sequence = ("alpha",)
    again, _ = new_life(context)
    assert again.heard(FeedSwitched)[0].to_broker == "alpha"


def test_a_choice_that_cannot_be_kept_still_holds_and_is_alerted(context, selector, monkeypatch):
    def full(_engine, _latch):
        raise OSError("disk full")

    monkeypatch.setattr(module, "write_latch", full)
    fail_over(context, selector)
    assert context.heard(FeedSwitched)[-1].to_broker == "beta"
    assert "disk full" in "".join(alert.text for alert in context.alerts)


def test_the_status_shows_the_canonical_feed_and_no_key(context, selector):
    ticks = np.zeros(3, TICK_DTYPE)
    ticks["listing"], ticks["received_ns"] = [1, 2, 1], context.now_ns()
    context.feed("ticks.alpha", ticks)
    context.advance(3)
    body = context.reports[-1]
    assert body["latest_tick_cache"] == 2
    assert body["connected"] is True
    assert body["url"] == "ws://alpha"
    assert body["last_message_age_s"] == 3.0
    assert body["api_key_configured"] is True
    fail_over(context, selector)
    body = context.reports[-1]
    assert (body["url"], body["using_fallback"]) == ("ws://beta", True)
    assert (body["last_error"], body["last_error_age_s"]) == ("reset", 0.0)
    assert "key-0123456789" not in str(context.reports)


def test_before_any_tick_the_age_is_minus_one(context):
    selector = FeedSelector(context, None)
    selector.start()
    context.advance(1)
    assert context.reports[-1]["last_message_age_s"] == -1.0
    assert context.now_ns() == START_NS + 10**9


def opened(context, selector):
    message = SessionOpened(day=DAY, opens_ns=0, closes_ns=1, intraday_exit_ns=1, square_off_ns=1)
    context.deliver(selector, message)


def alerted(context):
    return [alert.dedupe_key for alert in context.alerts]


def test_in_session_a_feed_that_is_lost_and_back_is_told_at_both_edges(context, selector):
    opened(context, selector)
    tell(context, selector, "beta", "down", reason="reset")
    context.advance(4)
    assert alerted(context) == []
    context.advance(30)
    assert alerted(context) == ["feed:beta"]
    tell(context, selector, "beta", "live")
    assert alerted(context) == ["feed:beta", "feed:beta:back"]


def test_a_minute_without_ticks_is_told_and_so_is_the_next_tick(context, selector):
    opened(context, selector)
    context.advance(61)
    assert alerted(context) == ["feed:stale"]
    ticks = np.zeros(1, TICK_DTYPE)
    ticks["received_ns"] = context.now_ns()
    context.feed("ticks.alpha", ticks)
    context.advance(1)
    assert alerted(context) == ["feed:stale", "feed:stale:back"]


def test_outside_of_the_session_no_feed_is_told_of(context, selector):
    opened(context, selector)
    context.deliver(selector, SessionClosed(day=DAY, reason="after the close", next_opens_ns=0))
    tell(context, selector, "beta", "down", reason="reset")
    context.advance(300)
    assert alerted(context) == []
