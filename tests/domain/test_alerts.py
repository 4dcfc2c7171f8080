"""domain.alerts: told once at the edge, held in the cool-down, quiet outside of the session."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.alerts import (
    CRITICAL,
    INFO,
    MESSAGE_CHARACTERS_MAX,
    PENDING_MAX,
    RISK,
    Alert,
    KeyState,
    Outbox,
    goes_out,
    hear,
    release,
)
from domain.clock import seconds

NOW = seconds(1_000_000)
COOLDOWN_S = 60.0


def alert(level=RISK, text="feed lost", key="breaker:x", at_s=0.0):
    return Alert(level, text, key, NOW + seconds(at_s))


def told(book, row, at_s=0.0, in_session=True):
    return hear(book, row, NOW + seconds(at_s), cooldown_s=COOLDOWN_S, in_session=in_session)


def test_the_first_of_a_key_is_told_at_once():
    book, verdict = told({}, alert())
    assert (verdict.code, verdict.alert) == ("TOLD", alert())
    assert book == {"breaker:x": KeyState(alert(), NOW)}


def test_within_the_cool_down_the_same_key_is_held_and_says_why():
    book, _ = told({}, alert())
    book, verdict = told(book, alert(text="again"), at_s=20)
    assert (verdict.code, verdict.alert) == ("COOLING", None)
    assert verdict.reason == "told 20 s ago; the next word on it is due in 40 s"


def test_what_was_held_is_told_when_the_cool_down_ends_with_its_count():
    book, _ = told({}, alert())
    for at_s, text in ((10, "second"), (20, "third")):
        book, _ = told(book, alert(text=text, at_s=at_s), at_s=at_s)
    book, due = release(book, NOW + seconds(59.9), cooldown_s=COOLDOWN_S)
    assert due == []
    book, due = release(book, NOW + seconds(60), cooldown_s=COOLDOWN_S)
    assert [row.line() for row in due] == ["RISK: third (2 times)"]
    assert book["breaker:x"].told_ns == NOW + seconds(60)  # and a cool-down begins anew


def test_a_key_that_holds_nothing_is_forgotten_after_its_cool_down():
    book, _ = told({}, alert())
    assert release(book, NOW + seconds(60), cooldown_s=COOLDOWN_S) == ({}, [])


def test_another_key_does_not_wait():
    book, _ = told({}, alert())
    assert told(book, alert(key="breaker:y"))[1].code == "TOLD"


def test_an_alert_without_a_key_is_its_own():
    book, _ = told({}, alert(key=""))
    assert told(book, alert(key=""))[1].code == "COOLING"
    assert told(book, alert(key="", text="another"))[1].code == "TOLD"


def test_a_graver_one_does_not_wait_for_the_cool_down():
    book, _ = told({}, alert(RISK))
    book, verdict = told(book, alert(CRITICAL), at_s=1)
    assert verdict.code == "TOLD"
    assert told(book, alert(RISK), at_s=2)[1].code == "COOLING"


def test_without_a_cool_down_all_are_told():
    book, _ = hear({}, alert(), NOW, cooldown_s=0.0, in_session=True)
    assert hear(book, alert(), NOW, cooldown_s=0.0, in_session=True)[1].code == "TOLD"


def test_a_clock_that_was_set_back_holds_nothing_for_long():
    book, _ = told({}, alert(), at_s=3600)
    assert told(book, alert())[1].code == "TOLD"


@pytest.mark.parametrize(
    ("key", "level", "code"),
    [
        ("feed:stale", RISK, "QUIET_OUTSIDE_SESSION"),
        ("feed.alpha:unplaced", RISK, "QUIET_OUTSIDE_SESSION"),
        ("shard.alpha.1:down", RISK, "QUIET_OUTSIDE_SESSION"),
        ("feed:all", CRITICAL, "TOLD"),
        ("reconcile:alpha:NIFTY", RISK, "TOLD"),
        ("feedback", RISK, "TOLD"),
    ],
)
def test_outside_of_the_session_market_data_is_quiet_and_nothing_else(key, level, code):
    assert told({}, alert(level, key=key), in_session=False)[1].code == code
    assert told({}, alert(level, key=key), in_session=True)[1].code == "TOLD"


def test_only_critical_and_risk_go_to_the_telephone():
    sent = [level for level in (CRITICAL, RISK, "SIGNAL", "REGIME", INFO) if goes_out(alert(level))]
    assert sent == [CRITICAL, RISK]


@given(st.lists(st.floats(0, 600), min_size=1, max_size=40))
def test_every_alert_is_told_or_counted_and_none_within_a_cool_down(moments):
    """Counts what is told; two of a key are never told less than a cool-down apart."""
    book, said = {}, []
    for at_s in sorted(moments):
        book, due = release(book, NOW + seconds(at_s), cooldown_s=COOLDOWN_S)
        said += [(at_s, row.count) for row in due]
        book, verdict = told(book, alert(at_s=at_s), at_s=at_s)
        said += [(at_s, 1)] if verdict.alert else []
    _, due = release(book, NOW + seconds(10_000), cooldown_s=COOLDOWN_S)
    said += [(10_000, row.count) for row in due]
    assert sum(count for _, count in said) == len(moments)
    times = [at_s for at_s, _ in said]
    assert all(b - a >= COOLDOWN_S - 1e-6 for a, b in itertools.pairwise(times))


def test_a_message_takes_what_fits_and_the_rest_waits():
    box = Outbox()
    for number in range(50):
        box = box.added(alert(text=f"{number:02d} " + "x" * 190))
    message = box.message("TOMIC")
    assert len(message.text) <= MESSAGE_CHARACTERS_MAX
    assert 1 < len(message.alerts) < 50
    assert box.sent(message).pending == box.pending[len(message.alerts) :]


def test_a_message_longer_than_any_is_cut_and_goes():
    message = Outbox().added(alert(text="x" * 9000)).message("TOMIC")
    assert (len(message.text), len(message.alerts)) == (MESSAGE_CHARACTERS_MAX, 1)


def test_a_full_outbox_drops_the_oldest_that_is_not_critical_and_tells_how_many():
    box = Outbox().added(alert(CRITICAL, text="stop"))
    for number in range(PENDING_MAX + 1):
        box = box.added(alert(text=str(number)))
    assert (len(box.pending), box.dropped) == (PENDING_MAX, 2)
    assert [row.text for row in box.pending[:2]] == ["stop", "2"]
    message = box.message("TOMIC")
    assert "2 older alerts found no room; they stand in the log" in message.text
    assert box.sent(message).dropped == 0


def test_what_comes_while_a_message_is_under_way_stays():
    box = Outbox().added(alert(text="first"))
    message = box.message("TOMIC")
    assert [row.text for row in box.added(alert(text="second")).sent(message).pending] == ["second"]


def pause_s(box):
    return (box.next_ns - NOW) / 1e9


def test_failures_wait_longer_each_time_up_to_five_minutes():
    box, pauses = Outbox().added(alert()), []
    for _ in range(11):
        box = box.failed(NOW, wait_s=0.0, lasting=False)
        pauses.append(pause_s(box))
    assert pauses == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]
    assert box.pending


def test_the_server_may_ask_for_more_patience_and_a_person_gets_the_longest():
    box = Outbox().added(alert())
    assert pause_s(box.failed(NOW, wait_s=17.0, lasting=False)) == 17
    assert pause_s(box.failed(NOW, wait_s=86_400.0, lasting=False)) == 300
    assert pause_s(box.failed(NOW, wait_s=0.0, lasting=True)) == 300
