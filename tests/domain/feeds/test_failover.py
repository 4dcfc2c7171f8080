"""domain.feeds.failover: when a feed is left, for which, and when it is taken back (`tomic.md`
11.2).
"""

from domain.clock import NS_PER_S
from domain.feeds.failover import (
    FeedHealth,
    after_close,
    after_report,
    after_restart,
    decide,
    why_unfit,
)

SEQUENCE = ("alpha", "beta")


def s(seconds):
    return int(seconds * NS_PER_S)


def live(since_s=0):
    return FeedHealth(state="live", live_since_ns=s(since_s))


def report(health, at_s, state="live", *, failures=0, disconnects=0, tick_s=0):
    return after_report(
        health, state=state, failures_in_row=failures, disconnects=disconnects,
        last_tick_ns=s(tick_s), now_ns=s(at_s),
    )  # fmt: skip


def choose(canonical, alpha, beta, at_s):
    return decide(SEQUENCE, canonical, {"alpha": alpha, "beta": beta}, s(at_s))


def test_two_failures_are_borne_and_the_third_is_not():
    assert choose("alpha", report(live(), 10, "down", failures=2), live(), 10) is None
    switch = choose("alpha", report(live(), 10, "down", failures=3), live(), 10)
    assert switch.to_broker == "beta"
    assert "3 failures in a row" in switch.reason


def test_failures_end_with_a_connection_for_who_is_canonical_and_with_a_tick_for_who_would_be():
    back = report(live(), 10, "live", failures=3)
    assert choose("alpha", back, live(), 10) is None
    assert choose("alpha", report(live(), 10, "down", failures=3), back, 10) is None


def test_three_disconnects_within_a_minute_are_too_many_and_over_two_minutes_are_not():
    quick, slow = live(), live()
    for count, at_s in enumerate((10, 40, 70), start=1):
        quick = report(quick, at_s, disconnects=count)
    for count, at_s in enumerate((10, 40, 71), start=1):
        slow = report(slow, at_s, disconnects=count)
    assert "3 disconnects" in why_unfit(quick, s(70))
    assert why_unfit(slow, s(71)) == ""
    assert why_unfit(quick, s(71)) == ""


def test_a_restarted_feed_counts_its_disconnects_from_nothing():
    health = report(live(), 10, disconnects=5)
    health = after_restart(health)
    health = report(health, 100, disconnects=1)
    assert health.disconnected_ns[-1] == s(100)


def test_fifteen_seconds_of_silence_counted_from_the_last_tick_are_too_long():
    health = report(live(), 105, "mute", tick_s=100)
    assert why_unfit(health, s(114.9)) == ""
    assert why_unfit(health, s(115)) == "connected but silent for 15 s"


def test_a_connection_made_anew_does_not_end_a_silence_but_a_tick_does():
    health = report(live(), 105, "mute", tick_s=100)
    health = report(health, 114, "down", tick_s=100)
    health = report(health, 115, "live", tick_s=100)
    assert why_unfit(health, s(116)) == "connected but silent for 15 s"
    health = report(health, 117, "live", tick_s=117)
    assert why_unfit(health, s(140)) == ""


def test_silence_after_the_close_is_not_held_against_a_feed():
    health = after_close(report(live(), 105, "mute", tick_s=100))
    assert why_unfit(health, s(500)) == ""


def test_a_refused_key_is_left_at_once():
    switch = choose("alpha", report(live(), 10, "refused"), live(), 10)
    assert "refused" in switch.reason


def test_a_feed_is_not_left_for_one_that_is_no_better():
    bad = report(live(), 10, "down", failures=3)
    assert choose("alpha", bad, bad, 10) is None
    assert choose("alpha", bad, FeedHealth(), 10) is None
    assert choose("alpha", bad, report(live(), 10, "mute", tick_s=5), 10) is None


def test_a_degraded_feed_still_serves():
    assert choose("alpha", report(live(), 10, "degraded"), live(), 10) is None
    switch = choose(
        "alpha", report(live(), 10, "down", failures=3), report(live(), 10, "degraded"), 10
    )
    assert switch.to_broker == "beta"
    assert not switch.is_return


def test_the_primary_is_taken_back_after_five_healthy_minutes_and_not_before():
    assert choose("beta", live(100), live(), 399.9) is None
    switch = choose("beta", live(100), live(), 400)
    assert (switch.to_broker, switch.is_return) == ("alpha", True)


def test_any_bad_moment_begins_the_five_minutes_anew():
    health = report(report(live(100), 390, "down"), 395, "live")
    assert choose("beta", health, live(), 690) is None
    assert choose("beta", health, live(), 695).to_broker == "alpha"


def test_a_flapping_primary_is_not_taken_back_while_it_flaps():
    health = live(0)
    for count, at_s in enumerate((350, 360, 370), start=1):
        health = report(health, at_s, disconnects=count)
    assert choose("beta", health, live(), 400) is None


def test_the_only_feed_stays_canonical_however_it_is():
    bad = report(live(), 10, "down", failures=9)
    assert decide(("alpha",), "alpha", {"alpha": bad}, s(10)) is None
