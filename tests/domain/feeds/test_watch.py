"""domain.feeds.watch: what a person is told of the feeds, at the edges only."""

from __future__ import annotations

from domain.clock import seconds
from domain.feeds.watch import FeedSigns, FeedWatch, watch_feeds

NOW = seconds(1_000_000)


def at(of_s):
    return NOW + seconds(of_s)


def live(tick_s):
    return FeedSigns("live", "", 0, at(tick_s))


def down(since_s, state="down", reason="reset", tick_s=0.0):
    return FeedSigns(state, reason, at(since_s), at(tick_s))


def look(told, now_s, alpha, beta, stale_after_s=60.0):
    feeds = {"alpha": alpha, "beta": beta}
    watch, alerts = watch_feeds(told, feeds, "alpha", at(now_s), stale_after_s=stale_after_s)
    return watch, [(row.level, row.key, row.text) for row in alerts]


WATCH = FeedWatch(NOW)


def test_feeds_that_work_give_nothing_to_say():
    assert look(WATCH, 100, live(99), live(99)) == (WATCH, [])


def test_a_lost_feed_is_told_once_after_five_seconds_and_once_when_it_is_back():
    watch, alerts = look(WATCH, 104.9, live(104), down(100))
    assert alerts == []
    watch, alerts = look(watch, 105, live(104), down(100))
    assert alerts == [("RISK", "feed:beta", "the feed of beta is disconnected: reset")]
    watch, alerts = look(watch, 106, live(105), down(100))
    assert alerts == []
    watch, alerts = look(watch, 107, live(106), live(107))
    assert alerts == [("INFO", "feed:beta:back", "the feed of beta is connected again")]


def test_a_refused_key_is_told_at_once():
    _, alerts = look(WATCH, 100, live(99), down(100, "refused", "Invalid API key"))
    assert alerts == [
        ("RISK", "feed:beta", "the feed of beta was refused by its server: Invalid API key")
    ]


def test_feeds_that_are_still_connecting_when_the_session_opens_get_their_time():
    """They have been down for hours; the five seconds count from the open."""
    assert look(WATCH, 4.9, live(4), down(-3600))[1] == []
    assert look(WATCH, 5.0, live(4), down(-3600))[1] != []


def test_a_minute_without_a_tick_is_told_once_and_its_end_too():
    watch, alerts = look(WATCH, 69.9, live(10), live(69))
    assert alerts == []
    watch, alerts = look(watch, 70, live(10), live(69))
    text = "no tick from alpha for 60 s; entries are blocked, exits go on"
    assert alerts == [("RISK", "feed:stale", text)]
    assert look(watch, 90, live(10), live(89))[1] == []
    watch, alerts = look(watch, 91, live(91), live(89))
    assert alerts == [("INFO", "feed:stale:back", "ticks come again, from alpha")]


def test_the_silence_of_the_night_is_not_counted():
    assert look(WATCH, 59, live(-50_000), live(1))[1] == []


def test_the_limit_is_the_operators():
    assert look(WATCH, 20, live(10), live(19), stale_after_s=10.0)[1] != []


def test_no_feed_for_a_minute_is_critical():
    told = FeedWatch(NOW, frozenset({"alpha", "beta"}), "alpha")
    watch, alerts = look(told, 159, down(90), down(100, "mute"))
    assert ("CRITICAL", "feed:all") not in [row[:2] for row in alerts]
    watch, alerts = look(watch, 160, down(90), down(100, "mute"))
    assert [row[:2] for row in alerts] == [("CRITICAL", "feed:all")]
    watch, alerts = look(watch, 170, live(170), down(100))
    assert ("INFO", "feed:all:back") in [row[:2] for row in alerts]
