"""The breakers of tomic.md 10.1 at their exact thresholds."""

from __future__ import annotations

from decimal import Decimal

import pytest

from domain.positions import BookSnapshot
from domain.readings import MarginState
from domain.risk.breaker import Flatten, Kill, Limits, Question, Tripped, loosened
from domain.risk.breakers import (
    RULES,
    Connection,
    DailyMaxLoss,
    GrossNotional,
    OrderRate,
    PerUnderlying,
    UnhedgedExposure,
)
from domain.safety import CONNECTION_RULE, SAFETY_RULES
from tests.kit.recording_context import START_NS
from tests.kit.risk_makers import a_position

CAPITAL = Decimal(1_000_000)
SECOND = 10**9
DAY = 86_400 * SECOND


def margin(used=0, free=1_000_000):
    return MarginState("alpha", Decimal(used + free), Decimal(free), Decimal(used), START_NS)


def reborn(rule, now_ns=START_NS):
    """The same rule in a new life, from what the old one wrote."""
    fresh = type(rule)(rule.capital_cap, rule.limits)
    fresh.restore(rule.state(), now_ns)
    return fresh


def loses(rule, realized=0, charges=0, now_ns=START_NS, positions=()):
    book = BookSnapshot(
        realized_today=Decimal(realized), charges_today=Decimal(charges), positions=positions
    )
    rule.see_book(book, now_ns)


@pytest.mark.parametrize("name", sorted(RULES))
def test_without_capital_every_breaker_denies(name):
    rule = RULES[name](Decimal(0))
    rule.see_margin(MarginState("alpha", Decimal(0), Decimal(0), Decimal(0), START_NS))
    verdict = rule.weigh(Question(leg_orders=1), START_NS)
    assert verdict.action == "deny"
    assert "capital" in verdict.reason


def test_exactly_six_per_cent_does_not_trip_the_daily_loss():
    rule = DailyMaxLoss(CAPITAL)
    loses(rule, realized=-60_000)
    assert rule.weigh(Question(), START_NS).action == "clear"
    assert rule.judge(START_NS) == []
    loses(rule, realized=-60_000, charges=1)
    assert rule.weigh(Question(), START_NS).action == "kill"


def test_open_losses_count_with_realized_ones():
    rule = DailyMaxLoss(CAPITAL)
    # A short at 100, now 600: 500 x 65 = 32,500 lost on paper.
    short = a_position("SELL", "CE", 24_200, last_price=Decimal(600))
    loses(rule, realized=-27_500, positions=(short,))
    assert rule.weigh(Question(), START_NS).action == "clear"
    loses(rule, realized=-27_501, positions=(short,))
    assert rule.weigh(Question(), START_NS).action == "kill"


def test_a_tripped_daily_loss_kills_once_and_stays_for_the_day():
    rule = DailyMaxLoss(CAPITAL)
    loses(rule, realized=-60_001)
    kinds = [type(action) for action in rule.judge(START_NS)]
    assert kinds == [Kill, Tripped]
    assert rule.judge(START_NS + SECOND) == []
    loses(rule, realized=0, now_ns=START_NS + 2 * SECOND)
    assert rule.weigh(Question(), START_NS + 2 * SECOND).action == "kill"


def test_a_new_day_frees_the_daily_loss():
    rule = DailyMaxLoss(CAPITAL)
    loses(rule, realized=-60_001)
    assert rule.weigh(Question(), START_NS + DAY).action == "clear"


def test_a_restarted_breaker_remembers_the_loss_before_its_first_verdict():
    rule = DailyMaxLoss(CAPITAL)
    loses(rule, realized=-60_001)
    rule.judge(START_NS)
    again = reborn(rule)
    assert again.weigh(Question(), START_NS).action == "kill"
    assert isinstance(again.judge(START_NS)[0], Kill)
    assert reborn(rule, START_NS + DAY).weigh(Question(), START_NS + DAY).action == "clear"


def test_a_loss_not_yet_tripping_is_remembered_too():
    rule = DailyMaxLoss(CAPITAL)
    loses(rule, realized=-59_000)
    assert reborn(rule).status(START_NS)["current_pct"] == -5.9


def test_funds_may_lower_the_capital_but_not_raise_it():
    rule = DailyMaxLoss(CAPITAL)
    rule.see_margin(margin(free=500_000))
    loses(rule, realized=-30_001)
    assert rule.weigh(Question(), START_NS).action == "kill"
    rich = DailyMaxLoss(CAPITAL)
    rich.see_margin(margin(free=9_000_000))
    assert rich.capital == CAPITAL


def test_thirty_orders_in_a_minute_defer_until_one_is_too_old():
    rule = OrderRate(CAPITAL)
    for number in range(29):
        rule.see_sent(f"o{number}", START_NS + number * SECOND)
    now_ns = START_NS + 30 * SECOND
    assert rule.weigh(Question(leg_orders=4), now_ns).action == "clear"
    rule.see_sent("o29", now_ns)
    verdict = rule.weigh(Question(leg_orders=1), now_ns)
    assert verdict.action == "defer"
    assert verdict.retry_after_s == pytest.approx(30.0)
    assert rule.weigh(Question(), START_NS + 60 * SECOND).action == "clear"


def test_one_order_told_twice_counts_once():
    rule = OrderRate(CAPITAL)
    for _ in range(40):
        rule.see_sent("same", START_NS)
    assert rule.figures(START_NS)["current"] == 1


def test_the_window_survives_a_restart():
    rule = OrderRate(CAPITAL)
    for number in range(30):
        rule.see_sent(f"o{number}", START_NS)
    assert reborn(rule).weigh(Question(), START_NS).action == "defer"
    assert reborn(rule, START_NS + 60 * SECOND).sent == {}


def test_five_times_the_capital_is_the_most_notional():
    rule = GrossNotional(CAPITAL)
    assert rule.weigh(Question(notional=Decimal(5_000_000)), START_NS).action == "clear"
    assert rule.weigh(Question(notional=Decimal(5_000_001)), START_NS).action == "deny"


def test_what_is_held_counts_the_larger_side_of_its_shorts():
    rule = GrossNotional(CAPITAL)
    condor = (
        a_position("BUY", "PE", 23_600, 50, leg_no=1),
        a_position("SELL", "PE", 23_800, 120, leg_no=2),
        a_position("SELL", "CE", 24_200, 110, leg_no=3),
        a_position("BUY", "CE", 24_400, 45, leg_no=4),
    )
    rule.see_book(BookSnapshot(positions=condor), START_NS)
    # 24,200 x 65 of the call side, and 95 x 65 of premium bought: 1,579,175.
    assert rule.held == Decimal(1_579_175)
    assert rule.weigh(Question(notional=Decimal(3_420_825)), START_NS).action == "clear"
    assert rule.weigh(Question(notional=Decimal(3_420_826)), START_NS).action == "deny"
    assert reborn(rule).held == rule.held


def test_an_underlying_may_hold_thirty_per_cent_of_margin_that_matters():
    rule = PerUnderlying(CAPITAL)
    rule.see_margin(margin(used=300_000, free=700_000))
    rule.see_structure("a", "NIFTY", Decimal(90_000))
    assert rule.weigh(Question(underlying="NIFTY"), START_NS).action == "clear"
    rule.see_structure("a", "NIFTY", Decimal(90_001))
    assert rule.weigh(Question(underlying="NIFTY"), START_NS).action == "deny"
    assert rule.weigh(Question(underlying="BANKNIFTY"), START_NS).action == "clear"


def test_the_first_position_is_not_all_of_a_small_margin():
    rule = PerUnderlying(CAPITAL)
    rule.see_margin(margin(used=0))
    ask = Question(underlying="NIFTY", margin=Decimal(200_000))
    assert rule.weigh(ask, START_NS).action == "clear"
    ask = Question(underlying="NIFTY", margin=Decimal(200_001))
    assert rule.weigh(ask, START_NS).action == "deny"


def test_a_closed_structure_frees_its_underlying_also_after_a_restart():
    rule = PerUnderlying(CAPITAL)
    rule.see_margin(margin(used=300_000))
    rule.see_structure("a", "NIFTY", Decimal(250_000))
    again = reborn(rule)
    assert again.weigh(Question(underlying="NIFTY"), START_NS).action == "deny"
    again.see_structure("a", "NIFTY", Decimal(0))
    assert again.weigh(Question(underlying="NIFTY"), START_NS).action == "clear"


def test_unknown_margin_is_no_verdict_to_trade_on():
    rule = PerUnderlying(CAPITAL)
    assert rule.weigh(Question(underlying="NIFTY"), START_NS).action == "deny"


SHORT = a_position("SELL", "CE", 24_200)


def test_a_naked_short_is_flattened_after_five_seconds_and_each_second_again():
    rule = UnhedgedExposure(CAPITAL)
    rule.see_book(BookSnapshot(positions=(SHORT,)), START_NS)
    assert rule.judge(START_NS + 5 * SECOND) == []
    assert rule.weigh(Question(), START_NS + 5 * SECOND).action == "clear"
    first = rule.judge(START_NS + 5 * SECOND + 1)
    assert [type(row) for row in first] == [Tripped, Flatten]
    assert first[0].level == "CRITICAL"
    assert (first[1].short.key, first[1].short.quantity) == (SHORT.key, 65)
    assert rule.weigh(Question(), START_NS + 6 * SECOND).action == "deny"
    assert rule.judge(START_NS + 5 * SECOND + SECOND) == []
    assert isinstance(rule.judge(START_NS + 6 * SECOND + 1)[0], Flatten)


def test_cover_or_approval_stops_the_timer():
    rule = UnhedgedExposure(CAPITAL)
    rule.see_book(BookSnapshot(positions=(SHORT,)), START_NS)
    rule.see_book(BookSnapshot(positions=(SHORT, a_position("BUY", "CE", 24_400))), START_NS)
    assert rule.judge(START_NS + 60 * SECOND) == []
    approved = a_position("SELL", "CE", 24_200, naked_approved=True)
    rule.see_book(BookSnapshot(positions=(approved,)), START_NS)
    assert rule.judge(START_NS + 60 * SECOND) == []


def test_a_restart_does_not_give_a_naked_short_another_five_seconds():
    rule = UnhedgedExposure(CAPITAL)
    rule.see_book(BookSnapshot(positions=(SHORT,)), START_NS)
    again = reborn(rule, START_NS + 4 * SECOND)
    again.see_book(BookSnapshot(positions=(SHORT,)), START_NS + 4 * SECOND)
    assert any(isinstance(row, Flatten) for row in again.judge(START_NS + 6 * SECOND))


def fails(rule, times, failure="not_sent", now_ns=START_NS):
    for _ in range(times):
        rule.see_answer(failure, now_ns)


def test_three_failures_open_the_connection_breaker():
    rule = Connection(CAPITAL)
    fails(rule, 2)
    assert rule.weigh(Question(leg_orders=1), START_NS).action == "clear"
    fails(rule, 1)
    assert rule.condition == "open"
    assert rule.weigh(Question(leg_orders=1), START_NS + 29 * SECOND).action == "deny"


def test_half_open_lets_one_probe_through():
    rule = Connection(CAPITAL)
    fails(rule, 3)
    later = START_NS + 30 * SECOND
    assert rule.weigh(Question(leg_orders=4), later).action == "clear"
    assert rule.condition == "half-open"
    assert rule.weigh(Question(leg_orders=4), later).action == "deny"
    rule.see_answer("", later)
    assert rule.condition == "closed"
    assert rule.weigh(Question(leg_orders=4), later).action == "clear"


def test_a_question_that_may_come_to_nothing_does_not_take_the_probe():
    rule = Connection(CAPITAL)
    assert rule.weigh(Question(leg_orders=4, early=True), START_NS).action == "clear"
    fails(rule, 3)
    later = START_NS + 30 * SECOND
    assert rule.weigh(Question(leg_orders=4, early=True), later).action == "deny"
    assert rule.weigh(Question(leg_orders=4), later).action == "clear"


def test_a_failed_probe_opens_it_again():
    rule = Connection(CAPITAL)
    fails(rule, 3)
    later = START_NS + 30 * SECOND
    rule.weigh(Question(leg_orders=1), later)
    fails(rule, 1, now_ns=later)
    assert rule.weigh(Question(leg_orders=1), later + SECOND).action == "deny"


def test_five_timeouts_in_a_row_are_the_kill_switch():
    rule = Connection(CAPITAL)
    fails(rule, 4, "timeout")
    assert not any(isinstance(row, Kill) for row in rule.judge(START_NS))
    fails(rule, 1, "timeout")
    assert isinstance(rule.judge(START_NS)[0], Kill)
    assert rule.weigh(Question(leg_orders=1), START_NS).action == "kill"
    assert rule.judge(START_NS) == []


def test_an_answer_between_timeouts_begins_the_count_again():
    rule = Connection(CAPITAL)
    fails(rule, 4, "timeout")
    rule.see_answer("", START_NS)
    fails(rule, 1, "timeout")
    assert not any(isinstance(row, Kill) for row in rule.judge(START_NS))


def test_a_session_that_is_down_denies_and_is_remembered():
    rule = Connection(CAPITAL)
    rule.see_connection(False, "unreachable", START_NS)
    assert "unreachable" in reborn(rule).weigh(Question(leg_orders=1), START_NS).reason
    rule.see_connection(True, "", START_NS)
    assert rule.weigh(Question(leg_orders=1), START_NS).action == "clear"


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_breaker_tells_its_status(name):
    status = RULES[name](CAPITAL).status(START_NS)
    assert status["tripped"] is False
    assert {"message", "since"} < set(status)
    assert any(key.startswith(("threshold", "timeout")) for key in status)


def test_every_rule_that_must_stand_is_a_rule_there_is():
    assert set(RULES) == {*SAFETY_RULES, CONNECTION_RULE}


@pytest.mark.parametrize(
    ("looser", "bound"),
    [
        ({"loss_share_max": Decimal(50)}, "at most 0.06"),
        ({"orders_max": 31}, "at most 30"),
        ({"orders_window_s": 59.0}, "at least 60"),
        ({"notional_x_max": Decimal("5.1")}, "at most 5"),
        ({"underlying_share_max": Decimal("0.31")}, "at most 0.30"),
        ({"underlying_capital_floor": Decimal("0.21")}, "at most 0.20"),
        ({"unhedged_after_s": 6.0}, "at most 5"),
        ({"flatten_again_s": 2.0}, "at most 1"),
        ({"failures_to_open": 4}, "at most 3"),
        ({"cool_down_s": 1.0}, "at least 30"),
        ({"timeouts_to_kill": 6}, "at most 5"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_no_limit_may_be_looser_than_the_specification(looser, bound):
    assert bound in loosened(Limits(**looser))


def test_a_limit_may_be_tighter():
    assert loosened(Limits()) == ""
    tighter = Limits(loss_share_max=Decimal("0.03"), orders_max=10, orders_window_s=120.0)
    assert loosened(tighter) == ""
