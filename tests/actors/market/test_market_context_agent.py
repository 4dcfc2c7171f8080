"""The market context agent: what it hears becomes one snapshot, told when a word changes."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from actors.market.market_context_agent import ContextSettings, MarketContextAgent
from domain.clock import seconds
from domain.prices import BAR_DTYPE
from domain.readings import ChainSummary, FreshnessMark, PcrBias, Trend, VixRegime
from messages.lifecycle import NodeRestarted
from messages.market import (
    ChainSummarised,
    ContextChanged,
    FreshnessMarked,
    SessionClosed,
    SessionOpened,
    WantWindows,
)
from tests.kit.market_makers import DAY, EXPIRIES, at

FRONT, NEXT = EXPIRIES[0], EXPIRIES[1]


@pytest.fixture
def agent(market):
    context = market.context("market_context_agent", at(10, 0))
    made = MarketContextAgent(context, ContextSettings())
    made.start()
    opened = SessionOpened(
        day=DAY, opens_ns=at(9, 15), closes_ns=at(15, 30), intraday_exit_ns=0, square_off_ns=0
    )
    context.deliver(made, opened)
    return context, made, {row.symbol: row.listing_id for row in market.index.by_id.values()}


def bars(listing: int, *closes: float, start_ns: int, step_ns: int) -> np.ndarray:
    rows = np.zeros(len(closes), BAR_DTYPE)
    rows["listing"], rows["close"] = listing, closes
    rows["high"], rows["low"] = rows["close"] + 50, rows["close"] - 50
    rows["start_ns"] = start_ns + step_ns * np.arange(len(closes))
    return rows


def see_vix(context: Any, ids: dict[str, int], vix: float) -> None:
    rows = bars(ids["INDIAVIX"], vix, start_ns=context.now_ns() - seconds(60), step_ns=1)
    context.feed("bars.1m", rows)


def chain(context: Any, agent: Any, expiry: Any, ratio: float, spot: float = 24_000.0) -> None:
    row = ChainSummary(
        underlying="NIFTY", expiry=expiry, spot=spot, forward=spot, atm_strike=spot, atm_iv=0.13,
        put_iv_25d=0.14, call_iv_25d=0.12, put_call_ratio=ratio, max_pain=23_900.0,
        days_to_expiry=4.0, iv_source="feed", as_of_ns=context.now_ns(), put_wall=23_500.0,
        call_wall=24_500.0,
    )  # fmt: skip
    context.deliver(agent, ChainSummarised(summary=row))


def told(context: Any) -> Any:
    return context.heard(ContextChanged)[-1]


def test_vix_days_and_chain_become_one_snapshot(agent) -> None:
    context, made, ids = agent
    assert context.told_to("bar_builder", WantWindows)
    day = bars(ids["NIFTY"], *[23_000.0] * 21, start_ns=at(9, 15) - 21 * seconds(86_400),
               step_ns=seconds(86_400))  # fmt: skip
    context.feed("bars.1D", day, warm=True)
    see_vix(context, ids, 19.5)
    chain(context, made, NEXT, 0.5)
    chain(context, made, FRONT, 1.4)
    context.advance(5)

    found = told(context).context
    assert (found.vix, found.vix_regime) == (19.5, VixRegime.ELEVATED)
    nifty = found.of("NIFTY")
    assert (nifty.price, nifty.trend, nifty.pcr_bias) == (24_000.0, Trend.ABOVE, PcrBias.BULLISH)
    assert (nifty.expiry, nifty.max_pain) == (FRONT, 23_900.0)
    assert (nifty.put_wall, nifty.call_wall) == (23_500.0, 24_500.0)
    assert (nifty.previous_high, nifty.previous_low) == (23_050.0, 22_950.0)
    assert context.reports[-1]["oi_call_wall"] == {"NIFTY": 24_500.0}


def test_nothing_is_told_before_anything_is_known(agent) -> None:
    context, _, _ = agent
    context.advance(120)
    assert context.heard(ContextChanged) == []


def test_windows_are_asked_for_until_they_come(agent) -> None:
    context, _, ids = agent
    context.advance(6)
    asked = len(context.told_to("bar_builder", WantWindows))
    assert asked == 4
    context.feed("bars.1D", bars(ids["NIFTY"], 1.0, start_ns=0, step_ns=1), warm=True)
    context.advance(60)
    assert len(context.told_to("bar_builder", WantWindows)) == asked


def test_figures_are_told_once_a_minute_and_only_words_are_news(agent) -> None:
    context, _, ids = agent
    see_vix(context, ids, 17.0)
    context.advance(10)
    see_vix(context, ids, 17.5)
    context.advance(55)
    see_vix(context, ids, 18.5)
    context.advance(60)
    assert [(one.context.vix, one.is_news) for one in context.heard(ContextChanged)] == [
        (17.0, True), (17.5, False), (18.5, True),
    ]  # fmt: skip


def test_open_interest_is_read_anew_every_five_minutes(agent) -> None:
    context, made, _ = agent
    chain(context, made, FRONT, 1.4)
    context.advance(5)
    for minute in range(1, 5):
        chain(context, made, FRONT, 0.5)
        context.advance(60)
        assert told(context).context.of("NIFTY").pcr_bias is PcrBias.BULLISH, minute
    context.advance(60)
    assert told(context).context.of("NIFTY").pcr_bias is PcrBias.BEARISH


def test_a_vix_that_nobody_ticks_any_more_is_unknown_and_a_tick_keeps_it(agent) -> None:
    context, made, ids = agent
    see_vix(context, ids, 15.0)
    context.advance(60)
    now_ns = context.now_ns()
    mark = FreshnessMark(now_ns, now_ns, {}, {}, now_ns, 0, True)
    context.deliver(made, FreshnessMarked(mark=mark))
    context.advance(60)
    assert told(context).context.vix_regime is VixRegime.NORMAL
    context.advance(60)
    assert told(context).context.vix_regime is VixRegime.UNKNOWN


def test_a_new_life_of_another_hears_the_context_again(agent) -> None:
    context, made, ids = agent
    see_vix(context, ids, 15.0)
    context.advance(5)
    born = NodeRestarted(name="signal_loop", life=2, reason="crash", handles_orders=False)
    context.deliver(made, born)
    (first,) = context.heard(ContextChanged)
    reminded = context.told[-1]
    again = reminded[1]
    assert (reminded[0], again.context, again.is_news) == ("signal_loop", first.context, False)


def test_a_closed_market_is_told_of_once(agent) -> None:
    context, made, ids = agent
    context.deliver(made, SessionClosed(day=DAY, reason="weekend", next_opens_ns=0))
    see_vix(context, ids, 15.0)
    context.advance(600)
    assert [one.context.vix_regime for one in context.heard(ContextChanged)] == [VixRegime.NORMAL]


def test_the_next_expiry_leads_when_the_front_is_over(agent) -> None:
    context, made, _ = agent
    chain(context, made, FRONT, 1.4)
    chain(context, made, NEXT, 0.5)
    context.advance(5)
    context.stall(((FRONT - DAY) + timedelta(days=1)).days * 86_400)
    assert told(context).context.of("NIFTY").expiry == NEXT
