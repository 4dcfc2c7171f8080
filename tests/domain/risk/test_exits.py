"""When a structure is left: the table of tomic.md 12.4."""

from __future__ import annotations

from datetime import date, time, timedelta

import pytest

from domain.calendar import ExchangeCalendar, SessionHours
from domain.intents import StrategyType
from domain.risk.exits import (
    Deadlines,
    Levels,
    Trail,
    bars_since,
    breached_shorts,
    check_levels,
    check_time,
    closing_cost,
    decide_exit,
    delta_warning,
    entry_credit,
    levels_of,
    sessions_to_delivery,
)
from tests.kit.market_makers import CALENDAR
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import a_position, a_signal

SECOND = 10**9
HOURS = SessionHours(date(2020, 1, 1), time(9, 15), time(15, 30), time(15), time(15, 15))
WEEKDAYS = ExchangeCalendar("NFO", (HOURS,))
# One unit sold at 100: the credit is 100 rupees, so that costs read as the table writes them.
SHORT = (a_position("SELL", "PE", 23_800, 100, quantity=1),)
CONDOR = (
    a_position("BUY", "PE", 23_600, 50, leg_no=1),
    a_position("SELL", "PE", 23_800, 120, leg_no=2),
    a_position("SELL", "CE", 24_200, 110, leg_no=3),
    a_position("BUY", "CE", 24_400, 45, leg_no=4),
)


def reads(legs, costs, trail=None, deltas=None):
    """The decision after reading these costs one after the other."""
    decision = None
    memory = trail or Trail()
    for cost in costs:
        decision = decide_exit(legs, cost, deltas or {}, memory)
        memory = decision.trail
    return decision


@pytest.mark.parametrize(
    ("cost", "armed", "action"),
    [
        (50, False, "CLOSE_PROFIT"),
        (51, False, "ACTIVATE_TRAIL"),
        (210, False, "CLOSE_LOSS"),
        (200, False, "CLOSE_LOSS"),
        (199, False, "HOLD"),
        (70, False, "ACTIVATE_TRAIL"),
        (71, False, "HOLD"),
        (85, False, "HOLD"),
        (105, True, "CLOSE_TRAIL"),
        (80, True, "CLOSE_TRAIL"),
        (79, True, "HOLD"),
    ],
)
def test_the_table(cost, armed, action):
    trail = Trail(armed=armed, peak=0.40 if armed else 0.0)
    first = decide_exit(SHORT, cost, {}, trail)
    second = decide_exit(SHORT, cost, {}, first.trail)
    assert (first if action in ("HOLD", "ACTIVATE_TRAIL") else second).action == action


def test_one_bad_quote_closes_nothing():
    assert reads(SHORT, [210]).action == "HOLD"
    assert reads(SHORT, [210, 90, 210]).action == "HOLD"
    assert reads(SHORT, [210, 210]).action == "CLOSE_LOSS"


def test_two_reads_must_say_the_same():
    assert reads(SHORT, [45, 210]).action == "HOLD"


def test_the_trail_follows_the_best_profit():
    armed = reads(SHORT, [70])
    assert armed.trail == Trail(armed=True, peak=pytest.approx(0.30))
    higher = reads(SHORT, [55], armed.trail)
    assert higher.trail.peak == pytest.approx(0.45)
    lower = reads(SHORT, [65], higher.trail)
    assert (lower.action, lower.trail.peak) == ("HOLD", pytest.approx(0.45))
    assert reads(SHORT, [78, 78], lower.trail).action == "CLOSE_TRAIL"


def test_a_debit_stops_at_half_and_aims_at_double():
    long = (a_position("BUY", "CE", 24_000, 100, quantity=1, strategy="DITM_CALL"),)
    assert entry_credit(long) == -100
    assert reads(long, [-51, -51]).action == "HOLD"
    assert reads(long, [-50, -50]).action == "CLOSE_LOSS"
    assert reads(long, [-199, -199]).action == "HOLD"
    assert reads(long, [-200, -200]).action == "CLOSE_PROFIT"


def test_the_cost_is_what_the_market_would_really_take():
    quotes = {
        CONDOR[0].key: (40.0, 60.0),
        CONDOR[1].key: (100.0, 105.0),
        CONDOR[2].key: (90.0, 95.0),
        CONDOR[3].key: (float("nan"), 30.0),
    }
    # Buy at 105 and 95, sell at 40; nobody bids for the last: 160 a unit, 65 units.
    assert closing_cost(CONDOR, quotes) == pytest.approx(160 * 65)
    assert entry_credit(CONDOR) == 135 * 65


def test_a_short_nobody_offers_cannot_be_priced():
    assert closing_cost(SHORT, {SHORT[0].key: (99.0, float("nan"))}) is None
    assert closing_cost(SHORT, {}) is None
    assert decide_exit(SHORT, None, {}, Trail()).action == "HOLD"


def test_a_breached_short_is_cut():
    deltas = {SHORT[0].key: -0.46}
    assert reads(SHORT, [95, 95], deltas=deltas).action == "ADJUST_DELTA"
    assert reads(SHORT, [95, 95], deltas={SHORT[0].key: -0.45}).action == "HOLD"
    assert "0.46" in delta_warning(SHORT, deltas)
    assert delta_warning(SHORT, {SHORT[0].key: 0.35}) == ""


def test_a_straddle_is_born_at_the_money():
    straddle = (a_position("SELL", "PE", 24_000, 100, quantity=1, strategy="SHORT_STRADDLE"),)
    assert reads(straddle, [95, 95], deltas={straddle[0].key: -0.55}).action == "HOLD"


DAY = Deadlines(date(2026, 11, 20), START_NS + 100 * SECOND, START_NS + 1_000 * SECOND)


def test_intraday_positions_leave_at_their_hour():
    intraday = (a_position("SELL", "PE", 23_800, product="MIS"),)
    assert check_time(intraday, DAY, START_NS + 100 * SECOND - 1) == ""
    assert check_time(intraday, DAY, START_NS + 100 * SECOND) == "intraday exit at 10:16"
    assert check_time(CONDOR, DAY, START_NS + 200 * SECOND) == ""


def test_gamma_capture_stays_until_shortly_before_the_square_off():
    gamma = (a_position("BUY", "PE", 23_800, product="MIS", strategy="GAMMA_CAPTURE"),)
    assert check_time(gamma, DAY, START_NS + 699 * SECOND) == ""
    assert check_time(gamma, DAY, START_NS + 700 * SECOND)


def test_income_is_not_held_into_its_expiry():
    before = Deadlines(date(2026, 12, 27))
    assert check_time(CONDOR, before, START_NS) == ""
    assert check_time(CONDOR, Deadlines(date(2026, 12, 28)), START_NS) == "1 days to expiry"


def test_a_deep_option_is_not_held_into_its_exercise():
    call = (a_position("BUY", "CE", 22_000, 2_000, strategy="DITM_CALL"),)
    assert check_time(call, Deadlines(date(2026, 12, 27)), START_NS) == ""
    assert check_time(call, Deadlines(date(2026, 12, 28)), START_NS) == "1 days to expiry"


def test_stock_options_leave_two_sessions_before_delivery():
    assert check_time(CONDOR, DAY, START_NS, sessions_left=3) == ""
    assert "stock" in check_time(CONDOR, DAY, START_NS, sessions_left=2)


@pytest.mark.parametrize(
    ("today", "left"),
    [
        # Expiry on Tuesday 24 November 2026; Monday the 23rd is a holiday of the calendar.
        (date(2026, 11, 18), 3),  # Thursday, Friday, Tuesday
        (date(2026, 11, 20), 1),
        (date(2026, 11, 24), 0),
        (date(2026, 11, 25), 0),
    ],
)
def test_sessions_to_delivery_leave_out_weekends_and_holidays(today, left):
    expiry = date(2026, 11, 24)
    assert sessions_to_delivery("TCS", expiry, today, CALENDAR) == left
    assert sessions_to_delivery("NIFTY", expiry, today, CALENDAR) is None
    assert sessions_to_delivery("TCS", expiry, today, None) is None


def test_gamma_has_no_stop_but_takes_its_double():
    gamma = (a_position("BUY", "CE", 24_200, 100, quantity=1, strategy="GAMMA_CAPTURE"),)
    plain = (a_position("BUY", "CE", 24_200, 100, quantity=1, strategy="DITM_CALL"),)
    # Bought at 100, worth 40, 5 and 200 now.
    assert reads(plain, [-40, -40]).action == "CLOSE_LOSS"
    assert reads(gamma, [-40, -40]).action == "HOLD"
    assert reads(gamma, [-5, -5]).action == "HOLD"
    assert reads(gamma, [-200, -200]).action == "CLOSE_PROFIT"


LONG = Levels("NIFTY", True, stop=23_800.0, target=25_000.0)
SHORTED = Levels("NIFTY", False, stop=24_200.0, target=23_000.0)


@pytest.mark.parametrize(
    ("levels", "spot", "action"),
    [
        (LONG, 23_800.05, None), (LONG, 23_800.0, "CLOSE_LOSS"), (LONG, 23_000.0, "CLOSE_LOSS"),
        (LONG, 24_999.95, None), (LONG, 25_000.0, "CLOSE_PROFIT"),
        (SHORTED, 24_199.95, None), (SHORTED, 24_200.0, "CLOSE_LOSS"),
        (SHORTED, 23_000.05, None), (SHORTED, 22_900.0, "CLOSE_PROFIT"),
        (LONG, 0.0, None), (LONG, float("nan"), None), (None, 23_000.0, None),
        (Levels("NIFTY", True), 1.0, None),
    ],
)  # fmt: skip
def test_the_levels_of_a_directional_entry_are_prices_of_the_underlying(levels, spot, action):
    found = check_levels(levels, spot)
    assert (found[0] if found else None) == action


def test_a_level_counts_after_two_reads_whatever_the_option_costs():
    legs = (a_position("BUY", "CE", 22_000, 2_000),)
    reached = check_levels(LONG, 23_790.0)
    first = decide_exit(legs, None, {}, Trail(), reached)
    assert first.action == "HOLD"
    second = decide_exit(legs, None, {}, first.trail, reached)
    assert second.action == "CLOSE_LOSS"
    assert second.reason == "NIFTY at 23790.00 reached its stop 23800.00"


def test_only_prices_of_the_underlying_are_levels():
    fields = {"entry_price": 24_000.0, "stop_price": 23_800.0, "target_price": 25_000.0, "legs": ()}
    call = a_signal(StrategyType.DITM_CALL, price_basis="UNDERLYING", **fields)
    assert levels_of(call) == LONG
    assert not levels_of(
        a_signal(StrategyType.DITM_PUT, price_basis="UNDERLYING", **fields)
    ).is_bullish
    assert levels_of(a_signal(StrategyType.DITM_CALL, **fields)) is None
    assert levels_of(a_signal(StrategyType.DITM_CALL, price_basis="UNDERLYING", legs=())) is None


def test_a_hedge_is_held_whatever_it_costs_and_rolled_a_week_before_its_end():
    put = a_position("BUY", "PE", 22_000, 25, strategy="TAIL_HEDGE")
    assert [reads((put,), [cost] * 2).action for cost in (0.0, -24.0, -2_500.0)] == ["HOLD"] * 3
    days = {n: Deadlines(put.expiry - timedelta(days=n)) for n in (8, 7)}
    assert check_time((put,), days[8], START_NS) == ""
    assert check_time((put,), days[7], START_NS) == "7 days to expiry: the hedge is rolled"


def test_the_shorts_that_are_cut_are_named():
    deltas = {leg.key: delta for leg, delta in zip(CONDOR, (0.5, -0.46, 0.2, 0.5), strict=True)}
    assert breached_shorts(CONDOR, deltas) == (CONDOR[1].symbol,)


@pytest.mark.parametrize(
    ("today", "bars"),
    # Monday 16 November 2026 to the Monday after; Saturday and Sunday have no bar.
    [(16, 0), (17, 1), (20, 4), (21, 5), (23, 5), (24, 6)],
)
def test_daily_bars_count_from_the_day_of_the_entry(today, bars):
    assert bars_since(date(2026, 11, 16), date(2026, 11, today), WEEKDAYS) == bars
    assert bars_since(date(2026, 11, 16), date(2026, 11, today), None) is None


def test_a_direction_that_goes_nowhere_is_left_after_five_bars():
    call = (a_position("BUY", "CE", 23_000, 1_000, strategy="DITM_CALL"),)
    today = Deadlines(date(2026, 11, 23))
    assert check_time(call, today, START_NS, bars_held=4) == ""
    assert check_time(call, today, START_NS, bars_held=5) == (
        "5 daily bars without its stop or target: time stop"
    )
    assert check_time(call, today, START_NS) == ""
