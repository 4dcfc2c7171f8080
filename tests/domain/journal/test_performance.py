"""Figures over closed trades, worked out by hand."""

from __future__ import annotations

import math
from datetime import date, time
from decimal import Decimal

import pytest

from domain.calendar import ExchangeCalendar, SessionHours
from domain.journal.performance import (
    ClosedTrade,
    by_strategy,
    expectancy,
    max_drawdown_share,
    metrics,
    sessions_between,
    sharpe_ratio,
    strategy_odds,
    strategy_of,
)
from domain.readings import StrategyOdds

CAPITAL = Decimal(100_000)


def trade(net: int, day: int = 1, tag: str = "TOMIC_A") -> ClosedTrade:
    return ClosedTrade(tag, date(2026, 11, day), Decimal(net), 1.0)


def test_odds_are_those_of_the_last_thirty_trades() -> None:
    trades = [trade(-900)] * 5 + [trade(200)] * 20 + [trade(-100)] * 10
    found = strategy_odds("IRON_CONDOR", trades)
    assert found == StrategyOdds("IRON_CONDOR", 30, pytest.approx(2 / 3), 2.0)
    assert strategy_odds("IRON_CONDOR", trades[:29]) is None
    assert strategy_odds("IRON_CONDOR", [trade(5)] * 30) == StrategyOdds(
        "IRON_CONDOR", 30, 1.0, 100.0
    )


def test_a_tag_names_its_strategy() -> None:
    assert strategy_of("TOMIC_IRON_CONDOR_BANKNIFTY", "BANKNIFTY") == "IRON_CONDOR"


def test_expectancy_weighs_wins_and_losses() -> None:
    found = expectancy([trade(300), trade(100), trade(-100), trade(-50)])
    # Half win 200 on average, half lose 75: 0.5 x 200 - 0.5 x 75 = 62.5.
    assert found["win_rate"] == 0.5
    assert found["average_win"] == 200
    assert found["average_loss"] == -75
    assert found["expectancy"] == 62.5


def test_drawdown_is_a_share_of_the_peak_of_capital() -> None:
    # 100,000 -> 110,000 (peak) -> 99,000 -> 104,500: 11,000 below the peak of 110,000 is a tenth.
    found = max_drawdown_share([trade(10_000), trade(-11_000), trade(5_500)], CAPITAL)
    assert found == pytest.approx(0.1)


def test_sharpe_comes_from_days_not_from_trades() -> None:
    # Daily returns 2 % and 0 %: mean 1 %, sample spread sqrt(2) %, so sqrt(252 / 2).
    found = sharpe_ratio([trade(1_000, 1), trade(1_000, 1), trade(0, 2)], CAPITAL)
    assert found == pytest.approx(math.sqrt(252 / 2))


def test_a_session_in_which_nothing_closed_is_a_day_of_nothing() -> None:
    # Returns 2 %, 0, 0, 0: mean 0.5 %, squares 1.5^2 + 3 x 0.5^2 = 3, sample spread 1 %.
    sessions = [date(2026, 11, day) for day in (2, 3, 4, 5)]
    found = sharpe_ratio([trade(2_000, 2)], CAPITAL, sessions)
    assert found == pytest.approx(0.5 * math.sqrt(252))


def test_sessions_between_closes_leave_out_weekends_and_holidays() -> None:
    hours = SessionHours(date(2026, 1, 1), time(9, 15), time(15, 30), time(15, 0), time(15, 15))
    calendar = ExchangeCalendar("NFO", (hours,), {date(2026, 11, 10): "a holiday"})
    # 5 November 2026 is a Thursday; 7 and 8 are the weekend.
    found = sessions_between(calendar, [trade(1, 11), trade(1, 5)])
    assert [day.day for day in found] == [5, 6, 9, 11]
    assert sessions_between(calendar, []) == ()
    assert sessions_between(None, [trade(1)]) == ()


def test_one_day_has_no_sharpe() -> None:
    assert sharpe_ratio([trade(1_000, 1), trade(-50, 1)], CAPITAL) == 0


def test_rolling_figures_take_the_last_thirty_trades() -> None:
    trades = [trade(-1_000)] * 10 + [trade(100)] * 30
    found = metrics(trades, CAPITAL, "now")
    assert found["rolling_win_rate"] == 1
    assert found["rolling_expectancy"] == 100
    assert found["total_trades"] == 40
    # Of all forty: 30 x 100 - 10 x 1,000 = -7,000, which is -175 each.
    assert found["win_rate"] == 0.75
    assert found["expectancy"] == pytest.approx(-175)


def test_no_trades_give_zeros_not_errors() -> None:
    found = metrics([], CAPITAL, "now")
    assert found["rolling_expectancy"] == 0
    assert found["max_drawdown_pct"] == 0


def test_strategies_are_told_apart() -> None:
    found = by_strategy([trade(100), trade(-40), trade(7, tag="TOMIC_B")])
    assert [row["strategy_tag"] for row in found] == ["TOMIC_A", "TOMIC_B"]
    assert found[0] == {
        "strategy_tag": "TOMIC_A",
        "trade_count": 2,
        "wins": 1,
        "total_pnl": 60.0,
        "avg_pnl": 30.0,
        "avg_slippage": 1.0,
    }
