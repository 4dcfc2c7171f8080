"""The session clock tells the day's opening and close, and tells them again to who forgot."""

from __future__ import annotations

from datetime import date, time
from pathlib import Path

import numpy as np
import pytest

from actors.actor import NoSettings
from actors.market.session_clock import SessionClock
from actors.runtime import ReplayPlan
from domain.prices import TICK_DTYPE
from domain.settings import Settings
from domain.tape import TapedRun
from messages.lifecycle import NodeRestarted
from messages.market import SessionClosed, SessionOpened
from tests.kit.market_makers import at

MONDAY, TUESDAY = date(2026, 11, 23), date(2026, 11, 24)


def started(context) -> SessionClock:
    clock = SessionClock(context, NoSettings())
    clock.start()
    return clock


def test_a_start_in_session_tells_that_it_is_open(market):
    context = market.context("session_clock", at(10, 0))
    started(context)
    (told,) = context.announced
    assert isinstance(told, SessionOpened)
    assert (told.opens_ns, told.closes_ns) == (at(9, 15), at(15, 40))
    assert (told.intraday_exit_ns, told.square_off_ns) == (at(15, 0), at(15, 15))
    assert not told.always_open


def test_the_day_opens_and_closes_on_time_and_the_next_session_skips_weekend_and_holiday(market):
    context = market.context("session_clock", at(9, 0))
    started(context)
    assert context.announced[-1].reason == "before the open"
    context.advance(15 * 60 - 0.001)
    assert len(context.announced) == 1
    context.advance(0.001)
    assert isinstance(context.announced[-1], SessionOpened)
    context.advance((at(15, 40) - at(9, 15)) / 1e9)
    closed = context.announced[-1]
    assert isinstance(closed, SessionClosed)
    assert closed.reason == "after the close"
    assert closed.next_opens_ns == at(9, 15, day=TUESDAY)


def test_a_holiday_is_named(market):
    context = market.context("session_clock", at(11, 0, day=MONDAY))
    started(context)
    assert context.announced[0].reason == "a holiday"


def test_a_clock_that_jumped_is_noticed_within_a_minute(market):
    context = market.context("session_clock", at(9, 0))
    started(context)
    context._now_ns = at(12, 0)  # the machine slept
    context.advance(60)
    assert isinstance(context.announced[-1], SessionOpened)


def test_a_restarted_actor_is_told_the_state_again(market):
    context = market.context("session_clock", at(10, 0))
    clock = started(context)
    restart = NodeRestarted(name="shard.alpha.1", life=2, reason="killed", handles_orders=False)
    context.deliver(clock, restart)
    assert [type(told) for told in context.announced] == [SessionOpened]
    ((name, told),) = context.told
    assert (name, type(told)) == ("shard.alpha.1", SessionOpened)
    assert told.day == context.announced[0].day


def test_the_sandbox_is_open_on_a_sunday_night_and_begins_anew_at_midnight(market):
    sunday = date(2026, 11, 22)
    context = market.context("session_clock", at(23, 59, day=sunday), sandbox=True)
    started(context)
    context.advance(61)
    first, second = context.announced
    assert first.always_open
    assert (first.day, second.day) == (sunday, MONDAY)
    assert second.opens_ns == first.closes_ns
    assert first.square_off_ns > first.closes_ns


def test_a_replay_on_the_sandbox_keeps_the_hours_of_its_day(market):
    plan = ReplayPlan(Path("session.csv"), None, 0.0, None, 0)
    context = market.context("session_clock", at(16, 0), sandbox=True, replay=plan)
    started(context)
    assert isinstance(context.announced[0], SessionClosed)


@pytest.mark.parametrize(
    ("zone", "closes"),
    [("Europe/London", at(15, 30)), ("Asia/Kolkata", at(10, 0)), ("No/Where", at(10, 0))],
)
def test_the_hours_of_the_settings_are_read_in_their_zone(market, zone, closes):
    # In November 10:00 in London is 15:30 in India.
    settings = Settings(market_close=time(10, 0), market_tz=zone)
    context = market.context("session_clock", at(9, 30), settings=settings)
    started(context)
    assert context.announced[0].closes_ns == closes


def test_a_replay_of_a_sandbox_that_never_closed_does_not_close(market):
    run = TapedRun("d/1", {"always_open": True}, 0, 0, True, (), np.zeros(0, TICK_DTYPE))
    plan = ReplayPlan(Path("d"), None, 0.0, None, 0, taped=run)
    context = market.context("session_clock", at(16, 0), sandbox=True, replay=plan)
    started(context)
    assert isinstance(context.announced[0], SessionOpened)


def test_settings_narrow_the_session_and_never_widen_it(market):
    settings = Settings(market_open=time(9, 0), market_close=time(14, 0))
    context = market.context("session_clock", at(10, 0), settings=settings)
    started(context)
    told = context.announced[0]
    assert (told.opens_ns, told.closes_ns) == (at(9, 15), at(14, 0))
    assert told.square_off_ns == at(14, 0)
    context.advance(4 * 3600)
    assert context.announced[-1].reason == "outside the hours set by the operator"
