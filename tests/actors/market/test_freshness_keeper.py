"""The freshness keeper: a mark each second, the gate, and the heartbeat line."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest

from actors.actor import NoSettings
from actors.market.freshness_keeper import FreshnessKeeper
from domain.clock import seconds
from domain.instruments import Kind
from domain.positions import BookSnapshot, Position
from domain.prices import BAR_DTYPE, CHAIN_DTYPE
from domain.readings import ChainSummary
from messages.market import (
    ChainSummarised,
    FeedStateChanged,
    FeedSwitched,
    FreshnessMarked,
    SessionClosed,
    SessionOpened,
    WarmStartReported,
)
from messages.trading import PositionChanged
from tests.kit.market_makers import DAY, EXPIRIES, at, make_ticks

PUT = "NIFTY24NOV2624000PE"


class Lines:
    """Stands in for the log."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def log(self, level, text, *parts):
        self.told.append((level, text.format(*parts)))


@pytest.fixture
def keep(market):
    context = market.context("freshness_keeper", at(10, 0))
    context.log = Lines()
    keeper = FreshnessKeeper(context, NoSettings())
    keeper.start()
    warm_up(context, keeper, "ok")
    return context, keeper


def warm_up(context, keeper, status, message=""):
    report = WarmStartReported(consumer="bars", status=status, message=message, bars=0)
    context.deliver(keeper, report)


def open_session(context, keeper):
    opened = SessionOpened(
        day=DAY, opens_ns=at(9, 15), closes_ns=at(15, 40), intraday_exit_ns=0, square_off_ns=0
    )
    context.deliver(keeper, opened)


def ids(market, *symbols):
    found = [
        market.index.find("NFO", name) or market.index.get("NSE_INDEX", name) for name in symbols
    ]
    return [row.listing_id for row in found]


def tick(context, market, *symbols, mode=3):
    rows = [(listing_id, context.now_ns(), 100.0) for listing_id in ids(market, *symbols)]
    context.feed("ticks.alpha", make_ticks(*rows, mode=mode))


def chain(context, market, *symbols):
    columns = np.zeros(len(symbols), CHAIN_DTYPE)
    columns["listing"] = ids(market, *symbols)
    context.feed("chain.NIFTY.24NOV26", columns)


def bar(context, warm=False):
    context.feed("bars.1m", np.zeros(1, BAR_DTYPE), warm=warm)


def summary(as_of_ns):
    return ChainSummary(
        underlying="NIFTY", expiry=EXPIRIES[0], spot=1.0, forward=1.0, atm_strike=1.0, atm_iv=0.14,
        put_iv_25d=0.1, call_iv_25d=0.1, put_call_ratio=float("nan"), max_pain=24_000.0,
        days_to_expiry=4.0, iv_source="feed", as_of_ns=as_of_ns,
    )  # fmt: skip


def mark(context):
    return context.heard(FreshnessMarked)[-1].mark


def test_a_mark_comes_each_second_and_expires_after_three(keep):
    context, _ = keep
    context.advance(2)
    first, second = (row.mark for row in context.heard(FreshnessMarked))
    assert second.as_of_ns - first.as_of_ns == seconds(1)
    assert second.expires_ns - second.as_of_ns == seconds(3)


def test_outside_a_session_a_mark_comes_every_ten_seconds_and_with_the_session_at_once(keep):
    context, keeper = keep
    context.deliver(keeper, SessionClosed(day=DAY, reason="a holiday", next_opens_ns=0))
    context.advance(41)
    marks = [row.mark for row in context.heard(FreshnessMarked)]
    assert len(marks) == 5
    assert marks[-1].expires_ns - marks[-1].as_of_ns == seconds(30)
    open_session(context, keeper)
    context.advance(3)
    assert len(context.heard(FreshnessMarked)) == 8


def test_a_mark_tells_when_each_quote_came_and_leaves_out_what_never_came(keep, market):
    context, _ = keep
    chain(context, market, PUT, "NIFTY24NOV2624000CE")
    tick(context, market, "NIFTY", PUT)
    seen_ns = context.now_ns()
    context.advance(1)
    assert mark(context).quotes_ns == {"NIFTY": seen_ns, PUT: seen_ns}
    assert mark(context).vix_ns == 0
    tick(context, market, "INDIAVIX")
    context.advance(1)
    assert mark(context).vix_ns == seen_ns + seconds(1)


def test_an_options_tick_never_refreshes_its_underlying(keep, market):
    context, _ = keep
    chain(context, market, PUT)
    tick(context, market, "NIFTY")
    old_ns = context.now_ns()
    context.advance(4)
    tick(context, market, PUT)
    context.advance(1)
    assert mark(context).quotes_ns["NIFTY"] == old_ns


def test_depth_counts_only_where_depth_came(keep, market):
    context, _ = keep
    tick(context, market, "NIFTY", mode=2)
    context.advance(1)
    assert mark(context).depth_ns == {}
    tick(context, market, "NIFTY", mode=3)
    context.advance(1)
    assert list(mark(context).depth_ns) == ["NIFTY"]


def test_another_brokers_ticks_do_not_count_until_the_feed_switches(keep, market):
    context, keeper = keep
    rows = make_ticks((ids(market, "NIFTY")[0], context.now_ns(), 100.0))
    context.feed("ticks.beta", rows)
    context.advance(1)
    assert mark(context).quotes_ns == {}
    assert mark(context).switched_ns == 0
    switch = FeedSwitched(from_broker="alpha", to_broker="beta", reason="", using_fallback=True)
    context.deliver(keeper, switch)
    context.feed("ticks.beta", rows)
    context.advance(1)
    assert list(mark(context).quotes_ns) == ["NIFTY"]
    assert mark(context).switched_ns == at(10, 0, 1)


@pytest.mark.parametrize(
    ("left", "now"), [("", "alpha"), ("beta", "beta")], ids=["a selector anew", "told again"]
)
def test_a_word_that_names_the_feed_anew_is_no_switch(keep, left, now):
    context, keeper = keep
    word = FeedSwitched(from_broker=left, to_broker=now, reason="", using_fallback=False)
    context.deliver(keeper, word)
    context.advance(1)
    assert mark(context).switched_ns == 0


def test_readings_of_a_chain_count_only_when_they_are_numbers(keep):
    context, keeper = keep
    context.deliver(keeper, ChainSummarised(summary=summary(77)))
    context.advance(1)
    told = mark(context)
    assert (told.iv_ns, told.pcr_ns, told.max_pain_ns) == ({"NIFTY": 77}, {}, {"NIFTY": 77})
    assert context.reports[-1]["pcr"] == -1.0


def test_an_expiry_with_old_quotes_makes_no_fresher_one_older(keep):
    context, keeper = keep
    now_ns = context.now_ns()
    for as_of_ns in (now_ns, now_ns - seconds(50)):
        context.deliver(keeper, ChainSummarised(summary=summary(as_of_ns)))
    context.advance(1)
    assert mark(context).iv_ns == {"NIFTY": now_ns}


def test_a_frozen_feed_that_repeats_its_last_tick_keeps_no_quote_fresh(keep, market):
    context, _ = keep
    tick(context, market, "NIFTY", "INDIAVIX")
    frozen_ns = context.now_ns()
    for _ in range(10):
        context.advance(1)
        rows = make_ticks((ids(market, "NIFTY")[0], frozen_ns, 100.0))
        rows["received_ns"] = context.now_ns()
        context.feed("ticks.alpha", rows)
    context.advance(1)
    assert mark(context).quotes_ns["NIFTY"] == mark(context).depth_ns["NIFTY"] == frozen_ns


def test_a_clock_set_back_stops_no_marks_and_the_next_ticks_count(keep, market):
    context, keeper = keep
    tick(context, market, "NIFTY")
    context.deliver(keeper, ChainSummarised(summary=summary(context.now_ns())))
    context.advance(2)
    real, shift_ns = context.now_ns, seconds(3600)
    context.now_ns = lambda: real() - shift_ns
    context.advance(1)
    assert mark(context).as_of_ns == context.now_ns()
    assert (mark(context).quotes_ns, mark(context).iv_ns) == ({}, {})
    tick(context, market, "NIFTY")
    context.advance(1)
    assert list(mark(context).quotes_ns) == ["NIFTY"]


def test_the_gate_closes_on_silence_in_session_and_opens_after_a_healthy_minute(keep, market):
    context, keeper = keep
    open_session(context, keeper)
    bar(context)
    tick(context, market, "NIFTY", "INDIAVIX")
    context.advance(30)
    assert mark(context).gate_open
    context.advance(1)
    assert not mark(context).gate_open
    assert "no tick" in mark(context).gate_reason
    for _ in range(62):
        bar(context)
        tick(context, market, "NIFTY", "INDIAVIX")
        context.advance(1)
    assert mark(context).gate_open


def test_entries_wait_until_the_warm_start_is_complete_and_are_told_why(keep):
    context, keeper = keep
    context.deliver(keeper, SessionClosed(day=DAY, reason="weekend", next_opens_ns=0))
    told = []
    for status in ("idle", "running", "error", "empty", "error", "disabled", "running", "ok"):
        warm_up(context, keeper, status, "NIFTY: no route" if status == "error" else "")
        context.advance(10)
        told.append((mark(context).gate_open, mark(context).gate_reason))
    failed = (False, "the warm start of the bars failed and is tried again: NIFTY: no route")
    cold, done = (False, "the warm start of the bars is not complete"), (True, "")
    assert told == [cold, cold, failed, done, failed, done, cold, done]


def test_a_new_life_of_the_keeper_holds_entries_until_it_hears_of_the_warm_start(market):
    context = market.context("freshness_keeper", at(10, 0), life=2)
    FreshnessKeeper(context, NoSettings()).start()
    context.advance(1)
    assert not mark(context).gate_open


def test_warm_bars_are_no_closed_bars(keep, market):
    context, keeper = keep
    open_session(context, keeper)
    for _ in range(121):
        bar(context, warm=True)
        tick(context, market, "NIFTY", "INDIAVIX")
        context.advance(1)
    assert "no bar closed" in mark(context).gate_reason


def test_a_closed_market_may_be_silent(keep):
    context, keeper = keep
    context.deliver(keeper, SessionClosed(day=DAY, reason="weekend", next_opens_ns=0))
    context.advance(300)
    assert mark(context).gate_open
    assert context.log.told == []


def test_the_heartbeat_counts_positions_and_coverage_of_what_is_subscribed(keep, market):
    context, keeper = keep
    open_session(context, keeper)
    chain(context, market, PUT, "NIFTY24NOV2624000CE")
    context.advance(30)
    tick(context, market, "NIFTY", "INDIAVIX", PUT)
    held = Position(
        symbol=PUT, exchange="NFO", product="NRML", direction="SELL", quantity=65,
        average_price=Decimal(1), strategy_id="s", strategy_tag="", strategy="", leg_no=0,
        underlying="NIFTY", kind=Kind.PUT, strike=Decimal(24_000), expiry=None, entry_ns=0,
        broker="alpha",
    )  # fmt: skip
    context.deliver(keeper, PositionChanged(book=BookSnapshot(positions=(held,))))
    context.advance(30)
    assert context.log.told == [
        ("CRITICAL", "[HEARTBEAT] Positions: 1 | Data: 3/4 | Coverage: 75.0% | Stale: 0")
    ]


def test_strikes_that_a_chain_dropped_are_no_longer_covered(keep, market):
    context, keeper = keep
    open_session(context, keeper)
    chain(context, market, PUT, "NIFTY24NOV2624000CE")
    chain(context, market, PUT)
    tick(context, market, "NIFTY", "INDIAVIX", PUT)
    context.advance(60)
    assert context.log.told == [
        ("INFO", "[HEARTBEAT] Positions: 0 | Data: 3/3 | Coverage: 100.0% | Stale: 0")
    ]
    told = [name for name in context.reports[-1] if name.startswith("option:")]
    assert told == [f"option:{PUT}"]


def test_a_disconnected_feed_makes_the_heartbeat_critical(keep, market):
    context, keeper = keep
    open_session(context, keeper)
    state = {"broker": "alpha", "state": "down", "reason": "", "connected": 0, "shards": 1}
    counts = {"listings": 2, "disconnects": 1, "failures_in_row": 1, "last_message_ns": 0}
    context.deliver(keeper, FeedStateChanged(**state, **counts))
    tick(context, market, "NIFTY", "INDIAVIX")
    context.advance(60)
    assert context.log.told[0][0] == "CRITICAL"


def test_the_report_gives_ages_under_the_names_of_the_metrics(keep, market):
    context, _ = keep
    chain(context, market, PUT)
    tick(context, market, "NIFTY")
    context.advance(2)
    body = context.reports[-1]
    assert (body["quote:NIFTY"], body[f"option:{PUT}"]) == (2.0, -1.0)
    assert (body["vix"], body["iv"]) == (-1.0, -1.0)
    assert body["entry_gate"] == mark(context).gate_reason
